"""What all commands share: friendly errors, exit codes, a table or JSON."""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import supervisor
from pipeline.health import ClusterLostError

if TYPE_CHECKING:
    from pipeline.work_files import WorkFiles

EXIT_FAILED, EXIT_STOPPED, EXIT_USAGE = 1, 3, 2


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
        except (ValueError, OSError, RuntimeError) as error:
            if os.environ.get("YLD_DEBUG"):
                raise
            click.echo(f"yld: {error}", err=True)
            sys.exit(EXIT_USAGE if isinstance(error, ValueError) else EXIT_STOPPED)
    return wrapped


def emit(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    """A table, or JSON."""
    from pipeline.progress import table

    click.echo(json.dumps(rows, indent=1) if as_json else table(rows, columns))


@dataclass(frozen=True)
class CorpusPlace:
    """A corpus named on the command line: its folder, and its files if it is at an address."""

    folder: Path
    files: WorkFiles | None = None


class _CorpusType(click.ParamType):
    name = "directory"

    def convert(self, value: Any, param: Any, ctx: Any) -> CorpusPlace:
        from pipeline import remote

        if isinstance(value, CorpusPlace):
            return value
        if remote.is_remote(value):
            try:
                return CorpusPlace(*remote.open_corpus(value))
            except (OSError, RuntimeError, ValueError) as error:
                self.fail(str(error), param, ctx)
        return CorpusPlace(
            click.Path(path_type=Path, exists=True, file_okay=False).convert(value, param, ctx))


CORPUS = _CorpusType()
"""A corpus folder, or the fsspec address that one was built to."""
