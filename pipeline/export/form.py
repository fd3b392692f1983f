"""What a form of export is: files for each clip, and lists at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline.export.clip import Clip


class LeftOut(Exception):
    """The form has no place for this clip; the message says what it lacks."""


@dataclass
class Options:
    """What the user may add."""

    root: str = ""
    """Absolute path of the export, for lists that hold absolute paths."""
    tokenizer: str | None = None
    """A sentencepiece model, for forms whose lists hold tokens."""
    units: str | None = None
    """The list of its pieces."""
    tables: Mapping[str, list[dict[str, Any]]] | None = None
    """Tables of the corpus by name, for forms that say where clips came from."""
    work: Path | None = None
    """The corpus's work folder, where it has one."""


class Form:
    """Made once for an export; `files` is asked for each clip in turn, `lists` once afterwards.

    Names are relative, with `/`, and safe. `reader` is the code whose expectations it meets.
    """

    name: ClassVar[str]
    reader: ClassVar[str]
    wants: ClassVar[str]
    """In a sentence what lies in it."""
    needs_media: ClassVar[bool] = True
    remedy: ClassVar[str] = ""
    """In a sentence what to do where no clip has a place in it."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def files(self, clip: Clip) -> dict[str, bytes]:
        """Contents by name. Raises LeftOut."""
        raise NotImplementedError

    def kept(self, clips: set[str]) -> set[str]:
        """Which of the clips that have a place, by their keys, are in what is written in the
        end."""
        return clips

    def lists(self) -> dict[str, bytes]:
        """Lists of all clips that `files` was given and did not leave out."""
        return {}
