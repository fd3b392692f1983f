"""`dataset.json` is Croissant: mlcroissant loads it, finds no error, and reads every record."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests.description.croissant import SETS
from manifests.files import sha256_of
from manifests.shards import read_samples
from tests.readable import Readable


@pytest.fixture(scope="module", params=[24, 1], ids=["three parts", "one part"])
def corpus(request, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("croissant") / "my-corpus"
    Readable(root, request.param, licence="CC BY 4.0").publish()
    return root


@pytest.fixture
def mlcroissant(tmp_path, monkeypatch):
    """The reader, with a cache of its own: it names what it unpacked by relative path alone."""
    made = pytest.importorskip("mlcroissant", exc_type=ImportError)
    from etils import epath
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", epath.Path(tmp_path / "extract"))
    return made


def samples(root: Path) -> dict[str, dict[str, bytes]]:
    return {
        sample.key: sample.members
        for tar in sorted((root / "shards").glob("*/*.tar"))
        for sample in read_samples(tar)
    }


def test_it_is_valid_but_for_a_date_that_would_differ_from_run_to_run(corpus, mlcroissant):
    issues = mlcroissant.Dataset(str(corpus / "dataset.json")).metadata.ctx.issues
    assert not issues.errors
    assert len(issues.warnings) == 1 and "datePublished" in str(issues.warnings)


def test_every_member_of_every_sample_is_a_record(corpus, mlcroissant):
    read = mlcroissant.Dataset(str(corpus / "dataset.json"))
    expected = samples(corpus)
    for name, (member, _) in SETS.items():
        got = {r[f"{name}/clip_id"].decode(): r[f"{name}/{member}"] for r in read.records(name)}
        assert got == {key: parts[member] for key, parts in expected.items()}, name


def test_facts_of_the_tables_are_typed_records(corpus, mlcroissant):
    read = mlcroissant.Dataset(str(corpus / "dataset.json"))
    got = {r["samples/clip_id"].decode(): r for r in read.records("samples")}
    clips, places = (
        {
            r["clip_id"]: r
            for r in pq.read_table(corpus / f"manifests/{t}/part-000000.parquet").to_pylist()
        }
        for t in ("clips", "samples")
    )
    assert got.keys() == clips.keys() == samples(corpus).keys()
    for key, record in got.items():
        for column, value in (clips[key] | places[key]).items():
            found = record[f"samples/{column}"]
            assert (found.decode() if isinstance(found, bytes) else found) == value, column
    assert any(r["samples/text"] is None for r in got.values())


def test_a_corpus_without_a_clip_is_valid(tmp_path, mlcroissant):
    Readable(tmp_path / "c", 0).publish()
    read = mlcroissant.Dataset(str(tmp_path / "c" / "dataset.json"))
    assert not read.metadata.ctx.issues.errors and not list(read.records("samples"))


def test_files_are_named_with_size_and_hash_and_nothing_tells_when_or_where(corpus, tmp_path):
    text = (corpus / "dataset.json").read_text()
    described = json.loads(text)
    files = [d for d in described["distribution"] if d["@type"] == "cr:FileObject"]
    for file in files:
        path = corpus / file["contentUrl"]
        assert file["sha256"] == sha256_of(path)
        assert file["contentSize"] == f"{path.stat().st_size} B"
    assert sum(f["encodingFormat"] == "application/x-tar" for f in files) == len(
        list((corpus / "shards").glob("*/*.tar"))
    )
    assert described["license"] == ["CC BY 4.0"]
    count = len({key.split("-")[0] for key in samples(corpus)})
    Readable(tmp_path / "elsewhere" / "my-corpus", count, licence="CC BY 4.0").publish()
    assert (tmp_path / "elsewhere" / "my-corpus" / "dataset.json").read_text() == text


def test_a_description_without_containment_is_refused_by_these_tests(corpus, mlcroissant, tmp_path):
    """The tests can fail: without `containedIn` no record comes out of the tars."""
    described = json.loads((corpus / "dataset.json").read_text())
    for item in described["distribution"]:
        item.pop("containedIn", None)
    (corpus / "broken.json").write_text(json.dumps(described))
    try:
        read = mlcroissant.Dataset(str(corpus / "broken.json"))
        try:
            found = len(list(read.records("faces")))
        except Exception:
            found = 0
        assert found < len(samples(corpus))
    finally:
        (corpus / "broken.json").unlink()
