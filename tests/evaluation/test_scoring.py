"""A row for everything: statuses and reasons, crashes that cost one row, signatures."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from evaluation.catalogue import METRICS, all_names, parse
from evaluation.isolation import ScoringProcess
from evaluation.records import STATUSES, Utterance
from evaluation.scoring import plain, score
from evaluation.signatures import signature
from manifests.media.encode import encode_flac
from tests.evaluation.clips import speechlike
from tests.evaluation.poison import POISON


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sounds of one reference in several conditions."""
    made = tmp_path_factory.mktemp("sounds")
    sound = speechlike()
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(sound))
    for name, signal in {
        "reference": sound,
        "noisy": sound + noise,
        "silent": np.zeros(len(sound)),
        "faint": sound * 1e-5,
        "half": sound[:24000],
        "short": sound[:3000],
        "late": np.concatenate([np.zeros(1600), sound])[: len(sound)],
    }.items():
        pcm = np.rint(np.clip(signal, -1, 1) * 32767).astype(np.int16)
        (made / f"{name}.flac").write_bytes(encode_flac(pcm))
    (made / "broken.flac").write_bytes(b"fLaC and then nothing of use")
    return made


def rows_of(folder, hypothesis, names, reference="reference", **known):
    utterance = Utterance(
        "u", str(folder / f"{reference}.flac"), str(folder / f"{hypothesis}.flac"), **known
    )
    return list(score(utterance, names))


@pytest.mark.parametrize(
    ("hypothesis", "status"),
    [
        ("noisy", "ok"),
        ("silent", "silent"),
        ("faint", "silent"),
        ("half", "length_mismatch"),
        ("broken", "error"),
        ("absent", "error"),
    ],
)
def test_status(folder, hypothesis, status):
    for row in rows_of(folder, hypothesis, ["stoi", "a-stoi", "mcd"]):
        assert row.status == status
        assert (row.value is None) == (status != "ok")
        assert bool(row.reason) == (status != "ok")
        assert row.status in STATUSES


def test_too_short_is_no_score(folder):
    """pystoi itself gives 1e-5 here."""
    for row in rows_of(folder, "short", ["stoi", "estoi"], reference="short"):
        assert (row.status, row.value) == ("too_short", None)


def test_aligned_rows_carry_the_shift(folder):
    plain, aligned = rows_of(folder, "late", ["stoi", "a-stoi"])
    assert plain.shift_ms is None and aligned.shift_ms == -100
    assert aligned.value > 0.999 > 0.5 > plain.value


def test_what_is_not_given_says_so(folder):
    text, sync, pictures = rows_of(folder, "noisy", ["wer", "lse-c", "psnr"])
    assert "--text" in text.reason
    assert "--video" in sync.reason
    assert "no pictures" in pictures.reason
    assert {r.status for r in (text, sync, pictures)} == {"error"}


@pytest.mark.parametrize("name", ["broken.wav", "broken.mp4"])
def test_a_broken_file_is_named_in_plain_words(folder, name):
    (folder / name).write_bytes(b"nothing" * 100)
    sound = str(folder / "reference.flac")
    for role, files in (
        ("hypothesis", (sound, str(folder / name))),
        ("reference", (str(folder / name), sound)),
    ):
        (row,) = score(Utterance("u", *files), ["stoi"])
        assert row.status == "error" and row.reason.startswith(f"the {role} cannot be read: ")
        assert row.reason.count(name) == 1 and row.reason.endswith("not a media file, or damaged")
        assert "Error:" not in row.reason and "Errno" not in row.reason


def test_a_long_reason_is_cut_at_a_word():
    assert plain("[Errno 2]  no\nsuch file") == "no such file"
    cut = plain("word " * 300)
    assert len(cut) <= 500 and cut.endswith("word ...")


def test_a_crash_costs_one_row(folder, monkeypatch):
    for name, metric in POISON.items():
        monkeypatch.setitem(METRICS, name, metric)
    utterance = Utterance("u", str(folder / "reference.flac"), str(folder / "noisy.flac"))
    names = ["stoi", "segfault", "mcd", "leave", "not_a_number", "mistake", "endless", "estoi"]
    command = (sys.executable, "-m", "tests.evaluation.poison")
    with ScoringProcess(timeout_s=8, command=command) as process:
        rows = {row.metric: row for row in process.score(utterance, names)}
        again = list(process.score(utterance, ["stoi"]))
    assert list(rows) == names
    assert [n for n, r in rows.items() if r.status == "ok"] == ["stoi", "mcd", "estoi"]
    assert "SIGSEGV" in rows["segfault"].reason
    assert "exit code 3" in rows["leave"].reason
    assert rows["endless"].reason == "no end within 8 s"
    assert "nan" in rows["not_a_number"].reason
    assert rows["mistake"].reason == ("a fault in the metric's code (KeyError): 'no such thing'")
    assert again[0].value == rows["stoi"].value


def test_the_child_gives_what_the_function_gives(folder):
    utterance = Utterance("u", str(folder / "reference.flac"), str(folder / "late.flac"))
    names = ["stoi", "a-estoi", "mcd"]
    with ScoringProcess() as process:
        assert list(process.score(utterance, names)) == list(score(utterance, names))


def test_signatures_tell_metrics_and_modes_apart():
    signatures = [signature(name) for name in all_names()]
    assert len(set(signatures)) == len(signatures)
    assert "pystoi:" in signature("stoi") and "rate:16000" in signature("stoi")
    assert "mode:aligned|frontend:" in signature("a-stoi")
    assert "frontend" not in signature("stoi")


def test_names_are_checked():
    assert parse("mcd, a-stoi,mcd") == ["mcd", "a-stoi"]
    for wrong in ("a-wer", "stoy", "", "a-"):
        with pytest.raises(ValueError, match="metric"):
            parse(wrong)
