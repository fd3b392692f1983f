"""The files that take longest come first, so that the workers end together; each has one thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Several processes of several threads each wait for each other on few cores: nearly half of the
# suite's CPU time was spent so. Before torch or NumPy is loaded, and for what the tests start.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

LONG = (
    "test_resume",
    "test_terminal",
    "test_demo",
    "test_episode",
    "test_runner",
    "test_audit",
    "test_evaluate_faces",
    "test_refetch",
    "test_cluster",
    "test_shared_workers",
)


def pytest_configure() -> None:
    here = {path.stem for path in Path(__file__).parent.rglob("test_*.py")}
    if gone := [name for name in LONG if name not in here]:
        raise pytest.UsageError(f"tests/conftest.py orders files that are gone: {', '.join(gone)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: LONG.index(stem) if (stem := Path(item.fspath).stem) in LONG else len(LONG)
    )
