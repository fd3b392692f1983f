"""`yld train MODEL`: from built corpora to weights."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.options import friendly


@click.group()
def train() -> None:
    """Train a model on built corpora."""


def training_options(command):
    """What training takes, whichever model it is of."""
    for option in (
        click.option(
            "--keep-folds",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder for the weights that judged each group of speakers.",
        ),
        click.option("--jobs", type=int, default=1, show_default=True, help="Folds at a time."),
        click.option(
            "--fold-size",
            type=int,
            default=5,
            show_default=True,
            help="Speakers left out together in the trial.",
        ),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option(
            "--synchronous",
            multiple=True,
            metavar="PATTERN",
            help="Source address or speaker id known to be in sync, e.g. '*grid_s1*'.",
        ),
        click.option(
            "--out",
            required=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="Weights to write; the held-out trial goes beside them.",
        ),
        click.argument(
            "corpora",
            nargs=-1,
            required=True,
            type=click.Path(path_type=Path, exists=True, file_okay=False),
        ),
    ):
        command = option(command)
    return command


@train.command()
@training_options
@click.option("--towers", type=int, default=4, show_default=True, help="Networks that vote.")
@click.option("--steps", type=int, default=550, show_default=True, help="Steps for each.")
@friendly
def lipsync(towers, steps, seed, **options) -> None:
    """The landmark synchrony model: held-out trial, calibration, weights."""
    _refuse_existing(options)
    from training.models.lipsync.towers import LipSyncRecipe, TowersSystem

    _train(TowersSystem(LipSyncRecipe(towers=towers, steps=steps, seed=seed)), **options)


@train.command("lipsync_linear")
@training_options
@friendly
def lipsync_linear(seed, **options) -> None:
    """The linear synchrony model, which needs no pictures: trial, calibration, weights."""
    _refuse_existing(options)
    from training.models.lipsync.linear import LinearRecipe, LinearSystem

    _train(LinearSystem(LinearRecipe(seed=seed)), **options)


def _refuse_existing(options) -> None:
    """Before anything that takes long to import."""
    from pipeline.storage.own_folder import refuse_existing

    out, keep_folds = options["out"], options["keep_folds"]
    refuse_existing(
        out,
        out.with_suffix(".trial.json"),
        *(keep_folds.glob("fold*.safetensors") if keep_folds else ()),
    )


def _train(system, corpora, out, synchronous, fold_size, jobs, keep_folds) -> None:
    from training.models.lipsync.run import run

    run(
        system,
        corpora,
        out,
        synchronous,
        fold_size=fold_size,
        jobs=jobs,
        keep_folds=keep_folds,
        say=lambda text: click.echo(text, err=True),
    )
