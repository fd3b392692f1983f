"""Commands about this machine: `yld doctor`, `yld demo`."""

from __future__ import annotations

import sys

import click

from pipeline.commands.options import EXIT_FAILED, LocalPath, emit, friendly


@click.command()
@click.option("--sync", is_flag=True, help="Flash-and-beep test of every way to read a file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def doctor(sync, as_json) -> None:
    """What this machine has and what is missing, with the remedy."""
    from pipeline.machine.doctor import examine

    if sync:
        from pipeline.machine import sync_check

        rows = sync_check.check(lambda name: click.echo(f"testing {name}", err=True))
        emit(rows, sync_check.COLUMNS, as_json)
        ours = [r for r in rows if r["path"] == sync_check.OURS]
        sys.exit(EXIT_FAILED if any(r["verdict"] != "in sync" for r in ours) else 0)

    rows = examine()
    emit(rows, ["part", "state", "found", "remedy"], as_json)
    sys.exit(EXIT_FAILED if any(r["state"] == "missing" for r in rows) else 0)


@click.command()
@click.option("--seed", type=int, default=0, show_default=True, help="Moves the planted truth.")
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default="demo-out",
    show_default=True,
    help="Where the demo's corpus goes.",
)
@friendly
def demo(seed, out) -> None:
    """Make input with known truth, fetch it from a loopback server, build, compare."""
    from pipeline.demo import run_demo

    sys.exit(0 if run_demo(out, seed) else EXIT_FAILED)
