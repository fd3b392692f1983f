"""Clips of a corpus spoken by a model, for `yld evaluate --shards`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.pairing import pair_folders
from manifests.shards import SampleIndex, ShardSample, read_samples, write_samples
from pipeline.config.settings import to_mapping
from pipeline.corpus.clean import clean
from pipeline.synthesis.clips import speak_clip
from pipeline.synthesis.models import learnt_parts, speaker_of
from pipeline.synthesis.spoken_clips import speak_part
from tests.pipeline.test_synthesize import samples
from tests.training.mouths import speaking
from training.data.samples import Samples
from training.harness.checkpoints import Description, load_weights, save_weights
from training.harness.data import DataConfig
from training.models.catalogue import KINDS
from training.models.vid2speech.config import Vid2SpeechConfig, Vid2SpeechShape

SHAPE = Vid2SpeechShape(width=0.25, picture_px=32)
FACTS = {
    "speakers": ["a"],
    "pixel_mean": 0.4,
    "mean": [i * np.pi / 9 for i in (*range(1, 9), *range(1, 9))] + [0.1] * 2,
    "deviation": [0.05] * 18,
}


def untrained(path: Path, seed: int = 0, learnt_from: str | None = None) -> Path:
    """First weights of a small Vid2Speech, as if trained on a corpus of that name."""
    kind, config = KINDS["vid2speech"], Vid2SpeechConfig(SHAPE, data=DataConfig(held_out=0.5))
    corpora = [] if learnt_from is None else [{"name": learnt_from}]
    torch.manual_seed(seed)
    about = Description(
        "vid2speech", "tiny", to_mapping(config), FACTS, {"corpora": corpora}, 7, "0"
    )
    save_weights(path, kind.system_class(config, FACTS), about)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = speaking(tmp_path_factory.mktemp("mouths") / "spoken", num_clips=3, num_frames=28)
    path = root / "train" / "000000.tar"
    first, second, third = read_samples(path)
    with open(path, "wb") as file:
        write_samples(file, [first, second, ShardSample("../../way/out", third.members)])
    SampleIndex.scan(path).write()
    return root


def test_each_clip_is_spoken_beside_its_own_sound(corpus, tmp_path):
    out, told = tmp_path / "scores", []
    weights = untrained(tmp_path / "best.safetensors")
    clips = speak_part(corpus, weights, out, told.append, part="train")
    assert clips.made_by == {"made_by": "vid2speech tiny, 7 steps"}
    pairs, only = pair_folders(clips.true, clips.made, clips.faces, speakers=clips.speakers)
    assert sorted(p.speaker for p in pairs) == ["spk-0", "spk-0", "spk-1"] and not only
    assert all(p.video is not None and Path(p.hypothesis).parent == clips.made for p in pairs)
    assert not (tmp_path / "way").exists() and len(list(out.rglob("*.wav"))) == 6
    sample, speaker = Samples.of(corpus, "train")[0], speaker_of(weights, "cpu")[0]
    assert (samples(clips.true / "clip-000.wav") == sample.sound).all()
    made = speak_clip(speaker, sample)
    assert np.abs(samples(clips.made / "clip-000.wav") / 32767 - made).max() < 1e-4
    removed, left = clean(out)
    assert removed >= 10 and left == []


def test_what_is_spoken_is_not_spoken_again_but_by_another_model(corpus, tmp_path):
    told: list[str] = []
    one, other = (untrained(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))
    first = speak_part(corpus, one, tmp_path / "o", told.append, part="train")
    (first.made / "clip-001.wav").unlink()
    before = {p: p.stat().st_mtime_ns for p in first.made.iterdir()}
    told.clear()
    again = speak_part(corpus, one, tmp_path / "o", told.append, part="train")
    assert again == first and told == ["2 of 3 clips are spoken for"]
    assert (first.made / "clip-001.wav").exists()
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    second = speak_part(corpus, other, tmp_path / "o", told.append, part="train")
    assert second.made != first.made and len(list(second.made.iterdir())) == 3


def test_clips_that_the_model_learnt_from_are_left_out(corpus, tmp_path):
    told: list[str] = []
    weights = untrained(tmp_path / "w.safetensors", learnt_from="spoken")
    _, about = load_weights(weights)
    learnt = {part.key(n) for part in learnt_parts(about, [str(corpus)]) for n in range(len(part))}
    clips = speak_part(corpus, weights, tmp_path / "o", told.append, part="train")
    assert f"{len(learnt)} clips of train were learnt from and are left out" in told
    assert 0 < len(list(clips.made.iterdir())) == 3 - len(learnt)
    assert not learnt & {path.stem for path in clips.made.iterdir()}


def test_a_clip_that_cannot_be_spoken_for_is_told_and_the_rest_go_on(corpus, tmp_path):
    root = tmp_path / "damaged"
    (root / "train").mkdir(parents=True)
    with open(root / "train" / "000000.tar", "wb") as file:
        first, second, _ = read_samples(corpus / "train" / "000000.tar")
        broken = {**first.members, "face.mp4": b"no video"}
        write_samples(file, [ShardSample("broken", broken), second])
    told: list[str] = []
    weights = untrained(tmp_path / "w.safetensors")
    clips = speak_part(root, weights, tmp_path / "o", told.append, part="train")
    assert any(line.startswith("broken is not spoken for: ") for line in told)
    assert [p.stem for p in clips.made.iterdir()] == ["clip-001"]
    assert len(list(clips.true.iterdir())) == 2, "it counts against coverage"
