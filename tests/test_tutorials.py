"""The commands and Python of the tutorials, word for word and in order, on two made videos."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk, steady, talk

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
IN_SETUP = {"make setup"}
"""What made the environment that the tests run in."""


def steps(page: str) -> list[tuple[str, str]]:
    """(language, code) of every indented command and Python block, in the page's order."""
    found = re.findall(r"^```python\n([\s\S]*?)^```$|^    (\S.*)$", page, re.MULTILINE)
    outside = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    commands = set(re.findall(r"^    (\S.*)$", outside, re.MULTILINE))
    return [
        ("python", code) if code else ("bash", line)
        for code, line in found
        if code or line in commands
    ]


def make_videos(folder: Path) -> None:
    """Two people who talk, the picture 120 ms late, and a list that names them."""
    (folder / "recordings").mkdir()
    random = np.random.default_rng(5)
    for number, person in enumerate(load_portraits()):
        draw_talk(
            folder / "recordings" / f"{person.name}.mp4",
            [(person, talk(person.name, 10.0, number), 10.0)],
            steady(Fraction(25), 10.0),
            0.12,
            random,
        )
    names = sorted(str(p.relative_to(folder)) for p in (folder / "recordings").iterdir())
    (folder / "links.txt").write_text("\n".join(names) + "\n")


def test_every_tutorial_has_steps():
    assert len(TUTORIALS) == 3
    for page in TUTORIALS:
        commands = [code for _, code in steps(page.read_text()) if ".venv/bin/yld" in code]
        assert len(commands) == page.read_text().count("    .venv/bin/yld") > 2, page


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: p.stem)
def test_a_tutorial_runs_as_written(page, tmp_path):
    make_videos(tmp_path)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for language, code in steps(page.read_text()):
        if code in IN_SETUP:
            continue
        words = [sys.executable, "-c", code] if language == "python" else ["sh", "-c", code]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
