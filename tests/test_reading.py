"""The blocks of `docs/reading.md` and of the README's reading part, run on a small corpus.

A section's blocks run in order, each in a process of its own, where the packages that its Python
imports are installed.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readable import Readable

ROOT = Path(__file__).resolve().parents[1]


def sections() -> list[tuple[str, list[tuple[str, str]]]]:
    """(name, [(language, code), ...]) of every section of both pages that has a block."""
    readme = (ROOT / "README.md").read_text()
    reading = readme[readme.index("\n## Reading it") : readme.index("\n## Scoring")]
    made = []
    for page in (reading, (ROOT / "docs/reading.md").read_text()):
        for part in page.split("\n## ")[1:]:
            blocks = re.findall(r"^```(python|bash)\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
            if page is reading:  # blocks about different tools stand in one section
                made += [(f"README {i + 1}", [block]) for i, block in enumerate(blocks)]
            elif blocks:
                made.append((part.partition("\n")[0], blocks))
    return made


def packages(blocks: list[tuple[str, str]]) -> set[str]:
    found = set()
    for language, code in blocks:
        for node in ast.walk(ast.parse(code if language == "python" else "")):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module)
    return found


def is_here(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reading")
    Readable(folder / "my-corpus", 24).publish()
    return folder


def marked() -> list:
    """Ray takes half a minute to come up: its blocks are slow ones."""
    return [
        pytest.param(name, blocks, id=name, marks=[pytest.mark.slow] * ("ray" in packages(blocks)))
        for name, blocks in sections()
    ]


@pytest.mark.parametrize("name, blocks", marked())
def test_blocks_run_as_they_stand(folder, name, blocks):
    if missing := sorted(p for p in packages(blocks) if not is_here(p)):
        pytest.skip(f"not installed: {', '.join(missing)}")
    env = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hf"),
        "CROISSANT_CACHE": str(folder / "croissant"),
        "DAFT_ANALYTICS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for language, code in blocks:
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=240
        )
        if done.returncode and "Could not load libtorchcodec" in done.stderr:
            pytest.skip("torchcodec is installed, FFmpeg's shared libraries are not")
        if done.returncode and "No module named 'jsonpath_rw'" in done.stderr:
            pytest.skip("mlcroissant is installed, jsonpath-rw is not")
        assert done.returncode == 0, f"{name}\n{done.stdout}\n{done.stderr}"


def test_every_tool_has_a_block():
    wanted = {
        "datasets",
        "duckdb",
        "daft",
        "megatron.energon",
        "torchcodec.decoders",
        "mlcroissant",
        "webdataset",
        "ray",
        "pandas",
        "polars",
    }
    assert wanted <= set().union(*(packages(blocks) for _, blocks in sections()))
