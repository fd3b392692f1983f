"""The log of a run: one event a line, with unit, stage and cause; stderr in words or in JSON."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from manifests.records import Failure, Reject, Request
from pipeline.commands.options import friendly, voiced
from pipeline.run import voice
from pipeline.run.events import EventLog
from pipeline.run.ledger import Entry, Result
from pipeline.run.voice import JsonLines, Quiet, Voice, speaking
from tests.factories import blank

NODE = SimpleNamespace(name="tracks")
SOURCE = "/films/an interview.mp4"


def unit(**more) -> SimpleNamespace:
    facts = {"name": "r1", "attempts": 1, "cause": "", "records": [Request("r1", SOURCE, "", "")]}
    return SimpleNamespace(**(facts | more))


def entry() -> Entry:
    reject = blank(Reject, reason="no_face", measured=0.0, threshold=1.0, detail="none seen")
    failure = blank(Failure, reason="error", exception="ValueError: odd\nmore", retryable=True)
    results = [Result("t1", reject=reject), Result("t2", failure=failure)]
    return Entry("tracks", "r1", "k", results, wall_s=2.5, video_s=30.0)


def run(path, said) -> None:
    log = EventLog(path, said.append)
    log.began(1, version="x")
    log.observe("queued", NODE, unit())
    log.observe("started", NODE, unit())
    log.observe("broken", NODE, unit(cause="crash: SIGSEGV"))
    log.observe("finished", NODE, entry())
    log.observe("reused", NODE, Entry("tracks", "r2", "k", []))
    log.ended(RuntimeError("disk full"))


def test_each_event_is_a_line_with_unit_stage_source_and_cause(tmp_path):
    path, said = tmp_path / "log.jsonl", []
    run(path, said)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["event"] for r in rows] == [
        *("run_began", "started", "broken", "rejected", "failed", "finished", "run_ended")
    ]
    for row in rows[1:-1]:
        assert (row["stage"], row["unit"], row["source"]) == ("tracks", "r1", SOURCE)
    causes = {r["event"]: r["cause"] for r in rows if "cause" in r}
    assert causes == {
        "broken": "crash: SIGSEGV",
        "rejected": "no_face",
        "failed": "error",
        "run_ended": "RuntimeError: disk full",
    }
    assert (rows[5]["rejected"], rows[5]["failed"], rows[5]["video_s"]) == (1, 1, 30.0)
    assert rows[-1]["reused"] == 1 and not said, "without -v nothing is said beside"
    run(path, said)
    assert len(path.read_text().splitlines()) == 2 * len(rows), "a later run goes on in it"


def test_verbose_says_a_line_for_each_unit(tmp_path):
    said: list[str] = []
    with speaking(Voice(is_verbose=True)):
        run(tmp_path / "log.jsonl", said)
    assert said == ["tracks: an interview.mp4, 0 out in 2.5 s; 2 fell out: no_face"]


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path, capsys):
    run(tmp_path / "gone" / "log.jsonl", [])
    assert "cannot be written" in capsys.readouterr().err


def test_with_log_json_all_of_stderr_is_json(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with speaking(Voice(is_json=True)):
        assert isinstance(sys.stderr, JsonLines) and not sys.stderr.isatty()
        print("half a", end="", file=sys.stderr)
        print(" note", file=sys.stderr)
        run(tmp_path / "log.jsonl", [])
        print("yld: it is gone", file=sys.stderr)
        print("no end of line", end="", file=sys.stderr)
    assert sys.stderr is stream and voice.current() == Voice()
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [r["event"] for r in rows if "text" in r] == ["note", "error", "note"]
    assert next(r["text"] for r in rows if "text" in r) == "half a note"
    assert {"rejected", "finished", "run_ended"} < {r["event"] for r in rows}


def test_quiet_tells_only_what_went_wrong(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with speaking(Voice(is_quiet=True)):
        assert isinstance(sys.stderr, Quiet)
        print("2 sources\nyld: it is gone\nnext: look", file=sys.stderr)
    assert stream.getvalue() == "yld: it is gone\n"


@pytest.mark.parametrize(
    ("option", "told"), [((), "yld: it broke\n"), (("-q",), "yld: it broke\n")]
)
def test_errors_and_exit_codes_stay_whatever_the_form(option, told):
    @click.command()
    @voiced
    @friendly
    def command() -> None:
        raise RuntimeError("it broke")

    done = CliRunner().invoke(command, option)
    assert (done.exit_code, done.stderr) == (3, told)
    done = CliRunner().invoke(command, ["--log-json"])
    assert done.exit_code == 3
    row = json.loads(done.stderr)
    assert (row["event"], row["text"]) == ("error", "yld: it broke")
    assert CliRunner().invoke(command, ["-q", "-v"]).exit_code == 2
