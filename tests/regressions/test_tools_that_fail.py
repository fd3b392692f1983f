"""`yld doctor` with an ffmpeg that is missing, no program, failing, crashing, hanging or idle."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.machine import doctor, sync_check
from stages.base import SetupError

SCRIPTS = {
    "fails": (
        "#!/bin/sh\necho 'x.c:12: bad thing' >&2\nexit 187\n",
        0o755,
        "failed (exit code 187), saying: x.c:12: bad thing",
    ),
    "crashes": ("#!/bin/sh\nkill -SEGV $$\n", 0o755, "was killed by SIGSEGV"),
    "hangs": ("#!/bin/sh\nexec sleep 100\n", 0o755, "no answer within 0.5 s"),
    "idle": ("#!/bin/sh\ncat > /dev/null\n", 0o755, "wrote nothing"),
    "is no program": ("neither", 0o755, "no program that this machine can run"),
    "may not run": ("#!/bin/sh\n", 0o644, "may not be read or written by this user"),
}


@pytest.mark.parametrize("name", [*SCRIPTS, "is missing", "is not installed"])
def test_the_verdict_is_a_sentence(tmp_path, monkeypatch, name):
    content, mode, wanted = SCRIPTS.get(name, (None, 0, "there is none (no ffmpeg)"))
    tool = tmp_path / "a-tool"
    if content is not None:
        tool.write_text(content)
        os.chmod(tool, mode)
    elif name == "is missing":
        wanted = "a-tool is not there"

    def path():
        if name == "is not installed":
            raise SetupError("no ffmpeg")
        return str(tool)

    monkeypatch.setattr(sync_check, "ffmpeg_path", path)
    monkeypatch.setattr("stages.sources.download.site.ffmpeg_path", path)
    monkeypatch.setattr(sync_check, "TIMEOUT_S", 0.5 if name == "hangs" else 30)
    monkeypatch.setattr(sync_check, "SOURCES", sync_check.SOURCES[:2])
    result = CliRunner().invoke(main, ["doctor", "--sync", "--json"])
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert {row["path"] for row in rows} == set(sync_check.PATHS)
    for row in rows:
        assert row["verdict"].startswith("ffmpeg ") and wanted in row["verdict"], row
        assert (
            "PATH" in row["verdict"]
            or "make setup" in row["verdict"]
            or name == ("is not installed")
        )
        assert "Errno" not in row["verdict"]
    # One that is not there is not tried again for every file.
    gone = name in ("hangs", "is no program", "may not run", "is missing", "is not installed")
    assert len(rows) == (3 if gone else 6)
    if name != "hangs":
        row = doctor._ffmpeg()
        assert row["state"] == "missing" and "Errno" not in row["found"]
        assert len(row["found"].split()) > 1 or row["found"] == "none"
