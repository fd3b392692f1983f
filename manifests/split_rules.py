"""Splits by list: which part a video belongs to by a file of rules, such as those of papers.

A line is a part and a pattern, with a tab or spaces between: `test s1/bbaf2n`. The pattern's last
piece is a file's name without its ending, those before it are folders that the file lies below, in
that order and perhaps with others between; each may have `*`, `?` and `[...]`. The first line that
fits counts. `#` begins a remark. A video that no line names is in no part.

Lists of papers stand in `split_lists/` and are called by their name (`list:grid_80_20`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

PREFIX = "list:"
FOLDER = Path(__file__).parent / "split_lists"
PARTS = ("train", "val", "test")
Rule = tuple[str, str]
"""A part and a pattern."""


def read_rules(policy: str) -> list[Rule]:
    """The rules of `list:FILE`, or of a list that ships by its name. Raises ValueError."""
    name = policy.removeprefix(PREFIX)
    shipped = sorted(path.stem for path in FOLDER.glob("*.txt"))
    path = FOLDER / f"{name}.txt" if name in shipped else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"splits.policy={policy} cannot be read ({type(error).__name__}); give a file, or one "
            f"of {', '.join(shipped)}"
        ) from None
    return parse_rules(text, policy)


def parse_rules(text: str, name: str) -> list[Rule]:
    """The rules of a list's text. Raises ValueError naming the line."""
    rules: list[Rule] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split(None, 1)
        if not words:
            continue
        if len(words) != 2 or words[0] not in PARTS:
            raise ValueError(
                f"splits.policy={name}, line {number}: give one of {', '.join(PARTS)} and a name, "
                "as in `test s1/bbaf2n`"
            )
        rules.append((words[0], words[1].strip().strip("/")))
    if not rules:
        raise ValueError(f"splits.policy={name} names no video")
    return rules


def part_of(rules: Sequence[Sequence[str]], media_path: str) -> str | None:
    """The part of the first rule that fits a file's path; None where none does."""
    path = PurePosixPath(media_path.replace("\\", "/"))
    return next((part for part, pattern in rules if _fits(pattern, path)), None)


def _fits(pattern: str, path: PurePosixPath) -> bool:
    *folders, stem = pattern.split("/")
    if not fnmatchcase(path.stem, stem):
        return False
    above = iter(path.parent.parts)
    return all(any(fnmatchcase(name, folder) for name in above) for folder in folders)
