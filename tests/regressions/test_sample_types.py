"""Members of a sample's `json` keep one type in every sample, whatever is known of each."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.sample_json import MEMBERS, OPTIONAL, known, members_markdown, typed
from manifests.shards import ShardSample, read_samples, write_samples
from stages.corpus.sharding import order_key
from stages.sync.correct import correct_shard
from tests.factories import ONE_SHARD
from tests.readable import Readable

ROOT = Path(__file__).resolve().parents[2]


def strict(content: bytes) -> dict:
    """As every parser reads it: NaN and Infinity are no JSON."""

    def refuse(token: str):
        raise ValueError(f"{token} is no JSON")

    return json.loads(content, parse_constant=refuse)


def types(facts: dict) -> pa.DataType:
    return pa.array([facts]).type


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Nothing is known of the first clips in the shards' order, all of later ones."""
    root = tmp_path_factory.mktemp("types") / "my-corpus"
    by_place = sorted(range(24), key=lambda n: min(order_key(f"v{n:02d}-c{c}") for c in (0, 1)))
    Readable(root, 24, known=by_place[12:].__contains__).publish(ONE_SHARD)
    first = [
        strict(s.members["json"]) for s in read_samples(root / "shards/train/train-000000.tar")
    ]
    assert {s["text"] for s in first[:5]} == {""} and any(s["text"] for s in first[5:])
    return root


def shards(root: Path) -> list[Path]:
    return sorted((root / "shards").glob("*/*.tar"))


def samples(root: Path) -> list[dict]:
    return [strict(s.members["json"]) for tar in shards(root) for s in read_samples(tar)]


def test_all_samples_of_a_corpus_have_all_members_with_the_same_types(corpus):
    found = samples(corpus)
    assert {s["offset_status"] for s in found} == {"measured", "undecided"}
    assert {bool(s["text"]) for s in found} == {True, False}
    assert set(found[0]) == MEMBERS.keys() - OPTIONAL
    assert len({types(s) for s in found}) == 1


@pytest.mark.parametrize("knows", [True, False])
def test_a_corpus_of_which_all_or_nothing_is_known_has_these_types_too(tmp_path, corpus, knows):
    Readable(tmp_path / "c", 1, known=lambda number: knows).publish()
    assert {types(s) for s in samples(tmp_path / "c")} == {types(samples(corpus)[0])}


def test_what_is_not_known_is_empty_and_says_why(corpus):
    for sample in samples(corpus):
        if sample["offset_status"] == "measured":
            assert float(sample["video_lag_ms"]) == -43.2 and sample["offset_reason"] == ""
            assert [k for k, x in enumerate(sample["is_interpolated"]) if x] == [3, 4]
            assert " ".join(w["word"] for w in sample["words"]) == sample["text"] != ""
            assert sample["text_reason"] == ""
        else:
            assert sample["video_lag_ms"] == sample["confidence"] == sample["text"] == ""
            assert sample["offset_reason"] and sample["text_reason"]
            assert sample["words"] == [{"word": "", "start_s": 0.0, "end_s": 1.0}]
            assert sample["is_interpolated"] == [False] * 25


def test_shards_of_earlier_releases_and_of_this_one_are_read_alike(corpus):
    old = {
        "video_lag_ms": None,
        "confidence": 0.98,
        "text": None,
        "text_reason": "no captions",
        "words": None,
        "num_frames": 50,
        "interpolated_frames": [],
        "raw_score": 3,
    }
    new = typed(old)
    assert new == {
        "video_lag_ms": "",
        "confidence": "0.98",
        "text": "",
        "num_frames": 50,
        "text_reason": "no captions",
        "is_interpolated": [False] * 50,
        "raw_score": "3.0",
        "words": [{"word": "", "start_s": 0.0, "end_s": 2.0}],
    }
    assert typed(new) == new and typed(known(new)) == new
    expected = {k: v for k, v in old.items() if k != "interpolated_frames"}
    assert {k: v for k, v in known(new).items() if k != "is_interpolated"} == expected
    assert known(old) == old


def test_a_number_that_is_none_is_not_written():
    for bad in (math.nan, math.inf, None):
        with pytest.raises(ValueError, match="search_ms"):
            typed({"search_ms": bad})
    with pytest.raises(ValueError, match="confidence"):
        typed({"confidence": math.nan})


def test_numbers_come_back_as_they_were():
    draw = random.Random(4)
    for _ in range(300):
        number = draw.choice(
            [draw.uniform(-700, 700), round(draw.uniform(-700, 700), 1), 0.0, -0.0, 1e-7, 5]
        )
        assert known(typed({"video_lag_ms": number}))["video_lag_ms"] == number


def test_a_corrected_shard_of_an_earlier_release_has_one_type_for_each_member(tmp_path, corpus):
    parts = [
        {**s.members, "json": json.dumps(_as_before(strict(s.members["json"]))).encode()}
        for tar in shards(corpus)
        for s in read_samples(tar)
    ]
    with open(tmp_path / "old.tar", "wb") as stream:
        write_samples(stream, [ShardSample(f"k{i}", p) for i, p in enumerate(parts)])
    correct_shard(
        tmp_path / "old.tar",
        tmp_path / "new.tar",
        {f"k{i}": 40.0 * (i % 3) for i in range(len(parts))},
    )
    made = [strict(s.members["json"]) for s in read_samples(tmp_path / "new.tar")]
    assert len(made) == len(parts) and len({types(s) for s in made}) == 1
    assert set(made[0]) == MEMBERS.keys()


def _as_before(facts: dict) -> dict:
    old = known(facts)
    old["interpolated_frames"] = [k for k, x in enumerate(old.pop("is_interpolated")) if x]
    return old


def test_the_page_lists_the_members():
    page = (ROOT / "docs/reading.md").read_text()
    found = re.search(r"<!-- members -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found[1] == members_markdown(), "print(manifests.sample_json.members_markdown())"


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("by", ["card", "shards", "folder of shards"])
def test_hugging_face_loads_a_corpus_whole(corpus, tmp_path, monkeypatch, by, streaming):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    how = (
        {"path": str(corpus)}
        if by == "card"
        else {
            "path": "webdataset",
            "data_files": {
                part: [str(p) for p in shards(corpus) if p.parent.name == part]
                for part in ("train", "val", "test")
            },
        }
    )
    if by == "folder of shards":  # where the indexes lie, too
        how = {"path": "webdataset", "data_dir": str(corpus / "shards")}
    loaded = datasets.load_dataset(**how, streaming=streaming, cache_dir=str(tmp_path))
    rows = {}
    for part in loaded.values():
        for name, kind in (("face.mp4", datasets.Video), ("audio.flac", datasets.Audio)):
            part = part.cast_column(name, kind(decode=False))
        rows |= {row["__key__"]: row for row in part}
    expected = {s.key: s.members for tar in shards(corpus) for s in read_samples(tar)}
    assert rows.keys() == expected.keys()
    for key, row in rows.items():
        assert row["json"] == strict(expected[key]["json"])
        assert row["face.mp4"]["bytes"] == expected[key]["face.mp4"]
        assert len(row["landmarks.npy"]) == 25


def test_a_card_has_the_types_that_the_shards_have(corpus, tmp_path):
    datasets = pytest.importorskip("datasets")
    card, plain = (
        datasets.load_dataset(**how, streaming=True, split="train")
        for how in (
            {"path": str(corpus)},
            {"path": "webdataset", "data_files": {"train": [str(s) for s in shards(corpus)]}},
        )
    )
    assert card.features == plain.features
