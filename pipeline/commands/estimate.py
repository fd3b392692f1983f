"""`yld estimate`: cores, hours, disk and money for a corpus, from what videos took here."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options import CORPUS, CorpusPlace, emit, friendly

if TYPE_CHECKING:
    from pipeline.estimate.forecast import Forecast, Range

COLUMNS = ["what", "low", "middle", "high", "unit"]
POSITIVE = click.FloatRange(min=0, min_open=True)
HOURS_A_DAY = 24
USUAL_HEIGHT_PX = 720


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--hours", type=POSITIVE, help="Hours of video, where no sources are named.")
@click.option("--videos", type=click.IntRange(min=1), help="How many videos those hours are.")
@click.option(
    "--height",
    type=click.IntRange(min=144, max=4320),
    help="Height of the pictures, px.  [default: that of the files, else 720]",
)
@click.option("--from", "corpus", type=CORPUS, help="Finished corpus to measure by.")
@click.option("--cores", type=click.IntRange(min=1), multiple=True, help="CPU cores; repeatable.")
@click.option("--local", is_flag=True, help="The videos are on disk already: no downloads.")
@click.option(
    "--price-core-hour",
    type=click.FloatRange(min=0),
    default=0.05,
    show_default=True,
    help="Price of a core for an hour.",
)
@click.option(
    "--price-gb-month",
    type=click.FloatRange(min=0),
    default=0.023,
    show_default=True,
    help="Price of a gigabyte for a month.",
)
@click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def estimate(
    sources,
    hours,
    videos,
    height,
    corpus: CorpusPlace | None,
    cores,
    local,
    price_core_hour,
    price_gb_month,
    config,
    assignments,
    as_json,
) -> None:
    """What a corpus will take: core-hours, wall time, disk and money, each with its spread.

    By what the videos of a finished corpus took (--from), else by a build of three scenes of 8 s
    that is made now on this machine, in one to two minutes.
    """
    from pipeline.build.dry_run import source_lengths
    from pipeline.config import build_config as cfg
    from pipeline.estimate.forecast import Prices, forecast
    from pipeline.estimate.measured import video_costs

    if bool(sources) == (hours is not None):
        raise click.UsageError("name either sources or --hours")
    settings = cfg.load_config(config, tuple(assignments))
    notes = []
    if sources:
        rows = source_lengths(sources, settings)
        hours = sum(r["duration_s"] or 0.0 for r in rows) / 3600
        unknown = sum(r["duration_s"] is None for r in rows)
        height = height or _height_px(rows)
        if not hours:
            raise ValueError("the length of no source is known; give --hours")
        if unknown:
            notes.append(f"{unknown} of {len(rows)} sources are not counted: length not known")
        local = local or all(r["kind"] == "file" for r in rows)
        videos = videos or len(rows)
    height = height or USUAL_HEIGHT_PX
    if corpus is not None:
        measured = video_costs(corpus.folder)
        basis = f"{len(measured)} videos of {corpus.folder}"
    else:
        from pipeline.estimate.calibrate import calibrate

        measured = calibrate(height, settings)
        basis = f"{len(measured)} made scenes on this machine"
        notes.append(
            "made scenes all have a face and are few: the spread of real videos is wider; "
            "--from a corpus of your own kind of video tells it"
        )
    made = forecast(
        measured,
        hours,
        height,
        Prices(price_core_hour, price_gb_month),
        is_download=not local,
        are_sources_real=corpus is not None,
    )
    made = dataclasses.replace(made, notes=[*made.notes, *notes])
    pause_s = (settings.download.sleep_min_s + settings.download.sleep_max_s) / 2
    least_days = None if local or not videos else videos * pause_s / 3600 / HOURS_A_DAY
    chosen = cores or _cores(settings)
    if as_json:
        facts: dict[str, Any] = dataclasses.asdict(made)
        facts["wall_hours"] = {n: dataclasses.asdict(made.wall_hours(n)) for n in chosen}
        facts["least_download_days"] = least_days
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(
        f"{hours:,.4g} hours of video at {height} px, by {basis} ({made.measured_s:.0f} s)\n"
    )
    emit(_rows(made, chosen, price_core_hour, price_gb_month), COLUMNS, False)
    click.echo()
    if least_days is not None:
        _say(
            f"downloads: {least_days:.2g} days or more from one address, by the pause after each "
            "of the videos alone (download.sleep_min_s, sleep_max_s)"
        )
    _say(
        "middle: mean by duration; low and high: if all videos were like the measured one at "
        "the 10th and 90th percentile. Not in it: starting, packing shards, waiting for hosts."
    )
    for note in made.notes:
        _say(f"note: {note}")


def _height_px(rows: list[dict[str, Any]]) -> int | None:
    """That of the middle second of the files whose height is known."""
    known = sorted((r["height_px"], r["duration_s"]) for r in rows if r["height_px"])
    half, seen = sum(length for _, length in known) / 2, 0.0
    for height, length in known:
        seen += length
        if seen >= half:
            return height
    return None


def _say(text: str) -> None:
    click.echo(click.wrap_text(text, width=80, preserve_paragraphs=True))


def _cores(settings: Any) -> tuple[int, ...]:
    from pipeline.run import cluster

    here = settings.workers.cpu_workers or cluster.visible_cpus()
    return tuple(sorted({here, 64}))


def _rows(
    made: Forecast, cores: tuple[int, ...], core_hour: float, gb_month: float
) -> list[dict[str, Any]]:
    def plain(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    def row(what: str, value: Range, unit: str) -> dict[str, Any]:
        shown = {k: plain(getattr(value, k)) for k in ("low", "middle", "high")}
        return {"what": what, "unit": unit, **shown}

    return [
        row("CPU time per video time", made.cpu_s_per_video_s, "s/s"),
        row("core-hours", made.core_hours, "h"),
        *(row(f"on {n} cores, all busy", made.wall_hours(n), "h") for n in cores),
        *(row(f"disk: {name}", size, "GB") for name, size in made.disk_gb.items()),
        row("compute", made.compute_price, f"at {core_hour:g}/core-hour"),
        row("storage", made.storage_price_month, f"a month at {gb_month:g}/GB"),
    ]
