"""The forms by name."""

from __future__ import annotations

import importlib

from pipeline.export.form import Form

FORMS = {
    "wav2lip": "lip_sync:Wav2Lip",
    "latentsync": "lip_sync:LatentSync",
    "synctalk": "lip_sync:SyncTalk",
    "auto-avsr": "lip_reading:AutoAvsr",
    "av-hubert": "lip_reading:AvHubert",
    "lrs": "lip_reading:Lrs",
    "talknet": "others:TalkNet",
    "lip2wav": "others:Lip2Wav",
    "avspeech-csv": "others:AvSpeech",
}
"""Where each stands in this room."""
WHOLE = ("huggingface", "energon", "links")
"""Forms of the corpus as a whole (`whole`), not of its clips one by one."""


def form_of(name: str) -> type[Form]:
    """Its class. Raises KeyError."""
    module, _, attribute = FORMS[name].partition(":")
    return getattr(importlib.import_module(f"pipeline.export.{module}"), attribute)
