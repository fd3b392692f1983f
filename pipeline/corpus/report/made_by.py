"""What the page says of its making: version, day, settings, and the thresholds among them."""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime
from typing import Any

import yaml

from manifests.corpus import Corpus


def sentence() -> str:
    """By which version the page was written, and on which day (UTC)."""
    try:
        version = importlib.metadata.version("yld-corpora")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = "(not installed)"
    return f"Written by yld {version} on {datetime.now(UTC):%Y-%m-%d}."


def as_text(corpus: Corpus) -> str | None:
    """The settings file of the corpus; None where it is not there."""
    path = corpus.root / "config.yaml"
    return path.read_text("utf-8", "replace") if path.exists() else None


def settings(corpus: Corpus) -> dict[str, Any]:
    """The settings by stage; empty where there is no readable file of them."""
    try:
        found = yaml.safe_load(as_text(corpus) or "")
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def limit(settings: dict[str, Any], stage: str, name: str) -> float | None:
    """One threshold; None where it is not set."""
    of_stage = settings.get(stage)
    value = of_stage.get(name) if isinstance(of_stage, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def max_residual_px(settings: dict[str, Any]) -> float | None:
    """Above this registration residual a clip would have been left out."""
    return limit(settings, "clips", "max_residual_px")
