"""The table of metrics: what each needs, its direction, where it is computed, its settings.

`a-NAME` is the metric after the alignment frontend.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ALIGNED = "a-"


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    `kind` says what the function takes: `sound` (reference, hypothesis), `text` (reference
    text, hypothesis sound), `pictures` (reference, hypothesis frames), `landmarks` (of both) or
    `lips` (face, sound).
    """

    name: str
    title: str
    kind: str
    higher_is_better: bool | None
    function: str
    """`module:function`."""
    best: float | None = None
    """The score of a perfect copy."""
    unit: str = ""
    version: int = 1
    """Raised when our own code changes the figure."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Shown in the signature."""
    options: dict[str, Any] = field(default_factory=dict)
    """Given to the function by name."""
    packages: tuple[str, ...] = ()
    model: str | None = None
    """`module:function` that gives the model's hash."""
    alignable: bool = False
    needs_crops: bool = False
    """Whether a `lips` metric looks at SyncNet's crops of the face."""

    def load(self) -> Callable[..., Any]:
        return functools.partial(load(self.function), **self.options)


def load(target: str) -> Callable[..., Any]:
    """The function named `module:function`."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


_HERE = "evaluation.metrics."
_TABLE = (
    Metric(
        "stoi",
        "STOI",
        "sound",
        True,
        _HERE + "intelligibility:stoi",
        1.0,
        packages=("pystoi",),
        alignable=True,
    ),
    Metric(
        "estoi",
        "ESTOI",
        "sound",
        True,
        _HERE + "intelligibility:estoi",
        1.0,
        packages=("pystoi",),
        alignable=True,
    ),
    Metric(
        "pesq",
        "PESQ, narrow band",
        "sound",
        True,
        _HERE + "quality:pesq_nb",
        4.5486,
        "MOS-LQO",
        packages=("pesq",),
        settings={"band": "nb", "scored_at": 8000},
        alignable=True,
    ),
    Metric(
        "pesq-wb",
        "PESQ, wide band",
        "sound",
        True,
        _HERE + "quality:pesq_wb",
        4.6439,
        "MOS-LQO",
        packages=("pesq",),
        settings={"band": "wb"},
        alignable=True,
    ),
    Metric(
        "pesq-raw",
        "PESQ, raw P.862 score",
        "sound",
        True,
        _HERE + "quality:pesq_raw",
        4.5,
        packages=("pesq",),
        settings={"band": "nb", "scored_at": 8000},
        alignable=True,
    ),
    Metric(
        "mcd",
        "MCD (papers' definition)",
        "sound",
        False,
        _HERE + "mcd:mcd",
        0.0,
        settings={"cepstra": 13, "k": 1},
        alignable=True,
    ),
    Metric(
        "mcd-db",
        "MCD in dB (WORLD)",
        "sound",
        False,
        _HERE + "mcd:mcd_db",
        0.0,
        "dB",
        version=2,
        packages=("pyworld",),
        settings={"cepstra": 13, "k": 6.142},
        alignable=True,
    ),
    Metric(
        "visqol",
        "ViSQOL, speech",
        "sound",
        True,
        _HERE + "quality:visqol",
        5.0,
        "MOS-LQO",
        packages=("visqol-python",),
        settings={"map": "exponential", "scaled": "yes"},
        alignable=True,
    ),
    Metric(
        "wer",
        "WER, GRID grammar",
        "text",
        False,
        _HERE + "recognition:grid_wer",
        0.0,
        packages=("pocketsphinx",),
        settings={"norm": "words"},
        model=_HERE + "recognition:model_hash",
    ),
    Metric(
        "cer",
        "CER, GRID grammar",
        "text",
        False,
        _HERE + "recognition:grid_cer",
        0.0,
        packages=("pocketsphinx",),
        settings={"norm": "words"},
        model=_HERE + "recognition:model_hash",
    ),
    Metric(
        "wer-adapted",
        "WER, GRID grammar, adapted",
        "text",
        False,
        _HERE + "recognition:adapted_wer",
        0.0,
        packages=("pocketsphinx",),
        settings={"norm": "words"},
        model=_HERE + "recognition:adapted_hash",
    ),
    Metric(
        "wer-general",
        "WER, general model",
        "text",
        False,
        _HERE + "recognition:general_wer",
        0.0,
        packages=("pocketsphinx",),
        settings={"norm": "words"},
        model=_HERE + "recognition:model_hash",
    ),
    Metric(
        "cer-general",
        "CER, general model",
        "text",
        False,
        _HERE + "recognition:general_cer",
        0.0,
        packages=("pocketsphinx",),
        settings={"norm": "words"},
        model=_HERE + "recognition:model_hash",
    ),
    *(
        Metric(
            f"wer-whisper-{size}",
            f"w-WER, Whisper {size}",
            "text",
            False,
            _HERE + "recognition:whisper_wer",
            0.0,
            packages=("openai-whisper",),
            settings={"norm": "whisper-english", "beam": 5, "language": "en"},
            options={"size": size},
        )
        for size in ("tiny", "base", "small", "medium", "large-v3")
    ),
    Metric(
        "voice",
        "Speaker similarity (GE2E)",
        "sound",
        True,
        _HERE + "voice:similarity",
        1.0,
        "cosine",
        packages=("resemblyzer",),
        model=_HERE + "voice:model_hash",
    ),
    Metric(
        "psnr",
        "PSNR",
        "pictures",
        True,
        _HERE + "pictures:psnr",
        None,
        "dB",
        settings={"channels": "rgb", "clip": "mean-of-frames"},
    ),
    Metric(
        "ssim",
        "SSIM",
        "pictures",
        True,
        _HERE + "pictures:ssim",
        1.0,
        packages=("scikit-image",),
        settings={"window": "gauss1.5", "channels": "luma"},
    ),
    Metric(
        "lmd",
        "Lip landmark distance",
        "landmarks",
        False,
        _HERE + "pictures:lip_landmark_distance",
        0.0,
        "px",
        packages=("dlib-bin",),
        settings={"points": "dlib68"},
    ),
    *(
        Metric(
            name,
            title,
            "lips",
            up,
            _HERE + "sync:" + name.replace("-", "_"),
            None,
            unit,
            settings={"vshift": 15},
            model=_HERE + "sync:syncnet_hash",
            needs_crops=True,
        )
        for name, title, up, unit in (
            ("lse-c", "LSE-C", True, ""),
            ("lse-d", "LSE-D", False, ""),
            ("av-offset", "AV offset (SyncNet)", None, "ms"),
        )
    ),
    *(
        Metric(
            name,
            title,
            "lips",
            up,
            _HERE + "sync:" + name.replace("-", "_"),
            None,
            unit,
            settings={"search": "700ms"},
            model=_HERE + "sync:lipsync_hash",
        )
        for name, title, up, unit in (
            ("lm-offset", "AV offset (landmark sync)", None, "ms"),
            ("lm-confidence", "AV confidence (landmark sync)", True, ""),
        )
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}
DEFAULT = ("stoi", "a-stoi", "estoi", "a-estoi", "pesq", "a-pesq", "mcd", "a-mcd")


def split(name: str) -> tuple[Metric, bool]:
    """The metric and whether it is the aligned variant. Raises ValueError with what there is."""
    aligned = name.startswith(ALIGNED)
    metric = METRICS.get(name.removeprefix(ALIGNED))
    if metric is None or (aligned and not metric.alignable):
        raise ValueError(f"no metric {name!r}; there are {', '.join(all_names())}")
    return metric, aligned


def all_names() -> list[str]:
    """Every metric and aligned variant, in the table's order."""
    return [
        name
        for metric in _TABLE
        for name in (metric.name, *([ALIGNED + metric.name] if metric.alignable else []))
    ]


def parse(text: str | None) -> list[str]:
    """Names from a comma list; `all` and nothing (the default) are understood.

    Raises ValueError for one that is not there.
    """
    if text is None:
        return list(DEFAULT)
    if text.strip() == "all":
        return all_names()
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        split(name)
    if not names:
        raise ValueError("--metrics names no metric")
    return names
