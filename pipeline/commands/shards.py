"""Commands on a corpus's shards: `yld shards repack`."""

from __future__ import annotations

from dataclasses import asdict

import click

from manifests.crops import CANVAS_PX, CROPS
from pipeline.commands.options import CORPUS, LocalPath, emit, friendly

COLUMNS = ["shards", "samples", "frames", "crop", "height_px", "width_px", "codec", "MB"]


@click.group()
def shards() -> None:
    """Shards of a corpus in another form."""


@shards.command()
@click.argument("corpus", type=CORPUS)
@click.option(
    "--out",
    required=True,
    type=LocalPath(file_okay=False),
    help="Folder of the repacked corpus: a new one, or one that this command made.",
)
@click.option(
    "--crop", required=True, type=click.Choice(list(CROPS)), help="Window of the face to keep."
)
@click.option(
    "--codec",
    required=True,
    type=click.Choice(["jpeg", "raw"]),
    help="frames.mjpeg (a JPEG a frame) or frames.npy (uint8).",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=95,
    show_default=True,
    help="Of the JPEGs; raw frames have none.",
)
@click.option(
    "--height",
    type=click.IntRange(8, 2 * CANVAS_PX),
    metavar="PX",
    help="Height to show the crop in; its own if not given.",
)
@click.option("--grey", is_flag=True, help="Keep the brightness alone: a third of the raw bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def repack(corpus, out, crop, codec, quality, height, grey, as_json) -> None:
    """Copy CORPUS with the frames of one crop in the place of the faces, for trainers that would
    wait for decoding. All else of each sample stays as it is, byte for byte."""
    from pipeline.corpus.packing import Packing
    from pipeline.corpus.repack import repack as run

    packing = Packing(crop, codec, None if codec == "raw" else quality, height, grey)
    done = run(corpus.folder, out, packing)
    emit([asdict(done.packing) | done.counts()], COLUMNS, as_json)
