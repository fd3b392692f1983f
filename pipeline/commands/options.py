"""What all commands share: friendly errors, exit codes, a table or JSON."""

from __future__ import annotations

import errno
import functools
import json
import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from manifests.plain_words import sentence
from pipeline.run import supervisor
from pipeline.run.health import ClusterLostError
from pipeline.run.voice import METRICS_PORT, Voice, speaking

if TYPE_CHECKING:
    from pipeline.storage.work_files import WorkFiles

EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED, EXIT_STRICT = 1, 2, 3, 4
"""What docs/operations.md says of each."""
NAMED = {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors of the system that are about a place that was named, not about the machine."""


def friendly(command):
    """Turn the errors a user can mend into one clear message and an exit code."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("stopped; the same command goes on where it was", err=True)
            sys.exit(130)
        except ClusterLostError as error:
            if supervisor.is_supervised():
                supervisor.lost(str(error))
            click.echo(f"yld: {error}; {supervisor.KEPT}", err=True)
            sys.exit(EXIT_STOPPED)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own business, also a reader (`| head`) that has seen enough
        except Exception as error:
            if os.environ.get("YLD_DEBUG"):
                raise
            if isinstance(error, (ValueError, OSError, RuntimeError)):
                click.echo(f"yld: {sentence(error)}", err=True)
            else:
                click.echo(
                    f"yld: a fault of yld itself ({type(error).__name__}: {error}); the "
                    "same command with YLD_DEBUG=1 shows where, please report it",
                    err=True,
                )
            named = isinstance(error, ValueError) or getattr(error, "errno", None) in NAMED
            sys.exit(EXIT_USAGE if named else EXIT_STOPPED)

    return wrapped


def voiced(command):
    """`-v`, `-q`, `--log-json` and `--metrics-port`, for commands that run stages."""

    @click.option("-v", "--verbose", is_flag=True, help="A line for each unit that ended.")
    @click.option("-q", "--quiet", is_flag=True, help="On stderr only what went wrong.")
    @click.option(
        "--log-json", is_flag=True, help="On stderr one JSON object a line instead of words."
    )
    @click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        help="Port on which Ray tells Prometheus of the run; with --address the cluster's own.",
    )
    @functools.wraps(command)
    def wrapped(*args, verbose, quiet, log_json, metrics_port, **kwargs):
        if quiet and (verbose or log_json):
            raise click.UsageError("--quiet goes with neither --verbose nor --log-json")
        if metrics_port is not None:
            os.environ[METRICS_PORT] = str(metrics_port)
        with speaking(Voice(verbose, quiet, log_json)):
            return command(*args, **kwargs)

    return wrapped


def emit(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    """A table (blocks at a terminal it does not fit), or JSON."""
    from pipeline.run.tables import fitting

    click.echo(json.dumps(no_nan(rows), indent=1) if as_json else fitting(rows, columns))


def no_nan(value: Any) -> Any:
    """The value with null for every float that is no finite number: JSON has no other word."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: no_nan(v) for key, v in value.items()}
    return [no_nan(v) for v in value] if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class CorpusPlace:
    """A corpus named on the command line: its folder, and its files if it is at an address."""

    folder: Path
    files: WorkFiles | None = None


class _DeviceType(click.ParamType):
    name = "device"

    def get_metavar(self, param: Any, ctx: Any = None) -> str:
        return "[cpu|cuda|cuda:N]"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", str(value)):
            self.fail(
                f"{value!r} is none of cpu, cuda, cuda:N (the GPU of that number)", param, ctx
            )
        return str(value)


DEVICE = _DeviceType()
"""Where a network runs."""


class _CorpusType(click.ParamType):
    name = "directory"

    def convert(self, value: Any, param: Any, ctx: Any) -> CorpusPlace:
        from pipeline.storage import address, mirror

        if isinstance(value, CorpusPlace):
            return value
        if address.is_remote(value):
            try:
                return CorpusPlace(*mirror.open_corpus(value))
            except (OSError, RuntimeError, ValueError) as error:
                self.fail(str(error), param, ctx)
        return CorpusPlace(
            click.Path(path_type=Path, exists=True, file_okay=False).convert(value, param, ctx)
        )


class LocalPath(click.Path):
    """A file or folder of this machine that a command writes: an address is refused, which would
    otherwise become a folder `s3:` here."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, file_okay=file_okay, dir_okay=dir_okay)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from manifests.address import is_remote, local_path

        if not isinstance(value, str):
            return super().convert(value, param, ctx)
        if is_remote(value):
            self.fail(
                f"{value} is an address, and this writes to this machine: name a path here "
                "(`yld build --out` takes addresses)",
                param,
                ctx,
            )
        return super().convert(str(local_path(value)) if value else value, param, ctx)


CORPUS = _CorpusType()
"""A corpus folder, or the fsspec address that one was built to."""
