"""Presets of a build by name: settings that are laid below a YAML file and `--set`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """What it is for, and what it sets; all else keeps its default."""

    about: str
    settings: Mapping[str, Mapping[str, Any]]


PRESETS = {
    "grid": Preset(
        "studio recordings of one sentence each (GRID, TCD-TIMIT): a clip a file, its sound as it "
        "was recorded",
        {"clips": {"mode": "whole"}, "sync": {"correct": False}},
    ),
    "youtube-interviews": Preset(
        "long videos of several people who talk: only clips whose offset is known, machine-made "
        "captions for their text, media dropped once its clips are made",
        {
            "download": {
                "max_height": 720,
                "automatic_captions": True,
                "keep_sources": "never",
            },
            "sync": {"undecided": "drop"},
        },
    ),
    "fast": Preset(
        "a first look: smaller pictures, faces sought less often, one cut detector; it misses "
        "small faces and short appearances",
        {
            "download": {"max_height": 480},
            "shots": {
                "max_side_px": 640,
                "cuts": {"detectors": ["content"]},
                "faces": {"detect_every": 10, "search_every": 50, "search_side_px": 480},
            },
        },
    ),
    # Section 5.3 of Lip2Speech ("Show Me Your Face, And I'll Tell You How You Speak") gives the
    # lengths, the face in every frame and the person; it corrects no offset and asks for no speech.
    # Its embedding distance is not stated: 0.6 is the default of the library that it cites.
    "paper-yld": Preset(
        "YouTube Lip Data of the Lip2Speech paper: segments of 1 to 3 s, faces sought in every "
        "frame, sound not moved; name the person with --target",
        {
            "shots": {"faces": {"detect_every": 1}},
            "identity": {"target_distance": 0.6},
            "sync": {"correct": False},
            "clips": {
                "mode": "yld",
                "min_frames": 25,
                "max_frames": 75,
                "min_speech_share": 0.0,
            },
        },
    ),
}


def below(preset: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings `data` over those of a preset."""
    merged = dict(preset)
    for key, value in data.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping | None):
            merged[key] = below(under, value or {})  # a group with nothing in it says nothing
        else:
            merged[key] = value
    return {k: below(v, {}) if isinstance(v, Mapping) else v for k, v in merged.items()}
