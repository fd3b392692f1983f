"""LR-ASD loads its released file whole, and pieces of a track leave no seam."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from manifests.weights.cache import ModelFileError
from stages.networks import light_asd, lr_asd
from tests.stages.test_light_asd import SHARED

WEIGHTS = SHARED / "models" / "lr_asd_talkset.model"


def test_its_size_is_the_published_one():
    assert sum(p.numel() for p in lr_asd.LrAsd().parameters()) == 837_156


def test_no_seam_between_pieces():
    torch.manual_seed(0)
    network, random = lr_asd.LrAsd().eval(), np.random.default_rng(0)
    crops = random.integers(0, 255, (light_asd.CHUNK_FRAMES + 7, 112, 112), dtype=np.uint8)
    part = slice(light_asd.CHUNK_FRAMES - 20, light_asd.CHUNK_FRAMES + 7)
    whole, alone = network.see(crops), network.see(crops[part])
    # From nine frames after its cut on the part knows all that the whole does.
    assert torch.allclose(
        whole[part][lr_asd.REACH_FRAMES :], alone[lr_asd.REACH_FRAMES :], atol=1e-4
    )
    sound = random.integers(-3000, 3000, 640 * (len(crops) + 1)).astype(np.int16)
    assert network.scores(crops[:30], sound).shape == (30,)


@pytest.mark.skipif(not WEIGHTS.exists(), reason="the released file is not here")
def test_the_released_file_loads_and_light_asds_is_refused():
    network = lr_asd.LrAsd.load(WEIGHTS)
    assert not network.training
    with pytest.raises(ModelFileError, match="not LR-ASD"):
        lr_asd.LrAsd.load(SHARED / "models" / "light_asd_talkset.model")
