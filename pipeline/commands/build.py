"""`yld build`: links, lists, files and folders into a corpus."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from manifests.paths import as_text
from pipeline.commands.config import preset_option
from pipeline.commands.models import model_dir as model_dir_option
from pipeline.commands.models import use_model_dir
from pipeline.commands.options import EXIT_FAILED, EXIT_STRICT, emit, friendly, voiced


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--out",
    required=True,
    help="Corpus folder, made or extended; or an fsspec address such as s3://b/corpus.",
)
@click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings.")
@preset_option
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, e.g. clips.max_frames=50.",
)
@click.option(
    "--target",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Photo of the one person to keep; may be given several times.",
)
@click.option("--max-height", type=int, help="Largest picture height fetched.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Only the first N of the sources given; what the corpus has stays.",
)
@click.option("--address", help="Ray cluster to join; local by default.")
@click.option("--retry-failed", is_flag=True, help="Try failed items again.")
@click.option("--strict", is_flag=True, help="Exit code 4 if any source failed.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@model_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print the funnel as JSON.")
@voiced
@friendly
def build(
    sources,
    out,
    config,
    preset,
    assignments,
    target,
    max_height,
    limit,
    address,
    retry_failed,
    strict,
    dry_run,
    model_dir,
    as_json,
) -> None:
    """Build or extend a corpus from links, lists of links, media files, folders, and published
    corpora as NAME:PLACE (grid:PATH, lip2wav:chem; `yld corpora` lists them), or from what
    `yld export --as links` wrote (links:FILE)."""
    use_model_dir(model_dir)
    from pipeline.config import build_config as cfg
    from pipeline.run import status
    from pipeline.run.tables import fitting_line

    extra = [f"identity.target={json.dumps([as_text(Path(t).resolve()) for t in target])}"] * bool(
        target
    )
    if max_height is not None:
        extra.append(f"download.max_height={max_height}")
    links, sources, told = _from_links(sources)
    settings = cfg.load_config(config, (*told, *assignments, *extra), preset)
    if not out.strip():
        raise click.BadParameter(
            "it is empty (a shell variable that is not set?); name a folder", param_hint="--out"
        )
    from pipeline.storage import address as place

    destination = out if place.is_remote(out) else None
    out = place.staging_folder(out) if destination else place.local_path(out)
    from pipeline.build.closing import closing
    from pipeline.build.job import build as run
    from pipeline.storage import own_folder

    own_folder.check(out, "corpus")
    if dry_run:
        from pipeline.build.dry_run import describe

        click.echo(describe(list(sources), out, settings, limit, destination))
        return
    if destination:
        place.check(destination)
    outcome = run(
        list(sources),
        out,
        settings,
        address=address,
        limit=limit,
        retry_failed=retry_failed,
        destination=destination,
        links=links,
    )
    emit(outcome.status, status.COLUMNS, as_json)
    if links is not None:
        _tell_fates(out, links)
    for line in (*outcome.notes, *closing(outcome, str(destination or out))):
        click.echo(fitting_line(line, sys.stderr), err=True)
    if strict and outcome.num_failed:
        click.echo(f"yld: {outcome.num_failed} of the sources failed (--strict)", err=True)
        sys.exit(EXIT_STRICT)
    if outcome.num_samples == 0:
        sys.exit(EXIT_FAILED)
    if outcome.failure_rate > settings.workers.max_failure_rate:
        click.echo(f"yld: {outcome.failure_rate:.0%} of the videos failed", err=True)
        sys.exit(EXIT_FAILED)


def _from_links(sources):
    """Of `links:FILE`: its content, its links and its settings; other sources stay."""
    from manifests.links import read_links

    named = [s for s in sources if s.startswith("links:")]
    if not named:
        return None, list(sources), []
    if len(sources) > 1:
        raise click.UsageError("links:FILE builds one corpus again; give it alone")
    links = read_links(Path(named[0].removeprefix("links:")))
    return links, links.addresses, links.settings()


def _tell_fates(out, links) -> None:
    from manifests.corpus import Corpus
    from pipeline.build.rebuilt import fates, summary, write_fates

    rows = fates(Corpus(out), links)
    write_fates(out, rows)
    click.echo(summary(rows), err=True)
