"""The side file of tracks: the names it always had, and each track reads its own."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.arrays import load_npz, npz_writer, save_npz
from manifests.records import Track
from stages.faces.track_faces import TrackChips, TrackFaces, as_arrays
from tests.factories import blank

NAMES = {
    "boxes": ((7, 4), "float32"),
    "landmarks": ((7, 68, 2), "float32"),
    "score": ((7,), "float32"),
    "is_observed": ((7,), "bool"),
    "mouths": ((7, 40, 48), "uint8"),
    "chips": ((2, 150, 150, 3), "uint8"),
    "aligned": ((2, 112, 112, 3), "uint8"),
    "chip_frames": ((2,), "int32"),
    "embeddings": ((2, 128), "float32"),
    "embedder": ((1,), "<U11"),
}
"""What side files hold that were written before there was a class for it."""


def track(name: str) -> Track:
    return blank(Track, track_id=name, faces_path="tracks/v.npz")


def arrays_of(fill: int) -> dict[str, np.ndarray]:
    made = {
        name: np.full(shape, fill, kind)
        for name, (shape, kind) in NAMES.items()
        if name != "embedder"
    }
    return made | {"embedder": np.array(["dlib_resnet"])}


@pytest.fixture
def work(tmp_path):
    (tmp_path / "tracks").mkdir()
    save_npz(
        tmp_path / "tracks" / "v.npz",
        {
            f"{name}/{key}": value
            for fill, name in ((3, "v-t000"), (5, "v-t001"))
            for key, value in arrays_of(fill).items()
        },
    )
    return tmp_path


def test_a_side_file_written_by_hand_is_read(work):
    for fill, name in ((3, "v-t000"), (5, "v-t001")):
        faces, chips = (kind.load(track(name), work) for kind in (TrackFaces, TrackChips))
        read = vars(faces) | vars(chips)
        for key, expected in arrays_of(fill).items():
            assert read[key].dtype == expected.dtype and np.array_equal(read[key], expected), key
        assert read.keys() == NAMES.keys()
        assert chips.of("aligned") is chips.aligned and chips.of("chips") is chips.chips


def test_what_is_written_has_the_same_bytes_as_before(work):
    with npz_writer(work / "again.npz") as out:
        for name in ("v-t000", "v-t001"):
            out.add(
                as_arrays(
                    name, TrackFaces.load(track(name), work), TrackChips.load(track(name), work)
                )
            )
    assert (work / "again.npz").read_bytes() == (work / "tracks" / "v.npz").read_bytes()
    assert load_npz(work / "again.npz", "v-t001/").keys() == NAMES.keys()


def test_a_track_that_the_file_lacks_is_told(work):
    with pytest.raises(KeyError, match="v-t002"):
        TrackFaces.load(track("v-t002"), work)
