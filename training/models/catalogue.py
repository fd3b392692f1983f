"""The models that `yld train` knows: what each needs, its presets, and where its code stands.

Nothing heavy is imported until a model is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training.data.wanted import Wanted


@dataclass(frozen=True)
class Kind:
    """A model. `module` has PRESETS (in `config`) and, in `system`, `facts_of`, `decode_of` and
    the class `system`."""

    name: str
    about: str
    needs: str
    module: str
    system: str
    parameters: str
    wanted: Callable[[Any], Wanted]
    speaks: bool = False
    """It makes speech of a video (`yld synthesize`)."""

    @property
    def presets(self) -> Mapping[str, Callable[[], Any]]:
        """Settings by name."""
        return importlib.import_module(f"{self.module}.config").PRESETS

    @property
    def code(self) -> Any:
        """Its module `system`."""
        return importlib.import_module(f"{self.module}.system")

    @property
    def system_class(self) -> Any:
        """What is built of a config and facts."""
        return getattr(self.code, self.system)


def _slts_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    return Wanted(members, min_frames=24, offset_statuses=measured)


def _syncnet_wanted(config: Any) -> Wanted:
    members = frozenset({"face.mp4", "audio.flac"})
    is_measured_alone = config.view.pairing == "corrected" and not config.data.unmeasured
    return Wanted(
        members,
        min_frames=config.min_frames,
        offset_statuses=frozenset({"measured"}) if is_measured_alone else None,
        max_lag_ms=config.data.max_lag_ms,
    )


KINDS = {
    "slts": Kind(
        "slts",
        "speech from lips, trained on data whose lags it corrects itself (Niu and Mak 2023)",
        "clips of known speakers, uncorrected: yld build ... --set sync.correct=false",
        "training.models.slts",
        "SltsSystem",
        "paper: 29.4 million, 18.3 more with discriminators; tiny: 1.9 million",
        _slts_wanted,
        speaks=True,
    ),
    "syncnet": Kind(
        "syncnet",
        "which sound belongs to which picture: SyncNet v2's towers (Chung and Zisserman 2016)",
        "any clips of talking faces; their measured lags are taken out",
        "training.models.syncnet",
        "SyncNetSystem",
        "paper: 13.6 million; tiny: .6 million",
        _syncnet_wanted,
    ),
}
