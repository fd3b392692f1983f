"""The dataset card has a YAML head that the Hub accepts, true to what the sources state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from manifests import records as rec
from manifests.description.card import card
from manifests.description.card_head import languages_of, licence_of
from manifests.records import Sample
from pipeline.build.job import remember_hints
from pipeline.corpus.facts import changed_settings
from pipeline.run.ledger import Entry, Result
from tests.factories import blank, fetched
from tests.readable import Readable

YOUTUBE = "Creative Commons Attribution license (reuse allowed)"


def head_of(text: str) -> dict:
    mark, head, rest = text.split("---\n", 2)
    assert mark == "" and rest.startswith("\n# ")
    return yaml.safe_load(head)


@pytest.mark.parametrize(
    "stated, expected",
    [
        (["CC BY 4.0", "cc-by-4.0"], {"license": "cc-by-4.0"}),
        ([YOUTUBE], {"license": "cc-by-3.0"}),
        ([YOUTUBE, "CC0 1.0"], {"license": ["cc-by-3.0", "cc0-1.0"]}),
        ([None, None], {"license": "unknown"}),
        ([], {"license": "unknown"}),
        # One source that states nothing, or a licence without an identifier, and no identifier is
        # true of the corpus.
        ([YOUTUBE, None], {"license": "other", "license_name": "as-each-source-states"}),
        (
            ["Standard YouTube License"],
            {"license": "other", "license_name": "as-each-source-states"},
        ),
    ],
)
def test_a_licence_is_claimed_only_if_every_source_states_one(stated, expected):
    sources = [fetched(f"v{i}", f"/{i}.mp4", licence=x) for i, x in enumerate(stated)]
    assert licence_of(sources) == expected


def test_languages_are_codes():
    sources = [
        fetched(f"v{i}", "/x.mp4", language=x)
        for i, x in enumerate(["en-US", "de", None, "und", "deu", "Klingon (spoken)"])
    ]
    assert languages_of(sources) == ["de", "deu", "en"]


@pytest.mark.parametrize("count, size", [(999, "n<1K"), (1000, "1K<n<10K"), (25_000, "10K<n<100K")])
def test_sizes_and_parts_are_those_of_the_samples(count, size):
    samples = [
        Sample(f"c{i}", "v", "s", "val" if i % 4 else "train", "shards/x.tar", i, 10, "")
        for i in range(count)
    ]
    head = head_of(card("c: d", samples, [fetched("v", "/x.mp4")], "A sentence."))
    assert head["pretty_name"] == "c: d" and head["size_categories"] == [size]
    parts = head["dataset_info"]["splits"]
    assert [p["name"] for p in parts] == ["train", "val"]
    assert sum(p["num_examples"] for p in parts) == count
    assert head["configs"][0]["data_files"] == [
        {"split": p, "path": f"shards/{p}/*.tar"} for p in ("train", "val")
    ]


def test_sources_that_gave_no_clip_state_nothing_about_the_corpus():
    samples = [Sample("c", "v1", "s", "train", "shards/x.tar", 0, 10, "")]
    text = card(
        "c", samples, [fetched("v1", "/a.mp4", licence="CC BY 4.0"), fetched("v2", "/b.mp4")], ""
    )
    assert head_of(text)["license"] == "cc-by-4.0" and "- CC BY 4.0: 1 sources" in text


def test_the_hub_s_own_reader_takes_the_card(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    Readable(tmp_path / "c", 1, licence=YOUTUBE).publish()
    text = Path(tmp_path / "c" / "README.md").read_text()
    loaded = hub.DatasetCard(text)
    assert loaded.data.license == "cc-by-3.0" and loaded.data.pretty_name == "c"
    assert hub.DatasetCardData(**head_of(text)).to_dict() == head_of(text)
    datasets = pytest.importorskip("datasets")
    info = datasets.DatasetInfo._from_yaml_dict(head_of(text)["dataset_info"])
    assert list(info.features) == [
        "face.mp4",
        "audio.flac",
        "landmarks.npy",
        "json",
        "__key__",
        "__url__",
    ]
    assert info.splits["train"].num_examples == 2


def test_the_card_answers_what_a_datasheet_asks(tmp_path):
    built = Readable(tmp_path / "c", 3, licence="CC BY 4.0")
    reject = blank(rec.Reject, reason="no_face", stage="tracks", item_id="v99", video_id="v99")
    built.entries["tracks"] = {"v99": Entry("tracks", "v99", "k", [Result("v99", reject=reject)])}
    offsets = [blank(rec.Offset, track_id=f"v0{n}-t", estimator="lipsync-3") for n in range(3)]
    built.entries["sync"] = {
        o.track_id: Entry("sync", "u", "k", [Result("i", [o])]) for o in offsets
    }
    built.publish()
    text = (tmp_path / "c" / "README.md").read_text()
    for line in (
        "| all | 6 | 6.0 s | 3 | 3 |",
        "| before correction | -43 ms | -43 ms to -43 ms | 0% | 4 of 6 |",
        "| as published | 0 ms | 0 ms to 0 ms | 100% | 4 of 6 |",
        "Measured by lipsync-3.",
        "| tracks | judged | no_face | 1 |",
        "- CC BY 4.0: 3 sources",
        "Texts: none 4, corpus 2.",
    ):
        assert line in text, f"{line}\n{text}"
    assert str(tmp_path) not in text and head_of(text)["license"] == "cc-by-4.0"


@pytest.mark.parametrize(
    "name, head, line",
    [
        ("grid", {"license": "cc-by-4.0"}, "GRID audiovisual sentence corpus, CC BY 4.0"),
        (
            "tcd_timit",
            {"license": "other", "license_name": "own-agreement-for-research-by-request"},
            "TCD-TIMIT, own agreement, for research; by request",
        ),
        ("avspeech", {"license": "unknown"}, None),  # each video has its own
    ],
)
def test_owners_of_a_corpus_state_what_its_sources_do_not(tmp_path, name, head, line):
    built = Readable(tmp_path / "c", 2)
    sources = [
        blank(rec.Source, source_id=s.source_id, request_id=f"r{n}")
        for n, s in enumerate(built.sources)
    ]
    built.entries["expand"] = {
        s.source_id: Entry("expand", "u", "k", [Result("i", [s])]) for s in sources
    }
    hints = [blank(rec.Hint, hint_id=f"h{n}", request_id=f"r{n}", corpus=name) for n in (0, 1)]
    remember_hints(built.files, hints)
    built.publish()
    text = (tmp_path / "c" / "README.md").read_text()
    found = {k: v for k, v in head_of(text).items() if k.startswith("license")}
    said = f"by the corpora's owners: {line}" if line else "not stated"
    assert found == head and f"- {said}: 2 sources" in text.split("## Licences")[1]
    assert json.loads((tmp_path / "c" / "dataset.json").read_text())["license"] == [said]


def test_the_card_tells_no_path_and_nothing_private(tmp_path):
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "clips": {"mode": "whole"},
                "download": {"cookies_file": "/home/me/c.txt", "allow_hosts": ["10.0.0.1"]},
                "splits": {"policy": "list:/home/me/list.txt"},
            }
        )
    )
    assert changed_settings(tmp_path) == {"clips.mode": "whole"}
