"""The last words of a run: why there is nothing, what failed, how to have it tried again."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from manifests.media.encode import encode_flac
from manifests.records import Failure, Offset, Reject
from pipeline.build.job import Outcome
from pipeline.cli import main
from pipeline.run import status, why
from pipeline.run.ledger import Entry, Result
from tests.factories import blank


def entries():
    def reject(reason, measured=None, threshold=None, detail=None):
        return Result(
            "i",
            reject=dataclasses.replace(
                blank(Reject), reason=reason, measured=measured, threshold=threshold, detail=detail
            ),
        )

    def failure(retryable, text="OSError: no room\nmore"):
        return Result(
            "i",
            failure=dataclasses.replace(
                blank(Failure), reason="error", exception=text, retryable=retryable
            ),
        )

    offset = dataclasses.replace(
        blank(Offset), offset_status="no_speech", confidence=None, reason="0.1 s of speech"
    )
    return {
        "probe": {
            "v1": Entry("probe", "v1", "k", [reject("no_audio", detail="a.mp4 is mute")]),
            "v2": Entry("probe", "v2", "k", [failure(True)]),
            "v3": Entry("probe", "v3", "k", [failure(False), failure(True)]),
        },
        "tracks": {
            "v4": Entry(
                "tracks",
                "v4",
                "k",
                [reject("face_too_small", m, 64.0, "a face") for m in (10.0, 20.0, 30.0, 40.0)],
            )
        },
        "measure": {"v4": Entry("measure", "v4", "k", [Result("i", [offset])])},
    }


def test_the_commonest_reasons_come_first_with_their_numbers():
    assert why.commonest(why.of_entries(entries())) == [
        "  4 x face_too_small, rejected in tracks (measured 25, threshold 64): a face",
        "  3 x error, failed in probe: OSError: no room",
        "  1 x no_audio, rejected in probe: a.mp4 is mute",
    ]
    assert why.commonest(why.of_entries(entries(), offsets=True))[-1] == "  1 other reason"
    (line,) = why.commonest(why.of_entries({"measure": entries()["measure"]}, offsets=True))
    assert line == "  1 x no_speech, rejected in measure: 0.1 s of speech"
    assert why.commonest([]) == []


def test_what_failed_and_how_it_is_tried_again(tmp_path):
    assert why.failed_words({}, tmp_path) is None
    assert why.failed_words(entries(), tmp_path) == (
        "yld: 2 sources failed in a stage; the same command tries 1 of them again by itself, "
        f"--retry-failed tries 1 of them again; `yld status {tmp_path} --why` lists what failed"
    )
    one = {"probe": {"v3": entries()["probe"]["v3"]}}
    assert "1 source failed in a stage; --retry-failed tries it again; " in why.failed_words(
        one, tmp_path
    )


@pytest.mark.parametrize(
    ("outcome", "options", "code"),
    [
        ((3, 0.0, 0), ["--strict"], 0),
        ((3, 0.1, 1), [], 0),
        ((3, 0.1, 1), ["--strict"], 4),
        ((0, 1.0, 2), [], 1),
        ((0, 1.0, 2), ["--strict"], 4),
        ((0, 0.0, 0), ["--strict"], 1),
        ((3, 0.9, 9), [], 1),
    ],
)
def test_the_exit_code_of_a_build(tmp_path, monkeypatch, outcome, options, code):
    samples, rate, failed = outcome
    lines = ["  2 x no_audio, rejected in probe: a.mp4 is mute"]
    monkeypatch.setattr(
        "pipeline.build.job.build", lambda *_, **__: Outcome([], samples, rate, failed, lines, None)
    )
    result = CliRunner().invoke(main, ["build", "x.mp4", "--out", str(tmp_path / "c"), *options])
    assert result.exit_code == code
    assert lines[0] in result.stderr
    assert ("no source gave a clip" in result.stderr) == (samples == 0)
    assert "next: yld status" in result.stderr
    assert ("--strict" in result.stderr) == (code == 4)


def test_one_system_compares_nothing_and_is_told(tmp_path):
    for name in ("true", "ours"):
        (tmp_path / name).mkdir()
        tone = 8000 * np.sin(np.arange(3200) / 5)
        (tmp_path / name / "a.flac").write_bytes(encode_flac(tone.astype(np.int16)))
    for names in (["ours"], ["ours", "true"]):
        result = CliRunner().invoke(
            main,
            [
                "mos",
                "make",
                "--out",
                str(tmp_path / f"{len(names)}.html"),
                *(a for n in names for a in ("--system", f"{n}={tmp_path / n}")),
            ],
        )
        assert result.exit_code == 0
        assert ("ours is the only system: raters have nothing to compare" in result.stderr) == (
            len(names) == 1
        )
        key = json.loads((tmp_path / f"{len(names)}.key.json").read_text())
        assert key["systems"] == names


def row(stage: str, reason: str, number: int, **more) -> dict:
    facts = {"stage": stage, "reason": reason, "item_id": f"t{number}", "video_id": f"v{number}"}
    return facts | {"measured": 10.0 + number, "threshold": 25.0, "detail": "frames"} | more


def test_what_fell_out_is_listed_by_reason_its_source_first():
    rows = [row("identity", "too_brief", n) for n in range(25)]
    failure = row(
        "probe",
        "error",
        30,
        measured=None,
        exception="ValueError: odd",
        detail="ValueError: odd\n  in x",
    )
    sources = {f"v{n}": f"/films/{'long ' * 20}{n}.mp4" for n in range(25)} | {"v30": "https://x/y"}
    lines = list(why.listed([*rows, failure], sources, width=80))
    assert lines[0] == "25 x too_brief, in identity (measured 22, threshold 25)"
    assert lines[1].startswith("  long long") and lines[1].endswith("…") and len(lines[1]) == 80
    assert lines[21] == "  and 5 more (-v lists all)"
    assert lines[22:] == ["1 x error, in probe", "  https://x/y  ValueError: odd"]
    whole = list(why.listed([*rows, failure], sources, is_verbose=True))
    assert len(whole) == 1 + 25 + 1 + 1 + 2 and whole[-1] == "      in x"
    assert "/films/long" in whole[1] and "t0" in whole[1]
    assert list(why.listed([], {})) == []


def test_costs_are_told_within_80_columns():
    facts = {"cpu_s": 12345.67, "cpu_s_per_video_s": 0.1234, "decoded_s_per_video_s": 1.5}
    more = {"pictures": 123456, "pictures_per_network_s": 53.8, "pictures_per_worker_s": 12.6}
    rows = [{"stage": s, "peak_rss_mb": 934.5} | facts | more for s in ("shots", "identity")]
    lines = status.cost_table(rows).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-2].split() == ["all", "2.47e+04", "0.247", "3", "934"]
