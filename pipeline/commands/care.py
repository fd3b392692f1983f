"""Commands for the people and videos in a corpus: `yld remove`, `merge`, `dedup`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from manifests.numbers import counted
from pipeline.commands.options import CORPUS, EXIT_FAILED, LocalPath, emit, friendly
from pipeline.run.tables import fitting

SHOWN = 12


@click.command()
@click.argument("corpus", type=CORPUS)
@click.option("--video", "videos", multiple=True, metavar="ID", help="A video, by its id.")
@click.option(
    "--speaker", "speakers", multiple=True, metavar="ID", help="A person: all videos with them."
)
@click.option(
    "--source", "sources", multiple=True, metavar="URL", help="A link or path, with its video."
)
@click.option(
    "--like",
    "photos",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="A photo of one person: all videos with faces like it.",
)
@click.option(
    "--distance",
    type=click.FloatRange(min=0),
    help="With --like: farthest face taken (default: identity.target_distance of the corpus).",
)
@click.option(
    "--remember-face",
    is_flag=True,
    help="Keep the person's embedding, so that builds leave their new videos out too.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would go; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def remove(
    corpus, videos, speakers, sources, photos, distance, remember_face, dry_run, yes, as_json
) -> None:
    """Take videos, persons or sources out of CORPUS for good: tables, shards, side files, ledger,
    report; builds do not bring them back. Without anything named, complete a removal that was
    stopped."""
    from pipeline.care.remove import remove as run
    from pipeline.care.targets import Wanted

    wanted = Wanted(videos, speakers, sources, photos, distance, remember_face)
    if remember_face and not (speakers or photos):
        raise click.UsageError("--remember-face goes with --speaker or --like")
    if distance is not None and not photos:
        raise click.UsageError("--distance goes with --like")
    asks = sys.stdin is not None and sys.stdout.isatty() and not (yes or as_json)
    if wanted and (dry_run or asks):
        told = run(corpus.folder, wanted, corpus.files, dry_run=True)
        _tell_plan(told, as_json, is_done=False)
        if dry_run or (told.was is None and not (told.chosen and told.chosen.gone)):
            return
        if told.chosen and told.chosen.gone and not _confirmed():
            raise click.Abort
    told = run(corpus.folder, wanted, corpus.files)
    if told.was is not None:
        click.echo(f"a removal that had been stopped was completed: {_sizes(told.was)}", err=True)
    if (wanted or told.was is not None) and not asks:
        _tell_plan(told, as_json, is_done=True)
    elif not wanted and told.was is None:
        raise click.UsageError("name what goes: --video, --speaker, --source or --like")
    _tell_rest(told, corpus.folder)


def _confirmed() -> bool:
    """Asked at a terminal alone, whose input the program itself has closed."""
    try:
        with open("/dev/tty", encoding="utf-8") as terminal:
            click.echo("Take it out for good? [y/N] ", nl=False)
            return terminal.readline().strip().lower() in ("y", "yes")
    except OSError:
        raise click.UsageError("nobody can be asked here; add --yes") from None


def _tell_plan(told, as_json: bool, *, is_done: bool) -> None:
    from pipeline.build.gone import Gone
    from pipeline.care.targets import Chosen

    if told.was is not None and not is_done:
        click.echo(
            f"a removal was stopped; the next one completes it first: {_sizes(told.was)}", err=True
        )
    chosen = told.chosen or Chosen(Gone())
    gone = chosen.gone
    counts = {
        "videos": len(gone.videos),
        "sources": len(gone.sources),
        "clips": gone.clips,
        "shards": len(told.shards),
        "speakers": sorted(chosen.speakers),
        "clips_of_others": chosen.others,
        "faces_remembered": len(chosen.faces),
        "is_done": is_done,
    }
    if told.was is not None:
        counts["completed"] = {
            "videos": len(told.was.videos),
            "sources": len(told.was.sources),
            "clips": told.was.clips,
        }
    if as_json:
        more = {
            "matches": [vars(m) | {"is_same": m.is_same} for m in chosen.matches],
            "alike": [list(row) for row in chosen.alike],
            "traces": [list(row) for row in told.traces],
            "links": told.links,
            "own_files": told.own_files,
            "make_again": told.again,
        }
        emit([counts | more], [], as_json)
        return
    if told.chosen is None:
        _tell_again(told, is_done)
        return
    if chosen.matches:
        rows = [
            {
                "track": m.track_id,
                "speaker": m.speaker_id or "-",
                "distance": f"{m.distance:.3f}",
                "limit": f"{m.limit:.2f}",
                "": "taken" if m.is_same else "stays",
            }
            for m in chosen.matches
        ]
        click.echo(fitting(rows[:SHOWN], list(rows[0])))
        if len(rows) > SHOWN:
            click.echo(f"and {len(rows) - SHOWN} more (--json shows all)")
    verb = "taken out" if is_done else "would go"
    if not gone:
        click.echo("nothing in the corpus is like it" if chosen.matches else "nothing was found")
        return
    click.echo(f"{verb}: {_sizes(gone)}, in {counted(len(told.shards), 'shard')}")
    if chosen.others:
        whose = ", ".join(f"{n} of {who}" for who, n in sorted(chosen.others.items())[:SHOWN])
        click.echo(f"clips of others in these videos go with them: {whose}")
    for name, near, distance in chosen.alike[:SHOWN]:
        click.echo(f"stays, and looks like {near}: {name} (distance {distance}); the same person?")
    if told.own_files:
        shown = ", ".join(told.own_files[:3]) + (", ..." if len(told.own_files) > 3 else "")
        files = counted(len(told.own_files), "file", are=True)
        click.echo(f"{files} of your own and not touched: {shown}")
    _tell_again(told, is_done)


def _sizes(gone) -> str:
    videos, sources = counted(len(gone.videos), "video"), counted(len(gone.sources), "source")
    return f"{videos} of {sources} with {counted(gone.clips, 'clip')}"


def _tell_again(told, is_done: bool) -> None:
    """Before it is done; afterwards `_tell_rest` does."""
    if not is_done:
        for command in told.again:
            click.echo(f"to do afterwards, for what holds it still: {command}")


def _tell_rest(told, root: Path) -> None:
    for command in told.again:
        click.echo(f"for what holds it still: {command}", err=True)
    for name, found in told.traces[:SHOWN]:
        click.echo(f"yld: {name} still holds {found!r}", err=True)
    if told.traces:
        left = counted(len(told.traces), "trace", are=True)
        for link in dict.fromkeys(link for links in told.links.values() for link in links):
            words = [repr(word) for word, links in told.links.items() if link in links]
            command = f"yld remove {shlex.quote(str(root))} --source {shlex.quote(link)}"
            click.echo(
                f"{' and '.join(words[:3])} stands in what is known of {link}, which was not asked "
                f"for; where it is the same: {command}",
                err=True,
            )
        others = any(word not in told.links for _, word in told.traces)
        click.echo(f"{left} left{'; look at these files' if others else ''}", err=True)
        sys.exit(EXIT_FAILED)
    if told.was is not None or (told.chosen is not None and told.chosen.gone):
        click.echo("nothing of it is found in the corpus's files; the seals are new", err=True)


@click.command()
@click.argument("first", metavar="A", type=CORPUS)
@click.argument("second", metavar="B", type=CORPUS)
@click.option(
    "--out",
    required=True,
    type=LocalPath(file_okay=False),
    help="Folder of the merged corpus: a new one, or one that this command began.",
)
@click.option(
    "--splits",
    type=click.Choice(["keep", "anew"]),
    default="keep",
    show_default=True,
    help="keep: A's parts stay and its rule divides B's clips; anew: all are divided again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def merge(first, second, out, splits, as_json) -> None:
    """Two corpora as one: A, with B's videos appended. Both stay as they are."""
    from pipeline.care.merge import merge as run

    done = run(first.folder, second.folder, out, anew=splits == "anew")
    moved = [{"was": w, "is": i, "clips": n} for (w, i), n in sorted(done.moved.items())]
    if as_json:
        emit([vars(done) | {"moved": moved}], [], as_json)
        return
    click.echo(f"{counted(done.clips[0], 'clip')} of A and {done.clips[1]} of B. {done.sentence}")
    if done.twice:
        click.echo(f"{counted(done.twice, 'video', are=True)} in both: A's clips are taken")
    if done.kept_out:
        kept = counted(done.kept_out, "video", are=True)
        click.echo(f"{kept} kept out, as one of the two had it removed")
    for title, rows in (("the same person", done.joined), ("alike, named differently", done.alike)):
        for name, known, ratio in rows[:SHOWN]:
            click.echo(f"{title}: {name} of B is {known} of A ({ratio:.2f} of the limit)")
        if len(rows) > SHOWN:
            click.echo(f"and {len(rows) - SHOWN} more (--json)")
    for row in moved:
        moves = counted(int(str(row["clips"])), "clip", are=True)
        click.echo(f"{moves} {row['is']} now, not {row['was']} as before")


@click.command()
@click.argument("corpora", type=CORPUS, nargs=-1, required=True)
@click.option(
    "--reject", is_flag=True, help="Mark all but one of the same clips; the next build leaves them."
)
@click.option("--check", is_flag=True, help="Exit 1 where something is in training and in judging.")
@click.option("--all", "everything", is_flag=True, help="Show all pairs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def dedup(corpora, reject, check, everything, as_json) -> None:
    """Clips that are one recording in one corpus, by sound and face. With several corpora: videos,
    clips and persons that two of them share, and what is training in one and judging in another."""
    from pipeline.care import dedup as run

    if reject and len(corpora) > 1:
        raise click.UsageError("--reject marks clips of one corpus; give one")
    found = run.dedup([c.folder for c in corpora])
    if reject:
        run.reject(corpora[0].folder, found)
    leaks = sum(pair.leaks for pair in found.pairs)
    if as_json:
        emit([p.told() for p in found.pairs], [], as_json)
    else:
        _tell_pairs(found, everything)
    for line in found.damaged[:SHOWN]:
        click.echo(f"yld: {line}", err=True)
    if found.not_compared:
        click.echo(f"yld: no persons were compared: {found.not_compared}", err=True)
    sounds = sum(pair.kind == "sound" for pair in found.pairs)
    same = counted(len(found.pairs) - sounds, "pair", are=True)
    told = f"{counted(found.num_clips, 'clip')}: {same} the same"
    told += f", {counted(sounds, 'pair')} of like sound under another face" if sounds else ""
    click.echo(f"{told}; {leaks} of them leak" if leaks else told, err=True)
    if found.rejected:
        marked = counted(len(found.rejected), "clip", are=True)
        click.echo(f"{marked} marked for the next build to leave out", err=True)
    if check and leaks:
        sys.exit(EXIT_FAILED)


def _tell_pairs(found, everything: bool) -> None:
    rows = [{name: _cell(value) for name, value in p.told().items()} for p in found.pairs]
    shown = rows if everything else rows[:SHOWN]
    if shown:
        click.echo(fitting(shown, list(shown[0])))
    if len(shown) < len(rows):
        click.echo(f"and {len(rows) - len(shown)} more (--all)")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "leaks" if value else ""
    return "-" if value in (None, "") else value
