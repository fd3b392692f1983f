"""From raters' files to means with t-intervals (Niu and Mak, Table 4; Lip2Speech, Table 1).

The interval is Student's over all ratings of a system, as the papers print it. Ratings of one
rater are not independent, so it is narrower than the truth; `num_raters` stands beside it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from scipy.stats import t as student

from evaluation.mos.page import FORMAT
from manifests.plain_words import read_json

LEVEL = 0.95


@dataclass(frozen=True)
class Opinion:
    """One question about one system. `plus_minus` is half the 95 % interval; null for fewer
    than two ratings."""

    system: str
    question: str
    mean: float
    plus_minus: float | None
    n: int
    num_raters: int
    num_samples: int


def score_answers(key_path: Path, answer_paths: Sequence[Path]) -> tuple[list[Opinion], int]:
    """Opinions by question and system, in the key's order, and how many ratings are missing.

    Raises ValueError for a file of another test, one rater twice, or an answer outside 1 to 5:
    a mistake in one file must not be averaged away.
    """
    key = _read_key(key_path)
    ratings: dict[tuple[str, str], list[tuple[int, str, str]]] = defaultdict(list)
    seen: dict[str, Path] = {}
    missing = 0
    for path in answer_paths:
        content = _read(path)
        if content.get("test") != key["test"]:
            raise ValueError(f"{path} answers another test ({content.get('test')!r})")
        rater = content.get("rater")
        if not isinstance(rater, str) or not rater:
            raise ValueError(f"{path} names no rater")
        if rater in seen:
            raise ValueError(f"{rater!r} answered twice: {seen[rater]} and {path}")
        seen[rater] = path
        for stimulus, question, value in _ratings(path, content, key):
            truth = key["stimuli"][stimulus]
            ratings[question, truth["system"]].append((value, rater, truth["sample"]))
        given = sum(1 for _ in _ratings(path, content, key))
        missing += len(key["stimuli"]) * len(key["questions"]) - given
    return [
        _opinion(system, question, ratings[question, system])
        for question in key["questions"]
        for system in key["systems"]
        if ratings[question, system]
    ], missing


def _ratings(path: Path, content: dict[str, Any], key: dict[str, Any]):
    answers = content.get("answers")
    if not isinstance(answers, dict):
        raise ValueError(f"{path} holds no answers")
    for stimulus, answer in answers.items():
        if stimulus not in key["stimuli"]:
            raise ValueError(f"{path}: {stimulus!r} is no stimulus of this test")
        given = answer.get("ratings", {}) if isinstance(answer, dict) else None
        if not isinstance(given, dict):
            raise ValueError(f"{path}: the answer to {stimulus!r} holds no ratings")
        for question, value in given.items():
            if question not in key["questions"]:
                raise ValueError(f"{path}: {question!r} was not asked")
            if type(value) is not int or not 1 <= value <= 5:
                raise ValueError(f"{path}: {question} of {stimulus} is {value!r}, not 1 to 5")
            yield stimulus, question, value


def _opinion(system: str, question: str, ratings: list[tuple[int, str, str]]) -> Opinion:
    values = np.array([value for value, _, _ in ratings], float)
    return Opinion(
        system,
        question,
        float(values.mean()),
        t_interval(values),
        len(values),
        len({rater for _, rater, _ in ratings}),
        len({sample for _, _, sample in ratings}),
    )


def t_interval(values: np.ndarray, level: float = LEVEL) -> float | None:
    """Half width of Student's interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    quantile = student.ppf((1 + level) / 2, len(values) - 1)
    return float(quantile * np.std(values, ddof=1) / math.sqrt(len(values)))


def _read_key(path: Path) -> dict[str, Any]:
    """The key, of which all that is looked up later is there."""
    key = _read(path)
    stimuli = key.get("stimuli")
    questions, systems = key.get("questions"), key.get("systems")
    if not (
        isinstance(key.get("test"), str)
        and isinstance(stimuli, dict)
        and _are_names(questions)
        and _are_names(systems)
        and all(
            isinstance(s, dict) and isinstance(s.get("sample"), str) and s.get("system") in systems
            for s in stimuli.values()
        )
    ):
        raise ValueError(
            f"{path} is no key of a listening test: `yld mos make` writes it beside "
            "the page as NAME.key.json"
        )
    return key


def _are_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is no file of this listening test (format {FORMAT})")
    return content
