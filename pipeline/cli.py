"""The command `yld`: results on stdout, logs on stderr, an exit code that tells the truth."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from manifests.paths import as_text
from manifests.plain_words import read_json
from pipeline.commands import models as commands_models
from pipeline.commands import scores as commands_scores
from pipeline.commands import sync as commands_sync
from pipeline.commands.options import CORPUS, EXIT_FAILED, EXIT_STRICT, emit, friendly
from pipeline.run import supervisor
from pipeline.run.terminal import close_stdin


class _Program(click.Group):
    """The group of commands; run as a program, the long ones run below a supervisor."""

    def main(self, args=None, **options):
        if args is None and supervisor.is_wanted(sys.argv[1:]):
            supervisor.run(lambda: super(_Program, self).main(None, **options))
        return super().main(args, **options)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"],
                                             "max_content_width": 100})
@click.version_option(package_name="yld-corpora", prog_name="yld")
def main() -> None:
    """Synced, face-registered, audited talking-face corpora from video links."""
    close_stdin()  # no command reads it, and what commands start must not
    if not os.environ.get("YLD_DEBUG"):
        # PyAV is silent; OpenCV brings an FFmpeg of its own, which is told by what it looks up when
        # it opens its first file. Workers inherit it. What is damaged is told in our words.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    for stream in (sys.stdout, sys.stderr):
        # A name of a file may hold what no encoding can write; that is no reason to stop.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@main.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--out", required=True,
              help="Corpus folder, made or extended; or an fsspec address such as s3://b/corpus.")
@click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
              help="One setting, e.g. clips.max_frames=50.")
@click.option("--target", multiple=True, type=click.Path(exists=True, dir_okay=False),
              help="Photo of the one person to keep; may be given several times.")
@click.option("--max-height", type=int, help="Largest picture height fetched.")
@click.option("--limit", type=click.IntRange(min=1),
              help="Only the first N of the sources given; what the corpus has stays.")
@click.option("--address", help="Ray cluster to join; local by default.")
@click.option("--retry-failed", is_flag=True, help="Try failed items again.")
@click.option("--strict", is_flag=True, help="Exit code 4 if any source failed.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@commands_models.model_dir
@click.option("--json", "as_json", is_flag=True, help="Print the funnel as JSON.")
@friendly
def build(sources, out, config, assignments, target, max_height, limit, address, retry_failed,
          strict, dry_run, model_dir, as_json) -> None:
    """Build or extend a corpus from links, lists of links, media files and folders."""
    commands_models.use_model_dir(model_dir)
    from pipeline.config import build_config as cfg
    from pipeline.run import status

    extra = [f"identity.target={json.dumps([as_text(Path(t).resolve()) for t in target])}"] * bool(
        target)
    if max_height is not None:
        extra.append(f"download.max_height={max_height}")
    settings = cfg.load_config(config, (*assignments, *extra))
    if not out.strip():
        raise click.BadParameter("it is empty (a shell variable that is not set?); name a folder",
                                 param_hint="--out")
    from pipeline.storage import address as place

    destination = out if place.is_remote(out) else None
    out = place.staging_folder(out) if destination else place.local_path(out)
    from pipeline.build.job import build as run
    from pipeline.storage import own_folder

    own_folder.check(out, "corpus")
    if dry_run:
        from pipeline.build.dry_run import describe

        click.echo(describe(list(sources), out, settings, limit, destination))
        return
    if destination:
        place.check(destination)
    outcome = run(list(sources), out, settings, address=address, limit=limit,
                  retry_failed=retry_failed, destination=destination)
    emit(outcome.status, status.COLUMNS, as_json)
    if outcome.num_samples == 0:
        click.echo("yld: no source gave a clip; the commonest reasons (all: "
                   f"`yld status {destination or out} --why`):", err=True)
        click.echo("\n".join(outcome.why), err=True)
    if strict and outcome.num_failed:
        click.echo(f"yld: {outcome.num_failed} of the sources failed (--strict)", err=True)
        sys.exit(EXIT_STRICT)
    if outcome.num_samples == 0:
        sys.exit(EXIT_FAILED)
    if outcome.failure_rate > settings.workers.max_failure_rate:
        click.echo(f"yld: {outcome.failure_rate:.0%} of the videos failed", err=True)
        sys.exit(EXIT_FAILED)


@main.command()
@click.argument("corpus", type=CORPUS)
@click.option("--cost", is_flag=True, help="CPU time, decodes and memory by stage instead.")
@click.option("--why", is_flag=True,
              help="One row per rejected or failed record or note on a video instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def status(corpus, cost, why, as_json) -> None:
    """The funnel: what went into each stage and what became of it."""
    from manifests.corpus import Corpus, status_rows
    from pipeline.run import status as st

    live = corpus.folder / "work" / "status.json"
    # What another machine did at an address is in what was mirrored, not in this machine's run.
    is_live = corpus.files is None and live.exists()
    rows = status_rows(live, read_json(live)) if is_live else Corpus(corpus.folder).status()
    if why:
        whole = Corpus(corpus.folder)
        names = {r["request_id"]: r["address"] for r in whole.rows("requests")}
        names |= {r["source_id"]: r["address"] for r in whole.rows("expanded")}
        names |= {r["source_id"]: r["address"] for r in whole.rows("sources")}
        names |= {r["video_id"]: r["address"] for r in whole.rows("sources")}
        rows = [
            {"stage": r["stage"], "reason": r["reason"], "item": r["item_id"],
             "source": names.get(r["video_id"] or r["item_id"]),
             "measured": r.get("measured"), "threshold": r.get("threshold"),
             "detail": (r.get("detail") if "exception" not in r else r["exception"])}
            for r in [*whole.rows("rejects"), *whole.rows("failures"), *st.notes(whole)]]
        emit(rows, ["stage", "reason", "item", "source", "measured", "threshold", "detail"],
             as_json)
        return
    emit(rows, st.COST_COLUMNS if cost else st.COLUMNS, as_json)


@main.command()
@click.argument("corpus", type=CORPUS)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="Another place for the page; nothing may be there.")
@friendly
def report(corpus, out) -> None:
    """Write report.html again from what is in the corpus folder."""
    from manifests.corpus import Corpus
    from pipeline.corpus.report import write_report
    from pipeline.storage import mirror, own_folder

    whole = Corpus(corpus.folder)
    if out is not None:
        own_folder.refuse_existing(out)
        click.echo(write_report(whole, out))
        return
    if own_folder.find(corpus.folder) is None and not own_folder.is_from_before(
            corpus.folder, "corpus"):
        raise own_folder.NotOursError(
            f"{corpus.folder} has no {own_folder.MARK} (a copy of a part of a corpus?); name the "
            "page with --out PAGE.html")
    own = own_folder.claim(corpus.folder, "corpus")
    own.about_to_write(["report.html"])
    click.echo(write_report(whole))
    own.wrote(["report.html"])
    if corpus.files is not None:
        mirror.push(corpus.folder, corpus.files)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
@friendly
def clean(folder, yes) -> None:
    """Remove what yld wrote to FOLDER (a corpus, audit, correction, scores, demo); all else stays.
    """
    from pipeline.corpus.clean import clean as run

    if not yes:
        raise click.UsageError(f"this removes all that yld wrote to {folder}; add --yes")
    removed, left = run(folder)
    click.echo(f"{removed} files removed")
    if left:
        shown = ", ".join(left[:5]) + (" ..." if len(left) > 5 else "")
        click.echo(f"{len(left)} files that yld did not write stay: {shown}")


@main.command()
@click.argument("corpus", type=CORPUS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def verify(corpus, as_json) -> None:
    """Check every shard, sample, table and checksum of a corpus."""
    from pipeline.corpus.verify import verify as check
    from pipeline.storage import mirror

    problems = check(corpus.folder)
    if corpus.files is not None:
        problems += mirror.differences(corpus.folder, corpus.files)
    if as_json:
        click.echo(json.dumps(problems, indent=1))
    else:
        for problem in problems:
            click.echo(f"{problem['where']}: {problem['problem']}")
        click.echo(f"{len(problems)} problems" if problems else "no problems")
    sys.exit(EXIT_FAILED if problems else 0)


@main.command()
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


@main.command()
@click.option("--seed", type=int, default=0, show_default=True, help="Moves the planted truth.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="demo-out",
              show_default=True, help="Where the demo's corpus goes.")
@friendly
def demo(seed, out) -> None:
    """Make input with known truth, fetch it from a loopback server, build, compare."""
    from pipeline.demo import run_demo

    sys.exit(0 if run_demo(out, seed) else EXIT_FAILED)


for command in (commands_sync.audit, commands_sync.resync, commands_sync.train,
                commands_scores.evaluate, commands_scores.mos, commands_models.models):
    main.add_command(command)


if __name__ == "__main__":
    main()
