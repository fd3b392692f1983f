"""Commands on a built corpus: `yld status`, `report`, `verify`, `clean`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from manifests.numbers import counted
from manifests.plain_words import read_json
from pipeline.commands.options import CORPUS, EXIT_FAILED, LocalPath, emit, friendly


@click.command()
@click.argument("corpus", type=CORPUS)
@click.option("--cost", is_flag=True, help="CPU time, decodes and memory by stage instead.")
@click.option(
    "--why", is_flag=True, help="What fell out or was noted of a video, by reason, instead."
)
@click.option("-v", "--verbose", is_flag=True, help="With --why: all, with ids and causes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def status(corpus, cost, why, verbose, as_json) -> None:
    """The funnel: what went into each stage and what became of it."""
    from manifests.corpus import Corpus, status_rows
    from pipeline.run import status as st
    from pipeline.run.why import listed

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
        fell = [*whole.rows("rejects"), *whole.rows("failures"), *st.notes(whole)]
        if as_json:
            emit([_plain(row, names) for row in fell], [], as_json)
            return
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        lines = list(listed(fell, names, width, verbose))
        click.echo("\n".join(lines) if lines else "nothing fell out")
        return
    if cost and not as_json:
        click.echo(st.cost_table(rows))
        return
    emit(rows, st.COST_COLUMNS if cost else st.COLUMNS, as_json)


def _plain(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {
        "stage": row["stage"],
        "reason": row["reason"],
        "item": row["item_id"],
        "source": names.get(row["video_id"] or row["item_id"]),
        "measured": row.get("measured"),
        "threshold": row.get("threshold"),
        "detail": (row.get("detail") if "exception" not in row else row["exception"]),
    }


@click.command()
@click.argument("corpus", type=CORPUS)
@click.option(
    "--out",
    type=LocalPath(dir_okay=False),
    help="Another place for the page; nothing may be there.",
)
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
        corpus.folder, "corpus"
    ):
        raise own_folder.NotOursError(
            f"{corpus.folder} has no {own_folder.MARK} (a copy of a part of a corpus?); name the "
            "page with --out PAGE.html"
        )
    own = own_folder.claim(corpus.folder, "corpus")
    own.about_to_write(["report.html"])
    click.echo(write_report(whole))
    own.wrote(["report.html"])
    if corpus.files is not None:
        mirror.push(corpus.folder, corpus.files)


@click.command()
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
        click.echo(counted(len(problems), "problem") if problems else "no problems")
    sys.exit(EXIT_FAILED if problems else 0)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--side-files",
    is_flag=True,
    help="Of a finished corpus, only what no resume and no append needs: frames' faces and tracks.",
)
@friendly
def clean(folder, yes, side_files) -> None:
    """Remove what yld wrote to FOLDER (a corpus, audit, scores, demo, ...), nothing else."""
    from pipeline.corpus.clean import clean as run
    from pipeline.corpus.clean import clean_side_files

    if side_files:
        done = clean_side_files(folder)
        whose = f" of {', '.join(done.stages)}" if done.stages else ""
        click.echo(
            f"{done.num_files} side files{whose} removed ({done.num_bytes / 1e6:.1f} MB); ledger, "
            f"clips and media stay ({done.bytes_left / 1e6:.1f} MB in work). A changed setting "
            "does the stages again whose files it needs"
        )
        return
    if not yes:
        raise click.UsageError(f"this removes all that yld wrote to {folder}; add --yes")
    removed, left = run(folder)
    click.echo(f"{removed} files removed")
    if left:
        shown = ", ".join(left[:5]) + (" ..." if len(left) > 5 else "")
        click.echo(f"{len(left)} files that yld did not write stay: {shown}")
