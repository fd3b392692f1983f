"""`yld corpora`: the published corpora that yld reads, and what one of them holds at a place."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any

import click

from pipeline.commands.options import emit, friendly

COLUMNS = ["name", "title", "needs", "hours", "licence", "wanted_by"]
ROW_COLUMNS = ["name", "speaker", "split", "start_s", "end_s", "address"]


@click.command()
@click.argument("what", required=False)
@click.option("--rows", is_flag=True, help="With NAME:PLACE: each clip, span or picture.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def corpora(what, rows, as_json) -> None:
    """Corpora that are known: what each needs, its terms, hours, and which trainers want it.

    WHAT is a name (grid: all that is known of it) or NAME:PLACE (grid:PATH: what lies there,
    checked against how the corpus is laid out, as `yld build` would read it; nothing is fetched or
    written).
    """
    from stages.sources.corpora import catalogue

    if what is None:
        emit([_facts(c) for c in catalogue.CORPORA.values()], COLUMNS, as_json)
        return
    if ":" not in what:
        corpus = catalogue.CORPORA.get(what.replace("-", "_"))
        if corpus is None:
            raise click.BadParameter(f"{what} is none of {', '.join(catalogue.CORPORA)}")
        facts = _facts(corpus)
        click.echo(
            json.dumps(facts, indent=1)
            if as_json
            else "\n".join(f"{name}: {value}" for name, value in facts.items())
        )
        return
    findings = catalogue.find(what)
    for note in findings.notes:
        click.echo(note, err=True)
    if rows:
        emit([_row(row) for row in findings.rows], ROW_COLUMNS, as_json)
        return
    summary = _summary(findings)
    click.echo(
        json.dumps(summary, indent=1)
        if as_json
        else "\n".join(f"{name}: {value}" for name, value in summary.items())
    )


def _facts(corpus) -> dict[str, Any]:
    told = ("name", "title", "paper", "needs", "licence", "hours", "makes", "wanted_by")
    return {name: getattr(corpus, name) for name in told}


def _row(row) -> dict[str, Any]:
    left_out = {"lies_at"}
    return {f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name not in left_out}


def _summary(findings) -> dict[str, Any]:
    """Counts of what was found."""
    rows = findings.rows
    parts = Counter(row.split or "none" for row in rows)
    return {
        "corpus": findings.corpus,
        "rows": len(rows),
        "sources": len({row.address for row in rows}),
        "kinds": _words(Counter(row.kind for row in rows)),
        "speakers": len({row.speaker for row in rows if row.speaker}),
        "parts": _words(parts),
        "with text": sum(row.text is not None or row.transcript_path is not None for row in rows),
        "with a span": sum(row.start_s is not None or row.every_s is not None for row in rows),
        "with a face": sum(bool(row.boxes) or row.point_x is not None for row in rows),
        "missing": sum(row.missing is not None for row in rows),
    }


def _words(counts: Counter) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
