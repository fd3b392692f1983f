"""What `yld synthesize` and `yld redub` share: a video, a face in it, and where things are made."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.commands.options import DEVICE, EXIT_FAILED


def device_option(command):
    """Of a model; `found_device` reads it."""
    return click.option(
        "--device", type=DEVICE, default=None, help="The GPU where there is one, if not given."
    )(command)


def found_device(device: str | None) -> str:
    """The device that was named, or the GPU where there is one. Raises ValueError."""
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: this torch finds no GPU; `yld doctor` says more")
    return device


def finding_options(command):
    """Which face, and how it is found."""
    for option in (
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting of `yld build` for finding the face, e.g. landmarks=mediapipe.",
        ),
        device_option,
        click.option(
            "--track",
            type=click.IntRange(min=1),
            metavar="N",
            help="Person who speaks: 1 is the one longest in the picture, as told.  [default: 1]",
        ),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def a_face_in(video: Path) -> Iterator[None]:
    """Where there is none, the command ends and says what can be done."""
    from pipeline.synthesis.people import NoFaceError

    try:
        yield
    except NoFaceError as error:
        click.echo(
            f"yld: {video}: {error}; give a video in which a face is seen, or another detector "
            "(--set detector=NAME, docs/backends.md)",
            err=True,
        )
        sys.exit(EXIT_FAILED)


def refuse_places(*names: Path) -> None:
    """Raises NotOursError for files that are there, or cannot be made."""
    from pipeline.storage.own_folder import NotOursError, refuse_existing

    refuse_existing(*names)
    for name in names:
        above = next(p for p in name.resolve().parents if os.path.lexists(p))
        if not above.is_dir():
            raise NotOursError(f"{name} cannot be made: {above} is a file; name another place")
