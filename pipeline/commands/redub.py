"""`yld redub`: a video's face says another sound."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.models import model_dir as model_dir_option
from pipeline.commands.models import use_model_dir
from pipeline.commands.on_video import a_face_in, finding_options, found_device, refuse_places
from pipeline.commands.options import LocalPath, friendly


@click.command()
@click.argument("video", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--audio",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What is to be said: a WAV, or any file with sound.",
)
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="A training's folder, one of its checkpoints, or its best.safetensors (speech2vid).",
)
@click.option(
    "--out",
    required=True,
    type=LocalPath(dir_okay=False),
    help="Video to write: .mp4, .mov or .mkv.",
)
@click.option(
    "--deblur",
    type=click.Path(path_type=Path, exists=True),
    help="The same of speech2vid_deblur, which makes the face sharper.",
)
@click.option(
    "--region",
    type=click.Choice(["lower", "face"]),
    default="lower",
    show_default=True,
    help="What is replaced: from just below the eyes on, or the whole face.",
)
@finding_options
@model_dir_option
@friendly
def redub(
    video, audio, checkpoint, out, deblur, region, track, device, assignments, model_dir
) -> None:
    """Make the face in VIDEO say another sound, by a model that `yld train speech2vid` trained.

    Every picture of VIDEO stays, at its own time: a longer sound is cut, after a shorter one is
    silence. VIDEO may also be a still (PNG, JPEG), which lasts as long as the sound.
    """
    refuse_places(out)
    use_model_dir(model_dir)
    from pipeline.config.build_config import load_config
    from pipeline.redub.job import Request
    from pipeline.redub.job import redub as run

    config = load_config(None, assignments)
    request = Request(
        checkpoint, video, audio, out, deblur, region, track, found_device(device), config
    )
    with a_face_in(video):
        done = run(request, lambda text: click.echo(text, err=True))
    click.echo(
        f"{out}: {done.seconds:.2f} s, {done.num_pictures} pictures, of which {done.num_changed} "
        "say the new sound"
    )
