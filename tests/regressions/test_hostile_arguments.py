"""Whatever stands in place of a file: one sentence that names it, no error number, a true code."""

from __future__ import annotations

import errno
import io
import os
import tarfile

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from evaluation.mos.answers import score_answers
from manifests.corpus import TABLES
from manifests.media.facts import MediaError, read_facts, why_unreadable
from manifests.plain_words import SAYINGS, read_json, read_text, sentence
from pipeline.cli import main
from pipeline.corpus import checksums

ZEROS = b"0" * 64


def invoke(*arguments):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Errno" not in result.output and "codec can" not in result.output
    return result


def found(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "SHA256SUMS").write_bytes(content)
    said: list[tuple[str, str]] = []
    checksums.check(folder, "", lambda *row: said.append(row))
    return said


def test_a_sealed_list_is_what_it_says(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "c").write_bytes(b"")
    empty = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert found(tmp_path, empty + b"  a b/c\n" + empty.upper() + b" *./a b/c\r\n") == []
    assert found(tmp_path, ZEROS + b"  a b/c\n") == [("a b/c", "differs from SHA256SUMS")]
    assert found(tmp_path, ZEROS + b"  gone\n") == [("gone", "named in SHA256SUMS, but missing")]
    ((where, problem),) = found(tmp_path, ZEROS + b"  a b\n")
    assert where == "a b" and "is a folder" in problem


@pytest.mark.parametrize(
    "name", [b"/etc/passwd", b"../x", b"a/../../x", b"..", b"a\\..\\x", b"caf\xe9"]
)
def test_no_place_outside_is_looked_at(tmp_path, name, monkeypatch):
    monkeypatch.setattr(checksums, "sha256_of", lambda path: pytest.fail(f"{path} was read"))
    (tmp_path / "x").write_bytes(b"")
    ((where, problem),) = found(tmp_path / "corpus", ZEROS + b"  " + name + b"\n")
    assert where == "SHA256SUMS" and ("outside the corpus" in problem or "no text" in problem)


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (b"", ["is empty"]),
        (os.urandom(5000).replace(b"\n", b"") + b"\xff\n", ["is no list"]),
        (b"x" * 10**6, ["a line has no end"]),
        (b"hello\n" * 1000, ["no checksum"] * 5 + ["too many"]),
        (b"d41d8cd98f00b204e9800998ecf8427e  md5\n", ["no checksum and name"]),
        (ZEROS + b"  \n", ["no checksum"]),
        (ZEROS + b"  a\0b\n", ["no checksum"]),
        (ZEROS + b"  " + b"n" * 300 + b"\n", ["too long"]),
    ],
)
def test_a_foreign_list_is_told_in_a_few_sentences(tmp_path, content, problems):
    said = found(tmp_path, content)
    assert len(said) == len(problems)
    for (_, problem), wanted in zip(said, problems, strict=True):
        assert wanted in problem and "Errno" not in problem


@pytest.fixture
def foreign(tmp_path):
    """Folders that look like a corpus from afar."""
    for name, content in {
        "binary/work/status.json": b"\xff\xfe",
        "binary/manifests/status.json": b"{",
        "binary/dataset.json": b"[1]",
        "binary/SHA256SUMS": b"\xff",
        "binary/manifests/clips/part-0.parquet": b"no table",
        "strange/manifests/status.json": b'{"stages": [1]}',
        "strange/dataset.json": b"{}",
        "live/work/status.json": b'{"a": 1}',
        "file": b"",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for table in TABLES:
        path = tmp_path / "tables" / "manifests" / table / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"x": [1]}), path)
    for place in (
        "folders/SHA256SUMS",
        "folders/manifests/SHA256SUMS",
        "folders/dataset.json",
        "folders/manifests/status.json",
        "folders/work/status.json",
        "empty",
    ):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path


def test_no_command_breaks_on_what_is_no_corpus(foreign):
    for name in ("binary", "strange", "live", "tables", "folders", "empty", "file", "absent"):
        for command in (
            ["verify"],
            ["verify", "--json"],
            ["report"],
            ["status"],
            ["status", "--why"],
            ["status", "--cost"],
        ):
            result = invoke(command[0], foreign / name, *command[1:])
            assert result.exit_code in ({1, 2} if command[0] == "verify" else {0, 2})
            if result.exit_code == 2:
                assert str(foreign / name) in result.stderr
    for name in ("binary", "strange"):
        result = invoke("verify", foreign / name)
        assert result.exit_code == 1 and "problems" in result.stdout
    for name in ("tables", "folders"):  # nothing in them is ours
        for command in ("verify", "report"):
            result = invoke(command, foreign / name)
            assert result.exit_code == 2 and "holds no corpus" in result.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[1]",
        b"null",
        b'{"format": 1}',
        b"[" * 100000,
        b'{"format": 1, "test": "t", "stimuli": {"s": {}}, "questions": ["q"], "systems": ["a"]}',
        b'{"format": 1, "test": "t", "stimuli": [1], "questions": 3, "systems": null}',
    ],
)
def test_a_key_and_answers_of_others(tmp_path, content):
    (tmp_path / "k.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"k\.json"):
        score_answers(tmp_path / "k.json", [tmp_path / "k.json"])
    good = (
        b'{"format": 1, "test": "t", "rater": "r", "questions": ["q"], "systems": ["a"], '
        b'"stimuli": {"s": {"system": "a", "sample": "x"}}, "answers": {"s": '
    )
    for answer in (b"[1]}}", b'{"ratings": [1]}}}', b'{"ratings": {"q": NaN}}}}'):
        (tmp_path / "k.json").write_bytes(good + answer)
        with pytest.raises(ValueError, match=r"k\.json"):
            score_answers(tmp_path / "k.json", [tmp_path / "k.json"])


def test_texts_configs_and_places_of_others(tmp_path):
    (tmp_path / "latin").write_bytes("é".encode("latin-1") * 9)
    (tmp_path / "sound").mkdir()
    (tmp_path / "sound" / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "loop").symlink_to("loop")
    pair = ["--hyp", tmp_path / "sound", "--ref", tmp_path / "sound", "--out", tmp_path / "o"]
    for option in ("--text", "--speakers"):
        result = invoke("evaluate", *pair, option, tmp_path / "latin")
        assert result.exit_code == 2 and "latin is no UTF-8 text" in result.stderr
    for config, word in (("latin", "no UTF-8 text"), ("absent", "not there")):
        result = invoke("build", "x.mp4", "--out", tmp_path / "o", "--config", tmp_path / config)
        assert result.exit_code == 2 and config in result.stderr and word in result.stderr
    result = invoke("build", tmp_path / "sound" / "a.wav", "--out", tmp_path / "loop")
    assert result.exit_code != 0
    for given in ("ours", "ours=", "=x", f"ours={tmp_path / 'latin'}"):
        result = invoke("mos", "make", "--out", tmp_path / "t.html", "--system", given)
        assert result.exit_code == 2 and "NAME=DIR is wanted" in result.stderr
    result = invoke(
        "mos", "make", "--out", tmp_path / "latin" / "t.html", "--system", f"a={tmp_path / 'sound'}"
    )
    assert result.exit_code == 2


def test_errors_of_the_system_are_sentences(tmp_path):
    for number in (*SAYINGS, errno.EPIPE):
        said = sentence(OSError(number, os.strerror(number), str(tmp_path / "x")))
        assert said.startswith(str(tmp_path / "x")) and "[" not in said
    assert sentence(OSError("in our own words")) == "in our own words"
    assert sentence(KeyError()) == "KeyError"
    with pytest.raises(ValueError, match="is a folder, where a file is wanted"):
        read_text(tmp_path)
    (tmp_path / "bom.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "bom.json") == {"a": 1}


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOMEM,
        errno.EINVAL,
        errno.ERANGE,
        errno.ENOSYS,
        errno.EPERM,
        errno.EIO,
        av.error.ErrorType.BUG,
        av.error.ErrorType.PATCHWELCOME,
        av.error.ErrorType.DECODER_NOT_FOUND,
    ],
)
def test_ffmpegs_words_for_a_damaged_file_are_explained(tmp_path, monkeypatch, number):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"content")
    number = getattr(number, "value", number)

    def fail(*_, **__):
        raise _raised(number)

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(MediaError) as caught:
        read_facts(path)
    assert caught.value.reason == "unreadable"
    said = str(caught.value)
    assert said.startswith("broken.mp4: ") and "Errno" not in said
    assert "fetch it again, or repair it with `ffmpeg -i IN -c copy OUT`" in said
    assert why_unreadable(path, _raised(number)) in said


def _raised(number):
    try:
        av.error.err_check(-number, "broken.mp4")
    except av.FFmpegError as error:
        return error
    raise AssertionError(number)


@pytest.mark.parametrize(
    "content",
    [
        b"caf\xe9,0,3\n",
        b"id,1,2\nid,nan,3\nid,nan,3\n",
        b"id,1,2\nid,3,inf\nid,3,inf\n",
        b"id,1,2\nid,3,2\nid,3,2\n",
        b'id,1,2\n"' + b"x" * 200000 + b"\nx,y\n",
    ],
)
def test_a_list_to_audit_is_read_with_care(tmp_path, content):
    (tmp_path / "list.csv").write_bytes(content)
    result = invoke("audit", tmp_path / "list.csv", "--out", tmp_path / "o")
    assert result.exit_code == 2 and "list.csv" in result.stderr
    result = invoke("audit", tmp_path, "--out", tmp_path / "o", "--layout", "avspeech")
    assert result.exit_code == 2 and str(tmp_path) in result.stderr


def test_training_on_shards_of_others(tmp_path):
    shard = tmp_path / "c" / "shards" / "train" / "a.tar"
    shard.parent.mkdir(parents=True)
    with tarfile.open(shard, "w") as tar:
        for name in ("k.json", "k.face.mp4"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    for say in ("k is damaged, or no sample of ours", "cannot be read as a tar"):
        result = invoke("train", "lipsync", tmp_path / "c", "--out", tmp_path / "w.pt")
        assert result.exit_code == 2 and say in result.stderr and "a.tar" in result.stderr
        shard.write_bytes(b"no tar at all" * 100)
