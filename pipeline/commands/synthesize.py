"""`yld synthesize`: speech for a video's face by a trained model."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.models import model_dir as model_dir_option
from pipeline.commands.models import use_model_dir
from pipeline.commands.on_video import a_face_in, finding_options, found_device, refuse_places
from pipeline.commands.options import LocalPath, friendly


@click.command()
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="A training's folder, one of its checkpoints, or its best.safetensors.",
)
@click.option(
    "--video",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Any video of a face; it needs no sound.",
)
@click.option(
    "--out",
    type=LocalPath(dir_okay=False),
    help="WAV to write: 16 kHz, mono, as long as the video; --embedding needs none.",
)
@click.option(
    "--embedding",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Voices of the face and of the video's sound, for text-to-speech that takes GE2E "
    "vectors: .npy or .safetensors (lip2speech, speaker_identity).",
)
@click.option(
    "--mux",
    type=LocalPath(dir_okay=False),
    help="Copy of the video with that sound: .mp4, .mov or .mkv.",
)
@click.option(
    "--speaker", metavar="NAME", help="A training speaker's voice; else the mean of all voices."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the vocoder's noise.")
@click.option(
    "--exemplars",
    multiple=True,
    metavar="CORPUS",
    help="Corpora a model learnt from: its sound is put together from their clips (two_tower).",
)
@finding_options
@model_dir_option
@friendly
def synthesize(
    checkpoint,
    video,
    out,
    embedding,
    mux,
    speaker,
    track,
    device,
    seed,
    exemplars,
    assignments,
    model_dir,
) -> None:
    """Speech for the face in a video, by a model that `yld train` trained."""
    _check_names(out, mux, embedding)
    use_model_dir(model_dir)
    from pipeline.config.build_config import load_config
    from pipeline.synthesis.job import Request
    from pipeline.synthesis.job import synthesize as run

    config = load_config(None, assignments)
    request = Request(
        checkpoint,
        video,
        out,
        mux,
        speaker,
        track,
        found_device(device),
        seed,
        tuple(exemplars),
        config,
        embedding,
    )
    with a_face_in(video):
        done = run(request, lambda text: click.echo(text, err=True))
    if done.embeddings is not None:
        facts = done.embeddings.facts
        heard = facts["voice_reason"] or f"its cosine with the voice's is {facts['cosine']:.2f}"
        click.echo(f"{embedding}: the voice of the face; {heard}")
    if out is not None:
        click.echo(f"{out}: {done.seconds:.2f} s, of which {done.spoken_seconds:.2f} s are spoken")
    if mux is not None:
        click.echo(f"{mux}: the video with that sound")


def _check_names(out: Path | None, mux: Path | None, embedding: Path | None) -> None:
    """Before anything that takes long. Raises NotOursError."""
    from pipeline.synthesis.embedding import ENDS, files_of

    if out is None and embedding is None:
        raise click.UsageError("give --out FILE.wav, --embedding FILE, or both")
    if out is None and mux is not None:
        raise click.UsageError("--mux needs --out: the sound that the copy gets")
    if out is not None and out.suffix.lower() != ".wav":
        raise click.BadParameter(f"{out}: end its name in .wav", param_hint="--out")
    if embedding is not None and embedding.suffix not in ENDS:
        told = f"{embedding}: end its name in {' or '.join(ENDS)}"
        raise click.BadParameter(told, param_hint="--embedding")
    names = [name for name in (out, mux) if name is not None]
    refuse_places(*names, *([] if embedding is None else files_of(embedding)))
