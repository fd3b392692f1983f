"""Imports go one way (docs/architecture.md), and Ray stays in `pipeline`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"manifests", "stages", "pipeline", "training", "evaluation"}
ALLOWED = {
    "manifests": set(), "stages": {"manifests"}, "pipeline": OURS,
    "training": {"manifests", "stages.networks", "evaluation.metrics"},
    "evaluation": {"manifests", "stages.networks"},
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_go_one_way(package):
    bad = []
    for path in (ROOT / package).rglob("*.py"):
        for name in imports_of(path):
            top = name.split(".")[0]
            if top == "ray" and package not in ("pipeline", "training"):
                bad.append(f"{path.relative_to(ROOT)}: {name}")
            if top not in OURS or top == package:
                continue
            if not any(name == a or name.startswith(a + ".") for a in ALLOWED[package]):
                bad.append(f"{path.relative_to(ROOT)}: {name}")
    assert not bad, bad


def test_the_rule_sees_a_breach(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("from stages.sync.offsets import Sync\nimport ray\n")
    assert imports_of(file) == {"stages.sync.offsets.Sync", "ray"}
