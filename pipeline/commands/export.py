"""`yld export`: a corpus for another project's trainer."""

from __future__ import annotations

import click

from pipeline.commands.options import CORPUS, LocalPath, emit, friendly
from pipeline.export.forms import FORMS, WHOLE

COLUMNS = ["form", "clips", "files", "left_out"]


@click.command()
@click.argument("corpus", type=CORPUS)
@click.option(
    "--as",
    "form",
    required=True,
    type=click.Choice([*FORMS, *WHOLE]),
    help="Whose reader shall take it (docs/exports.md says what each wants).",
)
@click.option(
    "--out",
    required=True,
    type=LocalPath(),
    help="Folder of the export (links: its file): a new one, or one that this command began.",
)
@click.option(
    "--push",
    metavar="REPO",
    help="huggingface: upload to this repository of the Hub (OWNER/NAME).",
)
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, dir_okay=False),
    help="auto-avsr: the sentencepiece model of its tokens.",
)
@click.option(
    "--units",
    type=click.Path(exists=True, dir_okay=False),
    help="auto-avsr: the list of the tokenizer's pieces.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def export(corpus, form, out, push, tokenizer, units, as_json) -> None:
    """Write CORPUS in the form that another project reads. What has no place in it is listed in
    left_out.csv with the reason."""
    if push is not None and form != "huggingface":
        raise click.UsageError("--push goes with --as huggingface")
    if form in WHOLE:
        from pipeline.export.whole import export_whole

        done = export_whole(corpus.folder, out, form, push)
    else:
        from pipeline.export.job import export as run

        done = run(corpus.folder, out, form, tokenizer, units)
    emit([done.summary()], COLUMNS, as_json)
    if done.where is not None:
        click.echo(f"uploaded to {done.where}", err=True)
    if done.left_out and not as_json:
        click.echo(f"{len(done.left_out)} clips were left out: see left_out.csv", err=True)
