"""What all commands share: friendly errors, tables, exit codes."""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import Any

import click

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
