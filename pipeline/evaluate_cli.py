"""Commands of scoring: `yld evaluate`, `yld mos make`, `yld mos score`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.cli_tools import EXIT_FAILED, emit, friendly

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
COLUMNS = ["system", "metric", "mean", "low", "high", "n", "coverage", "note"]


@click.command()
@click.option("--hyp", type=FOLDER, help="Folder of generated speech or video.")
@click.option("--ref", type=FOLDER, help="Folder of the true ones; files are paired by name.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True,
              help="Where scores.parquet, scores.json and report.html go.")
@click.option("--video", type=FOLDER, help="Videos whose lips the sound belongs to.")
@click.option("--text", type=click.Path(path_type=Path, exists=True),
              help="What is said: lines of `name text`, a JSON object, or a folder of .align.")
@click.option("--speakers", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Lines of `name speaker`; else the folder a file lies in is its speaker.")
@click.option("--metrics", help="Comma list, or `all`; `a-` before a name aligns first. "
                                "Default: STOI, ESTOI, PESQ and MCD, each both ways.")
@click.option("--no-ceilings", is_flag=True,
              help="Leave out the ground truth and its Griffin-Lim round trip.")
@click.option("--list", "list_metrics", is_flag=True, is_eager=True, expose_value=False,
              callback=lambda ctx, _, value: value and _list(ctx),
              help="Print the metrics and stop.")
@click.option("--shards", type=FOLDER, help="Corpus whose test split is synthesized.")
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True),
              help="Model that synthesizes it.")
@click.option("--address", help="Ray cluster to join; local by default.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@friendly
def evaluate(hyp, ref, out, video, text, speakers, metrics, no_ceilings, shards, checkpoint,
             address, as_json) -> None:
    """Score generated speech against the true one: a row per utterance and metric."""
    from evaluation.catalogue import parse

    if shards or checkpoint:
        raise ValueError("--shards and --checkpoint wait for the first trainer of speech; "
                         "synthesize to a folder and give it with --hyp and --ref")
    if not hyp or not ref:
        raise ValueError("--hyp and --ref are needed")
    names = parse(metrics)
    from pipeline.evaluate import evaluate as run
    from pipeline.evaluate import table_rows

    outcome = run(ref, hyp, out, names, video=video, text=text, speakers=speakers,
                  ceilings=not no_ceilings, address=address)
    from evaluation.report import write_report

    write_report(out / "report.html", outcome.rows, outcome.summaries, outcome.utterances)
    if outcome.only_hypotheses:
        shown = ", ".join(outcome.only_hypotheses[:5])
        click.echo(f"{len(outcome.only_hypotheses)} hypotheses have no reference: {shown}",
                   err=True)
    if outcome.num_reused:
        click.echo(f"{outcome.num_reused} scores were there already", err=True)
    rows = [{**row, "note": _note(row)} for row in table_rows(outcome.summaries)]
    emit(rows, COLUMNS, as_json)
    if not any(row["n"] for row in rows if row["system"] == "hypothesis"):
        click.echo("yld: no hypothesis got a score; the notes and the report say why", err=True)
        sys.exit(EXIT_FAILED)


def _note(row: dict) -> str:
    left = {k: v for k, v in row["statuses"].items() if k != "ok"}
    text = ", ".join(f"{v} {k}" for k, v in left.items())
    reason = next(iter(row["reasons"]), "")
    return f"{text} ({reason[:70]})" if reason else text


def _list(context: click.Context) -> None:
    from evaluation.catalogue import METRICS
    from pipeline.progress import table

    rows = [{"metric": m.name, "title": m.title, "unit": m.unit or "1",
             "better": {True: "higher", False: "lower", None: "-"}[m.higher_is_better],
             "aligned": f"a-{m.name}" if m.alignable else "-", "waits": m.missing or ""}
            for m in METRICS.values()]
    click.echo(table(rows, ["metric", "title", "unit", "better", "aligned", "waits"]))
    context.exit()
