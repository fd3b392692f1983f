"""Imports go one way (docs/architecture.md): between packages, and between the rooms of each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"manifests", "stages", "pipeline", "training", "evaluation"}
ALLOWED = {
    "manifests": set(),
    "stages": {"manifests"},
    "pipeline": OURS,
    "training": {"manifests", "stages.networks", "stages.sync.speech", "evaluation.metrics"},
    "evaluation": {"manifests", "stages.networks"},
}
FLOORS = {
    "manifests": (
        "address clock columns crops files ids numbers paths records spans text threads network",
        "arrays links page plain_words sample_json schema spectra split_rules walk",
        "media splits weights",
        "shards",
        "corpus description frames",
    ),
    "stages": (
        "base cost_meter hints networks",
        "backends sources text",
        "faces",
        "sync",
        "clips",
        "corpus",
    ),
    "pipeline": (
        "graph",
        "storage config machine",
        "run",
        "corpus scoring",
        "audit browse build synthesis export",
        "resync demo redub care",
        "estimate",
        "commands",
        "cli",
    ),
    "training": ("data losses", "layers", "harness", "models"),
    "evaluation": (
        "records catalogue mixing",
        "metrics statistics",
        "pairing wav_header",
        "audio signatures",
        "round_trip",
        "scoring report",
        "child isolation mos",
    ),
}
"""Rooms of each package, the lowest floor first: a room imports from lower floors alone."""


def floor_of(package: str) -> dict[str, int]:
    return {
        f"{package}.{room}": floor
        for floor, rooms in enumerate(FLOORS[package])
        for room in rooms.split()
    }


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def files_of(package: str) -> Iterator[tuple[str, Path]]:
    """Each room of a package with the files in it."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1:] != ("__init__",):
            yield ".".join(parts[:2]), path


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


@pytest.mark.parametrize("package", sorted(OURS))
def test_every_room_has_a_floor_and_imports_from_lower_ones(package):
    floor, rooms = floor_of(package), {room for room, _ in files_of(package)}
    assert rooms == set(floor), "a room is new or gone: give it a floor in FLOORS"
    bad = []
    for room, path in files_of(package):
        for name in imports_of(path):
            other = room_of(name)
            if other == room or other not in floor:
                continue
            if floor[other] >= floor[room]:
                bad.append(f"{path.relative_to(ROOT)}: {name}")
    assert not bad, bad


def test_a_room_says_what_belongs_there_and_loads_nothing():
    """Importing a light module must not load a heavy neighbour."""
    wordy = {
        "pipeline/audit",
        "pipeline/corpus/report",
        "pipeline/demo",
        "pipeline/resync",
        "stages/sources/download",
        "evaluation/report",
        "stages/networks",
    }
    for package in sorted(OURS):
        for path in (ROOT / package).rglob("__init__.py"):
            tree = ast.parse(path.read_text())
            assert ast.get_docstring(tree), f"{path} says nothing"
            if str(path.parent.relative_to(ROOT)) not in wordy:
                assert len(tree.body) == 1, f"{path} does more than say what belongs there"


def test_the_rules_see_a_breach(tmp_path):
    file = tmp_path / "x.py"
    file.write_text("from stages.sync import offsets\nimport ray\n")
    assert imports_of(file) == {"stages.sync.offsets", "ray"}
    assert room_of("stages.sync.offsets") == "stages.sync"
    floor = floor_of("stages")
    assert floor["stages.faces"] < floor["stages.sync"] < floor["stages.clips"]
