"""Nothing that yld did not write is removed or written over, wherever it lies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.shards import index_name
from manifests.splits import SplitConfig
from pipeline.build.publish import publish
from pipeline.cli import main
from pipeline.config.build_config import BuildConfig
from pipeline.corpus.clean import clean
from pipeline.corpus.verify import verify
from pipeline.storage import address as place
from pipeline.storage import mirror, own_folder
from pipeline.storage.own_folder import MARK, FileInTheWayError, NotOursError, claim
from pipeline.storage.work_files import WorkFiles
from stages.corpus.sharding import ShardsConfig
from tests.factories import ONE_SHARD, Built
from tests.pipeline.test_publish import built

PLACES = [
    "",
    "shards",
    "shards/train",
    "shards/val",
    "shards/odd",
    "manifests",
    "manifests/clips",
    "manifests/mine",
    "work",
    "work/tmp",
    "work/media",
    "work/clips",
    "work/ledger",
    "work/ledger/clips/v00",
    "work/download/x",
    "media",
    "before",
]
NAMES = [
    "mine.tar",
    "train-000000.tar",
    "train-000007.tar",
    "notes.md",
    "README.md",
    "report.html",
    "SHA256SUMS",
    "part-000000.parquet",
    "part-000001.parquet",
    ".x.tmp",
    ".train-000000.tar.abc.tmp",
    ".train-000000.index.json",
    "offsets.parquet",
    "scores.json",
    "0123.json",
    "lock2",
    "caf\udce9.txt",
    "dataset.json",
    "config.yaml",
    "summary.json",
    "resync.parquet",
]
FOREIGN = st.dictionaries(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(NAMES)).map(
        lambda p: "/".join(p).lstrip("/")
    ),
    st.binary(max_size=40),
    min_size=1,
    max_size=6,
)
QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def sow(root: Path, foreign: dict[str, bytes]) -> dict[str, bytes]:
    """Write those of `foreign` that lie where nothing is yet; what was written."""
    sown = {}
    for name, content in foreign.items():
        path = root / name
        if not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            sown[name] = content
    return sown


def publish_again(corpus: Built, is_recipe_new: bool) -> None:
    """Without reading the shards back: there may be strange ones."""
    config = BuildConfig(shards=ShardsConfig(max_samples=1)) if is_recipe_new else BuildConfig()
    publish(corpus.root, corpus.files, config, corpus.entries, [])


@pytest.fixture
def fresh(tmp_path_factory):
    """A new empty folder at each call, for many examples in one test."""
    return lambda: tmp_path_factory.mktemp("place")


COMMANDS = {
    "build": lambda source, out: ["build", source, "--out", out],
    "dry run": lambda source, out: ["build", source, "--out", out, "--dry-run"],
    "audit": lambda source, out: ["audit", source, "--out", out],
    "resync": lambda source, out: ["resync", source, "--out", out],
    "evaluate": lambda source, out: ["evaluate", "--hyp", source, "--ref", source, "--out", out],
    "demo": lambda source, out: ["demo", "--out", out],
    "report": lambda source, out: ["report", out],
    "clean": lambda source, out: ["clean", out, "--yes"],
}


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_folder_that_is_not_ours_is_refused_and_stays_as_it_is(tmp_path, command):
    source, out = tmp_path / "in", tmp_path / "ds"
    sow(source, {"a.mp4": b"no media"})
    (source / "a.wav").write_bytes(b"RIFF")
    sow(
        out,
        {
            "shards/train/mine.tar": b"MINE",
            "README.md": b"mine",
            "report.html": b"mine",
            "shards/train/train-000000.tar": b"mine",
            "manifests/clips/x": b"mine",
        },
    )
    before = contents(out)
    done = CliRunner().invoke(main, COMMANDS[command](str(source), str(out)))
    assert done.exit_code == 2, done.output
    assert str(out) in done.output and "Traceback" not in done.output
    assert contents(out) == before


@pytest.mark.parametrize("kind", list(own_folder.KINDS))
def test_random_files_make_a_folder_anothers(fresh, kind):
    @QUICK
    @given(FOREIGN)
    def holds(foreign):
        root = fresh()
        sow(root, foreign)
        before = contents(root)
        with pytest.raises(NotOursError, match="not empty"):
            claim(root, kind)
        assert contents(root) == before

    holds()


def test_files_thrown_into_a_corpus_of_ours_stay(fresh):
    """Published again with the same, with another recipe, with more; and taken away."""

    @settings(QUICK, max_examples=14)
    @given(FOREIGN, st.sampled_from(["same", "recipe", "more", "clean"]))
    def holds(foreign, then):
        root = fresh() / "c"
        built(root, 2).publish()
        sown = sow(root, foreign)
        try:
            if then == "clean":
                clean(root)
            else:
                publish_again(built(root, 3 if then == "more" else 2), then == "recipe")
        except FileInTheWayError as error:
            assert any(str(root / name) in str(error) for name in sown)
        after = contents(root)
        assert {n: after.get(n) for n in sown} == sown
        if then == "clean":  # what lies in `work` is named by a ledger that is not here
            assert {n for n in after if not n.startswith("work/")} - {MARK} == {
                n for n in sown if not n.startswith("work/")
            }

    holds()


def test_a_file_in_the_way_stops_the_publication_before_anything_is_changed(tmp_path):
    root = tmp_path / "c"
    built(root, 1).publish(ONE_SHARD)
    sow(root, {"shards/train/train-000001.tar": b"MINE"})
    before = contents(root)
    with pytest.raises(FileInTheWayError, match=r"train-000001\.tar"):
        built(root, 2).publish(ONE_SHARD)
    after = contents(root)
    assert {n: c for n, c in after.items() if not n.startswith("work/")} == {
        n: c for n, c in before.items() if not n.startswith("work/")
    }
    (root / "shards" / "train" / "train-000001.tar").unlink()
    built(root, 2).publish(ONE_SHARD)
    assert (root / "shards" / "train" / "train-000001.tar").exists()


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_an_old_shard_that_is_damaged_is_written_again_and_never_sealed(tmp_path, damage):
    root = tmp_path / "c"
    built(root, 1).publish()
    shard, before = root / "shards" / "train" / "train-000000.tar", contents(root)
    if damage == "gone":
        shard.unlink()
    else:
        content = bytearray(shard.read_bytes())
        content[700] ^= 255
        shard.write_bytes(content)
    built(root, 1).publish()
    after = contents(root)
    for name in ("shards/train/train-000000.tar", "SHA256SUMS", "dataset.json"):
        assert after[name] == before[name], name
    assert ("shards/train/train-000000.tar.changed" in after) == (damage == "changed")


def test_a_table_that_is_not_ours_stops_a_build_before_anything_is_changed(tmp_path):
    root = tmp_path / "c"
    built(root, 1).publish()
    (root / "README.md").write_text("mine")
    sow(root, {"manifests/samples/part-000001.parquet": b"MINE"})
    before = contents(root)
    with pytest.raises(FileInTheWayError, match=r"samples/part-000001\.parquet"):
        built(root, 2).publish()
    assert {n: c for n, c in contents(root).items() if not n.startswith("work/")} == {
        n: c for n, c in before.items() if not n.startswith("work/")
    }


def test_verify_names_a_shard_that_is_not_the_corpus(tmp_path):
    root = tmp_path / "c"
    built(root, 1).publish(ONE_SHARD)
    known = {p["where"] for p in verify(root)}
    train = root / "shards" / "train"
    (train / "train-000001.tar").write_bytes((train / "train-000000.tar").read_bytes())
    assert {p["where"] for p in verify(root)} - known == {"shards/train/train-000001.tar"}


def test_a_readme_that_somebody_changed_is_kept_beside(tmp_path):
    root = tmp_path / "c"
    built(root, 1).publish()
    (root / "README.md").write_text("my own words")
    built(root, 2).publish()
    assert (root / "README.md.changed").read_text() == "my own words"
    assert "my own words" not in (root / "README.md").read_text()


def test_a_publication_that_died_between_is_written_again(tmp_path, monkeypatch):
    root = tmp_path / "c"
    corpus = built(root, 1)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.build.described.croissant", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            corpus.publish()
    assert (root / "shards" / "train" / "train-000000.tar").exists()
    corpus.publish()
    assert not list(root.rglob("*.changed"))
    other = tmp_path / "other" / "c"
    built(other, 1).publish()
    assert (root / "SHA256SUMS").read_bytes() == (other / "SHA256SUMS").read_bytes()


def test_a_corpus_from_before_marks_goes_on(tmp_path):
    root = tmp_path / "c"
    built(root, 1).publish()
    (root / MARK).unlink()
    (root / "work" / "fence").write_text('{"fence": 1}')
    sown = sow(root, {"shards/train/mine.tar": b"MINE"})
    publish_again(built(root, 1), True)
    assert contents(root)["shards/train/mine.tar"] == sown["shards/train/mine.tar"]
    assert not list(root.rglob("*.changed"))


def test_a_file_named_as_an_index_that_is_none_is_not_taken_for_ours(tmp_path):
    root = tmp_path / "c"
    built(root, 1).publish()
    (root / MARK).unlink()
    (root / "work" / "fence").write_text('{"fence": 1}')
    name = index_name("shards/train/train-000000.tar")
    (root / name).write_text("mine")
    with pytest.raises(FileInTheWayError, match=r"train-000000\.index\.json"):
        publish_again(built(root, 1), True)
    assert (root / name).read_text() == "mine"


def test_kinds_do_not_share_a_folder_and_a_broken_mark_is_named(tmp_path):
    claim(tmp_path / "a", "audit")
    with pytest.raises(NotOursError, match="made by `yld audit`"):
        claim(tmp_path / "a", "corpus")
    (tmp_path / "a" / MARK).write_text("{")
    with pytest.raises(NotOursError, match="cannot be read"):
        claim(tmp_path / "a", "audit")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotOursError, match="is a file"):
        claim(tmp_path / "file" / "below", "corpus")


def test_a_mark_that_names_files_outside_is_not_followed(tmp_path):
    (tmp_path / "mine.txt").write_text("MINE")
    root = tmp_path / "c"
    root.mkdir()
    (root / MARK).write_text(
        json.dumps(
            {
                "format": 1,
                "kind": "audit",
                "files": {"../mine.txt": None, str(tmp_path / "mine.txt"): None, "": None},
            }
        )
    )
    clean(root)
    assert (tmp_path / "mine.txt").read_text() == "MINE"


def test_a_link_put_into_a_folder_of_ours_is_not_followed_to_remove(tmp_path):
    root, theirs = tmp_path / "c", tmp_path / "theirs"
    built(root, 1).publish()
    (root / "shards").rename(theirs)
    (root / "shards").symlink_to(theirs)
    clean(root)
    assert (theirs / "train" / "train-000000.tar").exists()


def test_single_files_are_not_written_over(tmp_path):
    (tmp_path / "s").mkdir()
    for name in ("test.html", "test.key.json", "w.safetensors"):
        (tmp_path / name).write_text("MINE")
    done = CliRunner().invoke(
        main,
        ["mos", "make", "--system", f"a={tmp_path / 's'}", "--out", str(tmp_path / "test.html")],
    )
    assert done.exit_code == 2 and "test.html is there already" in done.output
    done = CliRunner().invoke(
        main, ["train", "lipsync", str(tmp_path / "s"), "--out", str(tmp_path / "w.safetensors")]
    )
    assert done.exit_code == 2 and "w.safetensors is there already" in done.output
    assert all(c == b"MINE" for c in contents(tmp_path).values())


# -- addresses ---------------------------------------------------------------------------------


@pytest.fixture
def address(request):
    system = fsspec.filesystem("memory")
    base = f"memory://own-{request.node.name[:20]}"
    yield base, system
    if system.exists(base):
        system.rm(base, recursive=True)


def there(system, base: str) -> dict[str, bytes]:
    root = system._strip_protocol(base)
    return {p.removeprefix(f"{root}/"): system.cat_file(p) for p in system.find(root)}


def test_an_address_that_is_not_ours_is_refused(address):
    base, system = address
    system.pipe_file(f"{base}/shards/train/mine.tar", b"MINE")
    with pytest.raises(NotOursError, match="not empty"):
        place.check(base)
    assert there(system, base) == {"shards/train/mine.tar": b"MINE"}


def test_objects_thrown_to_an_address_of_ours_stay(address, fresh):
    base, system = address

    @settings(QUICK, max_examples=12)
    @given(FOREIGN, st.booleans())
    def holds(foreign, again):
        if system.exists(base):
            system.rm(base, recursive=True)
        root = fresh() / "c"
        place.check(base)
        built(root, 1).publish()
        files = WorkFiles(root / "work", f"{base}/work")
        if again:
            mirror.push(root, files)
            place.check(base)
        sown = {}
        for name, content in foreign.items():
            if not system.exists(f"{base}/{name}"):
                system.pipe_file(f"{base}/{name}", content)
                sown[name] = content
        built(root, 2).publish()
        try:
            mirror.push(root, files)
        except FileInTheWayError as error:
            assert any(name in str(error) for name in sown)
        after = there(system, base)
        assert {n: after.get(n) for n in sown} == sown

    holds()


def test_a_machine_that_brings_a_corpus_removes_only_what_was_brought(address, tmp_path):
    base, _ = address
    first, second = tmp_path / "first", tmp_path / "second"
    built(first, 2).publish(BuildConfig(shards=ShardsConfig(max_samples=1)))
    files = WorkFiles(first / "work", f"{base}/work")
    mirror.push(first, files)
    theirs = WorkFiles(second / "work", f"{base}/work")
    mirror.pull(second, theirs)
    sown = sow(second, {"shards/train/mine.tar": b"MINE", "notes.md": b"mine"})
    old = set(contents(second / "shards"))
    built(first, 2).publish(
        BuildConfig(
            shards=ShardsConfig(max_samples=100, min_per_split=1), splits=SplitConfig(policy="auto")
        )
    )
    mirror.push(first, files)
    mirror.pull(second, theirs)
    after = contents(second)
    assert {n: after[n] for n in sown} == sown
    assert (second / "SHA256SUMS").read_bytes() == (first / "SHA256SUMS").read_bytes()
    assert len(old) > len([n for n in after if n.startswith("shards/")])


def test_a_node_keeps_files_that_are_not_at_the_address(address, tmp_path):
    base, system = address
    files = WorkFiles(tmp_path / "work", f"{base}/work")
    sow(tmp_path, {"work/media/mine.mp4": b"M" * 100, "work/media/ours.mp4": b"o" * 100})
    system.pipe_file(f"{base}/work/media/ours.mp4", b"o" * 100)
    for path in (tmp_path / "work" / "media").iterdir():
        os.utime(path, (1, 1))
    assert files.trim(0.0, ["media"]) == 100
    assert sorted(contents(tmp_path)) == ["work/media/mine.mp4"]


def test_clean_removes_what_a_stage_wrote_that_the_graph_has_no_more(tmp_path):
    root = tmp_path / "c"
    built(root, 1).publish()
    entry = root / "work" / "ledger" / "gone_stage" / "v" / "abc.json"
    entry.parent.mkdir(parents=True)
    entry.write_text(
        '{"stage": "gone_stage", "unit": "v", "key": "k", "kind": "Offset", "results": []}'
    )
    clean(root)
    assert not entry.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["merge", "{corpus}", "{corpus}", "--out"],
        ["export", "{corpus}", "--as", "lrs", "--out"],
        ["shards", "repack", "{corpus}", "--out"],
        ["report", "{corpus}", "--out"],
        ["audit", "{corpus}", "--out"],
        ["train", "slts", "--data", "{corpus}", "--out"],
    ],
)
def test_an_address_is_refused_where_a_folder_of_this_machine_is_written(
    tmp_path, monkeypatch, words
):
    """It became a folder `s3:` here, or an error about buckets."""
    monkeypatch.chdir(tmp_path)
    words = [w.replace("{corpus}", str(tmp_path)) for w in words]
    result = CliRunner().invoke(main, [*words, "s3://bucket/there"])
    assert result.exit_code == 2 and "is an address" in result.stderr
    assert not list(tmp_path.iterdir())
