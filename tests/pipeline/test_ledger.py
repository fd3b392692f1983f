"""The ledger's file: what is put is kept through kill -9, what older releases and other machines
left is read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zlib
from dataclasses import asdict

import pytest

from manifests import records as rec
from pipeline.run.entry import Entry, Result
from pipeline.run.finished import Finished, totals_of
from pipeline.run.ledger import BATCH_ENTRIES, NAME, Ledger, LedgerError
from pipeline.storage.work_files import WorkFiles
from tests.factories import blank

KEY = "ab" * 32


def entry(unit: str, key: str = KEY, **values) -> Entry:
    shot = blank(rec.Shot, shot_id=f"{unit}-s000", video_id=unit, num_faces_seen=3)
    return Entry("shots", unit, key, [Result(unit, [shot])], cpu_s=1.5, **values)


def test_what_was_put_is_read_and_nothing_is_made_before(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.get("shots", "v", KEY) is None and not (tmp_path / "ledger").exists()
    ledger.put(entry("v"), rec.Shot)
    assert ledger.get("shots", "v", KEY) == entry("v")
    assert ledger.get("shots", "v", "c" * 64) is None
    ledger.put(entry("v", attempts=2), rec.Shot)
    assert Ledger(tmp_path / "ledger").get("shots", "v", KEY).attempts == 2
    assert [row.unit for row in ledger.rows()] == ["v"]


def test_kill_9_after_put_loses_nothing(tmp_path):
    code = f"""
import os, signal
from manifests import records as rec
from pipeline.run.ledger import Ledger
from tests.pipeline.test_ledger import entry
ledger = Ledger(__import__("pathlib").Path({str(tmp_path)!r}))
for i in range(20):
    ledger.put(entry(f"v{{i:02d}}"), rec.Shot)
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=os.getcwd(), check=False)
    assert process.returncode == -signal.SIGKILL
    after = Ledger(tmp_path)
    assert all(after.get("shots", f"v{i:02d}", KEY) == entry(f"v{i:02d}") for i in range(20))


def test_json_files_of_older_releases_are_read_kept_and_copied(tmp_path):
    old = tmp_path / "shots" / "v" / f"{KEY[:24]}.json"
    old.parent.mkdir(parents=True)
    text = json.dumps({**asdict(entry("v")), "kind": "Shot"})
    old.write_text(text)
    ledger = Ledger(tmp_path)
    assert [row.name for row in ledger.rows()] == [f"shots/v/{KEY[:24]}.json"]
    assert ledger.get("shots", "v", KEY) == entry("v")
    assert ledger.get("shots", "v", KEY[:24] + "0" * 40) is None, "another key of that name"
    assert old.read_text() == text, "what is there is left as it is"
    ledger.close()
    old.unlink()
    assert Ledger(tmp_path).get("shots", "v", KEY) == entry("v")
    old.write_text("{ half")
    again = Ledger(tmp_path)
    assert again.get("shots", "w", KEY) is None and len(list(again.newest())) == 1


def test_other_machines_go_on_from_batches(tmp_path):
    address = f"file://{tmp_path}/there/work"
    (tmp_path / "there/work/ledger/batches").mkdir(parents=True)
    files = WorkFiles(tmp_path / "one", address)
    ledger = Ledger(tmp_path / "one" / "ledger", files)
    for i in range(BATCH_ENTRIES + 3):
        ledger.put(entry(f"v{i}"), rec.Shot)
    ledger.send()
    files.flush()
    names = sorted((tmp_path / "there/work/ledger/batches").iterdir())
    assert len(names) == 2, "many entries a request"
    ledger.put(entry("late"), rec.Shot)
    ledger.close()  # its run was killed before that was sent

    here = tmp_path / "two" / "ledger" / "batches"
    here.mkdir(parents=True)
    for name in names:
        (here / name.name).write_bytes(name.read_bytes())
    (here / "half.jsonl.z").write_bytes(names[0].read_bytes()[:100])
    (here / "foreign.jsonl.z").write_bytes(zlib.compress(b"[]\n"))
    other = Ledger(tmp_path / "two" / "ledger", WorkFiles(tmp_path / "two", address))
    assert other.get("shots", "v0", KEY) == entry("v0")
    assert other.get("shots", f"v{BATCH_ENTRIES + 2}", KEY) is not None
    other.send()
    assert len(list((tmp_path / "there/work/ledger/batches").iterdir())) == 2

    again = Ledger(tmp_path / "one" / "ledger", files)
    again.send()
    files.flush()
    sent = b"".join(
        zlib.decompress(p.read_bytes()) for p in (tmp_path / "there/work/ledger/batches").iterdir()
    )
    assert b'"late"' in sent, "what was not sent is sent by the next run"


def test_a_damaged_file_is_told_and_left(tmp_path):
    (tmp_path / NAME).write_bytes(b"no database " * 1000)
    with pytest.raises(LedgerError, match="move it away"):
        Ledger(tmp_path)
    assert (tmp_path / NAME).read_bytes().startswith(b"no database")


def test_finished_units_stay_in_the_ledger(tmp_path):
    ledger = Ledger(tmp_path)
    fell = Entry("shots", "w", KEY, [Result("w", reject=rec.Reject("too_short"))], cpu_s=0.5)
    finished = Finished(ledger)
    for one in (entry("v"), fell):
        finished.add(one, ledger.put(one, rec.Shot))
    assert list(finished.values()) == [entry("v"), fell]
    assert [unit for unit, _ in finished.fallen()] == ["w"]
    assert finished.totals == totals_of({"v": entry("v"), "w": fell})
    assert (finished.totals.rejected, finished.totals.cpu_s) == (1, 2.0)
