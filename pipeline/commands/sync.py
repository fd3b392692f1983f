"""The commands about synchrony: `yld audit`, `yld resync`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.commands.options import EXIT_FAILED, LocalPath, emit, friendly, voiced
from stages.sources.layouts import LAYOUTS

ESTIMATOR_NAMES = ("lipsync", "lipsync_linear", "syncnet_v2")
"""Those of `stages.sync.estimators`, told without importing it."""

SUMMARY_COLUMNS = ["speaker", "clips", "measured", "undecided", "other", "centre_ms", "spread_ms"]
"""At a terminal, in 80 columns; `--json`, summary.json and the page have what `other` is."""


def run_options(command):
    """What every command that measures a corpus takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the table as JSON."),
        click.option("--address", help="Ray cluster to join; local by default."),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="One setting, e.g. sync.search_ms=1000.",
        ),
        click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    required=True,
    type=LocalPath(file_okay=False),
    help="Folder for offsets.parquet, summary.json and report.html.",
)
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="How the files lie (`yld corpora`); recognised if not given.",
)
@click.option(
    "--estimator",
    "estimators",
    type=click.Choice(ESTIMATOR_NAMES),
    multiple=True,
    default=("lipsync",),
    show_default=True,
    help="May be given several times; the first one counts.",
)
@run_options
@voiced
@friendly
def audit(path, out, layout, estimators, config, assignments, address, as_json) -> None:
    """Measure the audio-visual offset of every clip of a folder, corpus, list or shards."""
    from pipeline.audit import audit as run
    from pipeline.audit import first_of, lengths, recordings, sentence
    from pipeline.audit.report import next_command
    from pipeline.config import build_config as cfg
    from pipeline.run.tables import fitting_line

    done = run(
        path,
        out,
        cfg.load_config(config, assignments),
        layout=layout,
        estimators=estimators,
        address=address,
    )
    table = [
        {**row, "other": row["clips"] - row["measured"] - row["undecided"]} for row in done.summary
    ]
    emit(done.summary if as_json else table, SUMMARY_COLUMNS, as_json)
    for row in done.summary[:20]:
        click.echo(fitting_line(sentence(row), sys.stderr), err=True)
    for text in recordings.sentences(done.rows)[:20]:
        click.echo(text, err=True)
    length = lengths.sentence(first_of(done.rows, estimators[0]))
    if length is not None:
        click.echo(fitting_line(length, sys.stderr), err=True)
    click.echo(f"to look at: {out / 'report.html'}", err=True)
    if any(r["measured"] for r in done.summary):
        click.echo(f"next: {next_command(out / 'report.html', path)}", err=True)
    if not any(r["measured"] for r in done.summary):
        from pipeline.run import why

        click.echo(
            "yld: no clip could be measured; the commonest reasons (all of them are in the "
            "report):",
            err=True,
        )
        lines = why.commonest(why.of_entries(done.entries, offsets=True))
        click.echo("\n".join(lines or [f"  {done.rows[0]['reason']}"]), err=True)
        sys.exit(EXIT_FAILED)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    required=True,
    type=LocalPath(file_okay=False),
    help="Folder for the corrected clips, resync.parquet and report.html.",
)
@click.option(
    "--undecided",
    type=click.Choice(["drop", "keep", "speaker"]),
    default="drop",
    show_default=True,
    help="Clips without a number: leave out, copy as they are on the "
    "clock, or correct by their speaker's centre.",
)
@click.option("--layout", type=click.Choice(LAYOUTS), help="As for `yld audit`.")
@run_options
@voiced
@friendly
def resync(path, out, undecided, layout, config, assignments, address, as_json) -> None:
    """Take the measured offset and drift out of every clip; originals stay as they are."""
    from pipeline.config import build_config as cfg
    from pipeline.resync import COLUMNS
    from pipeline.resync import resync as run
    from pipeline.resync.fates import PASSED_OVER, WRITTEN_CORRECTED

    rows = run(
        path,
        out,
        cfg.load_config(config, assignments),
        undecided=undecided,
        layout=layout,
        address=address,
    )
    # Label files by the thousand are counted on stderr; the table is of clips.
    emit(rows if as_json else [r for r in rows if r["fate"] != PASSED_OVER], COLUMNS, as_json)
    if not any(r["fate"] in WRITTEN_CORRECTED for r in rows):
        sys.exit(EXIT_FAILED)
