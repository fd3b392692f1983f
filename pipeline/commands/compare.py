"""`yld compare`: two corpora of the same videos side by side."""

from __future__ import annotations

import json

import click

from pipeline.commands.options import CORPUS, friendly, no_nan

SHOWN = 10
"""Clips gained and lost that are listed without --all."""


@click.command()
@click.argument("a", type=CORPUS)
@click.argument("b", type=CORPUS)
@click.option("--all", "everything", is_flag=True, help="List every clip gained or lost.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def compare(a, b, everything, as_json) -> None:
    """What corpus B has otherwise than A: settings, clips gained and lost, offsets, reasons,
    costs. Videos are matched by their bytes, clips by their frames."""
    from pipeline.corpus.compare import compare as run
    from pipeline.run.tables import fitting

    done = run(a.folder, b.folder)
    if as_json:
        click.echo(json.dumps(no_nan(done.told()), indent=1))
        return
    v, c = done.videos, done.clips
    click.echo(f"{v['both']} videos in both, {v['only_a']} in A alone, {v['only_b']} in B alone")
    for line in done.settings:
        click.echo(f"  {line}")
    click.echo(
        f"clips: {c['a']:.0f} -> {c['b']:.0f} ({c['a_s']:g} -> {c['b_s']:g} s): {c['kept']:.0f} in "
        f"both, {c['gained']:.0f} gained ({c['gained_s']:g} s), {c['lost']:.0f} lost "
        f"({c['lost_s']:g} s); speakers: {c['a_speakers']:.0f} -> {c['b_speakers']:.0f}"
    )
    for name, value in done.offsets.items():
        click.echo(f"  {name.replace('_', ' ')}: {'-' if value is None else value}")
    for title, rows in (("reasons", done.rejects), ("costs", done.costs)):
        if rows:
            click.echo(f"\n{title}\n{fitting(rows, list(rows[0]))}")
    for title, rows in (("gained", done.gained), ("lost", done.lost)):
        if rows:
            shown = rows if everything else rows[:SHOWN]
            more = "" if len(shown) == len(rows) else f"\nand {len(rows) - len(shown)} more (--all)"
            click.echo(f"\n{title}\n{fitting(shown, list(rows[0]))}{more}")
