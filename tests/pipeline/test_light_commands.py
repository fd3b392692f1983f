"""Who only reads a corpus needs neither torch nor Ray nor a face library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.readable import Readable

BUILDERS = (
    "torch",
    "torchvision",
    "ray",
    "dlib",
    "scenedetect",
    "librosa",
    "silero_vad",
    "yt_dlp",
    "insightface",
    "facexlib",
    "face_alignment",
    "mediapipe",
    "onnxruntime",
)
WITHOUT = f"""
import sys
for name in {BUILDERS!r}:
    sys.modules[name] = None  # importing it raises ImportError
from pipeline.cli import main
main()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("light") / "corpus"
    Readable(root, 2).publish()
    return root


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["status"], ["status", "--why"], ["verify"], ["report", "--out"], ["shards"]],
)
def test_commands_that_read_need_no_library_that_builds(corpus, tmp_path, arguments):
    name, *options = arguments
    if name == "--help":
        done = run(name)
    elif name == "shards":
        how = ["--out", str(tmp_path / "lips"), "--crop", "lip", "--codec", "jpeg"]
        done = run("shards", "repack", str(corpus), *how)
    else:
        target = [str(tmp_path / "report.html")] if "--out" in options else []
        done = run(name, str(corpus), *options, *target)
    assert "ImportError" not in done.stderr and "ModuleNotFoundError" not in done.stderr
    assert "Traceback" not in done.stderr
    # This corpus has no tracks, which verify is right to say, after it has read every member.
    assert done.returncode == (1 if name == "verify" else 0), done.stdout + done.stderr


def test_the_blocked_libraries_are_those_that_building_needs():
    done = run("doctor")
    assert "torch" in done.stdout + done.stderr and done.returncode != 0
