"""Commands of scoring: `yld evaluate`, `yld mos make`, `yld mos score`."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import click

from manifests.files import recording
from pipeline.commands.options import EXIT_FAILED, LocalPath, emit, friendly
from pipeline.storage.lock import RECORDS

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
NOTE_WIDTH = 110
OWN_LIPS = {
    "ground_truth": "the videos with their true sound: their own offset, not a fault of a model",
    "griffin_lim": "the videos with their true sound after the round trip",
}
"""What lips and sound say of the ceilings; the hypotheses' figures are to be read beside it."""
COLUMNS = ["system", "metric", "mean", "low", "high", "n", "coverage", "note"]


@click.command()
@click.option("--hyp", type=FOLDER, help="Folder of generated speech or video.")
@click.option("--ref", type=FOLDER, help="Folder of the true ones; files are paired by name.")
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    required=True,
    help="Where scores.parquet, scores.json and report.html go.",
)
@click.option("--video", type=FOLDER, help="Videos whose lips the sound belongs to.")
@click.option(
    "--text",
    type=click.Path(path_type=Path, exists=True),
    help="What is said: lines of `name text`, a JSON object, a folder of .align, or "
    "a corpus of ours (by its samples' keys).",
)
@click.option(
    "--speakers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Lines of `name speaker`; else the folder a file lies in is its speaker.",
)
@click.option(
    "--recogniser",
    type=FOLDER,
    help="Adapted recogniser for wer-adapted, made by tools/adapt_recogniser.py.",
)
@click.option(
    "--metrics",
    help="Comma list, or `all`; `a-` before a name aligns first. "
    "Default: STOI, ESTOI, PESQ and MCD, each both ways.",
)
@click.option(
    "--no-ceilings", is_flag=True, help="Leave out the ground truth and its Griffin-Lim round trip."
)
@click.option(
    "--list",
    "list_metrics",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, value: _list(ctx) if value else None,
    help="Print the metrics and stop.",
)
@click.option(
    "--shards",
    type=FOLDER,
    help="Corpus whose part `test` is spoken by --checkpoint and scored, in the place of --hyp and "
    "--ref; clips that the model learnt from are left out.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True),
    help="Model that made --hyp, or speaks --shards; the signatures of its scores say which, and "
    "with what it was trained.",
)
@click.option("--address", help="Ray cluster to join; local by default.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@friendly
def evaluate(
    hyp,
    ref,
    out,
    video,
    text,
    speakers,
    recogniser,
    metrics,
    no_ceilings,
    shards,
    checkpoint,
    address,
    as_json,
) -> None:
    """Score generated speech against the true one: a row per utterance and metric."""
    from evaluation.catalogue import parse

    if shards and (hyp or ref):
        raise ValueError("--shards takes the place of --hyp and --ref: give one or the other")
    if shards and not checkpoint:
        raise ValueError("--shards needs --checkpoint, the model that speaks")
    if not shards and not (hyp and ref):
        raise ValueError("--hyp and --ref are needed, or --shards and --checkpoint")
    names = parse(metrics)
    if recogniser:
        from evaluation.metrics.recognition import ADAPTED_MODEL

        os.environ[ADAPTED_MODEL] = str(recogniser.resolve())
    from pipeline.scoring.evaluate import evaluate as run
    from pipeline.scoring.evaluate import table_rows
    from pipeline.storage.own_folder import claim

    made_by = None
    if shards:
        from pipeline.synthesis.spoken_clips import speak_part

        spoken = speak_part(
            shards, checkpoint, out, lambda told: click.echo(told, err=True), device=_device()
        )
        hyp, ref, made_by = spoken.made, spoken.true, spoken.made_by
        video, speakers = video or spoken.faces, speakers or spoken.speakers
        if text is None and (shards / "manifests" / "clips").is_dir():
            text = shards
    elif checkpoint:
        from pipeline.synthesis.models import maker_of

        made_by = maker_of(checkpoint)
    outcome = run(
        ref,
        hyp,
        out,
        names,
        video=video,
        text=text,
        speakers=speakers,
        ceilings=not no_ceilings,
        address=address,
        made_by=made_by,
    )
    from evaluation.report import write_report

    with recording(out / "work" / RECORDS):
        write_report(out / "report.html", outcome.rows, outcome.summaries, outcome.utterances)
    claim(out, "scores").wrote(["report.html"])
    click.echo(f"to look at: {out / 'report.html'}", err=True)
    if outcome.only_hypotheses:
        shown = ", ".join(outcome.only_hypotheses[:5])
        click.echo(
            f"{len(outcome.only_hypotheses)} hypotheses have no reference: {shown}", err=True
        )
    if outcome.num_reused:
        click.echo(f"{outcome.num_reused} scores were there already", err=True)
    rows = [{**row, "note": _note(row)} for row in table_rows(outcome.summaries)]
    emit(rows, COLUMNS, as_json)
    if not any(row["n"] for row in rows if row["system"] == "hypothesis"):
        click.echo("yld: no hypothesis got a score; the notes and the report say why", err=True)
        sys.exit(EXIT_FAILED)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _note(row: dict) -> str:
    """What a row of the table leaves out, and the commonest reason, whole where it is short."""
    from evaluation.catalogue import split

    notes = []
    missing = row["num_utterances"] - row["n"]
    if missing:
        kinds = {k: v for k, v in row["statuses"].items() if k != "ok"}
        which = (
            ""
            if set(kinds) == {"error"}
            else (" (" + ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in kinds.items()) + ")")
        )
        reason = textwrap.shorten(next(iter(row["reasons"]), ""), NOTE_WIDTH, placeholder=" ...")
        more = row["num_reasons"] - 1
        notes.append(
            f"{missing} of {row['num_utterances']} have no score{which}: {reason}"
            + (f"; {more} other reason{'s' * (more > 1)} in scores.json" if more > 0 else "")
        )
    if row["n"] and row["system"] != "hypothesis" and split(row["metric"])[0].kind == "lips":
        notes.append(OWN_LIPS[row["system"]])
    return "; ".join(notes)


def _list(context: click.Context) -> None:
    from evaluation.catalogue import METRICS
    from pipeline.run.tables import fitting

    rows = [
        {
            "metric": m.name,
            "title": m.title,
            "unit": m.unit or "1",
            "better": {True: "higher", False: "lower", None: "-"}[m.higher_is_better],
            "aligned": f"a-{m.name}" if m.alignable else "-",
        }
        for m in METRICS.values()
    ]
    click.echo(fitting(rows, ["metric", "title", "unit", "better", "aligned"]))
    context.exit()


@click.group()
def mos() -> None:
    """Listening tests: make a page for raters, and the table from what they send back."""


@mos.command()
@click.option(
    "--system",
    "systems",
    multiple=True,
    required=True,
    metavar="NAME=DIR",
    help="A folder of sound; several, the true one among them.",
)
@click.option(
    "--out",
    type=LocalPath(dir_okay=False),
    required=True,
    help="The page; its key goes beside it as NAME.key.json. Keep the key.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Samples drawn, the same of every system.",
)
@click.option(
    "--questions",
    help="Comma list of quality, intelligibility, naturalness, "
    "face-voice. Default: the first three.",
)
@click.option("--faces", type=FOLDER, help="Pictures or videos by the same names, shown along.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Draws the samples."
)
@click.option("--title", default="Listening test", show_default=True, help="The page's heading.")
@friendly
def make(systems, out, samples, questions, faces, seed, title) -> None:
    """Write a self-contained, blinded listening test."""
    from evaluation.mos.page import DEFAULT_QUESTIONS, make_test
    from pipeline.storage.own_folder import refuse_existing

    folders = {}
    for given in systems:
        name, _, folder = given.partition("=")
        if not name or not folder or not Path(folder).is_dir():
            raise ValueError(f"--system {given}: NAME=DIR is wanted, with a folder that is there")
        if name in folders:
            raise ValueError(f"--system {name} is given twice")
        folders[name] = Path(folder)
    asked = [q.strip() for q in questions.split(",")] if questions else DEFAULT_QUESTIONS
    key = out.with_suffix(".key.json")
    refuse_existing(out, key)  # of an earlier test people may be judging; its key is nowhere else
    made = make_test(
        out, key, folders, questions=asked, num_samples=samples, seed=seed, faces=faces, title=title
    )
    if len(folders) == 1:
        click.echo(
            f"yld: {next(iter(folders))} is the only system: raters have nothing to compare "
            "it with. Give the true recordings as another, --system true=DIR",
            err=True,
        )
    for sample, reason in made.left_out.items():
        click.echo(f"left out of every system: {sample}: {reason}", err=True)
    click.echo(
        f"{out}: {made.num_samples} samples of {len(folders)} systems, "
        f"{made.num_stimuli} stimuli; key: {key}"
    )


@mos.command("score")
@click.argument("key", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument(
    "answers", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def score_command(key, answers, as_json) -> None:
    """Means with 95 % t-intervals over ratings, from KEY and raters' ANSWERS."""
    import dataclasses

    from evaluation.mos.answers import score_answers

    opinions, missing = score_answers(key, answers)
    if missing:
        click.echo(f"{missing} ratings are missing and not counted", err=True)
    emit(
        [dataclasses.asdict(o) for o in opinions],
        ["question", "system", "mean", "plus_minus", "n", "num_raters", "num_samples"],
        as_json,
    )
