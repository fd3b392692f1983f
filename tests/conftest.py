"""The files that take longest come first, so that the workers end together."""

from __future__ import annotations

from pathlib import Path

import pytest

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
