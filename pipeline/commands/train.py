"""`yld train MODEL`: from built corpora to weights."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.commands.on_video import device_option, found_device
from pipeline.commands.options import LocalPath, friendly
from training.models.catalogue import KINDS, Kind

LOGGERS = ("tensorboard", "wandb")
"""Those of `training.harness.log`, told without importing it."""


class Models(click.Group):
    """Its help says of each model what it needs, how large it is and how long `tiny` takes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Instead of the first words of each."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None
            short = command.get_short_help_str(formatter.width)
            rows.append((name, " ".join(KINDS[name].told) if name in KINDS else short))
        with formatter.section("Models"):
            formatter.write_dl(rows)


@click.group(cls=Models)
def train() -> None:
    """Train a model on built corpora.

    The same command goes on with a training that was stopped, from its last checkpoint.
    """


def training_options(command):
    """What training takes, whichever model it is of."""
    for option in (
        click.option(
            "--keep-folds",
            type=LocalPath(file_okay=False),
            help="Folder for the weights and windows of each group of speakers; a trial that "
            "was stopped goes on there.",
        ),
        click.option(
            "--index",
            "indices",
            multiple=True,
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Tab-separated table with the columns path (beside it) and speaker, whose "
            "speakers count instead of those that faces tell apart; may be given several times.",
        ),
        click.option("--jobs", type=int, default=1, show_default=True, help="Folds at a time."),
        click.option(
            "--fold-size",
            type=int,
            default=15,
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
            type=LocalPath(dir_okay=False),
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
@click.option("--towers", type=int, default=3, show_default=True, help="Networks that vote.")
@click.option("--steps", type=int, default=380, show_default=True, help="Steps for each.")
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

    out = options["out"]
    refuse_existing(out, out.with_suffix(".trial.json"))


def _train(system, corpora, out, synchronous, indices, fold_size, jobs, keep_folds) -> None:
    from training.models.lipsync.run import run

    run(
        system,
        corpora,
        out,
        synchronous,
        indices=indices,
        fold_size=fold_size,
        jobs=jobs,
        keep_folds=keep_folds,
        say=lambda text: click.echo(text, err=True),
    )


def model_command(kind: Kind) -> click.Command:
    """`yld train NAME` of a model in the catalogue."""

    @click.command(kind.name, help="\n\n".join(kind.told))
    @click.argument("more", nargs=-1, metavar="[CORPUS]...")
    @click.option(
        "--data",
        "corpora",
        multiple=True,
        required=True,
        metavar="CORPUS",
        help="A built corpus, or a folder of its shards; more may follow.",
    )
    @click.option(
        "--out",
        required=True,
        type=LocalPath(file_okay=False),
        help="Folder for weights, checkpoints and log.",
    )
    @click.option(
        "--preset",
        type=click.Choice(kind.preset_names),
        default="paper",
        show_default=True,
        help="Where all settings come from; tiny is a processor's.",
    )
    @click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting.")
    @click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Processes that decode, a rank.",
    )
    @device_option
    @click.option(
        "--ranks",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Processes that train together, by Ray; a GPU each.",
    )
    @click.option(
        "--ray-address", default=None, help="Of a Ray cluster that runs; or one is begun."
    )
    @click.option(
        "--cache",
        type=LocalPath(file_okay=False),
        help="Folder on this machine's own disk for what is read from an address (s3://...).",
    )
    @click.option(
        "--logger",
        type=click.Choice(LOGGERS),
        default="tensorboard",
        show_default=True,
        help="Where figures go beside log.jsonl; wandb needs the extra of that name.",
    )
    @click.option(
        "--minutes",
        type=click.FloatRange(min=0, min_open=True),
        default=None,
        help="End after the step at which so many are over; judging it comes on top.",
    )
    @friendly
    def command(more, corpora, **options) -> None:
        _train_model(kind, (*corpora, *more), **options)

    return command


for _kind in KINDS.values():
    train.add_command(model_command(_kind))


def _train_model(
    kind: Kind,
    corpora,
    out,
    preset,
    settings,
    workers,
    device,
    ranks,
    ray_address,
    cache,
    minutes,
    logger,
) -> None:
    config = model_config(kind, preset, settings)
    from pipeline.config.settings import to_mapping
    from pipeline.storage import own_folder
    from training.harness.log import check_logger

    check_logger(logger)

    device = found_device(device)
    from training.harness.run import Request, train

    request = Request(
        kind,
        preset,
        config,
        to_mapping(config),
        corpora,
        out,
        workers,
        device,
        minutes,
        cache,
        logger,
    )
    from pipeline.storage.lock import CorpusLock

    # Of two trainings in one folder the second would undo the first.
    with own_folder.claimed(out, "training"), CorpusLock(out / "work"):
        if ranks > 1:
            from training.harness.cluster import train_together

            outcome = train_together(request, ranks, ray_address)
        else:
            outcome = train(request, lambda text: click.echo(text, err=True))
    _report(kind, out, outcome)


def model_config(kind: Kind, preset: str, settings):
    """A preset with settings laid over it. Raises ConfigError."""
    from pipeline.config.settings import ConfigError, with_settings

    if preset not in kind.presets:
        raise ConfigError(f"{kind.name} has no preset {preset}: {', '.join(kind.presets)}")
    return with_settings(kind.presets[preset](), settings)


def _report(kind: Kind, out: Path, outcome) -> None:
    """Ends with 130 after Ctrl-C or SIGTERM, as a build does."""
    ends = {
        "done": "done",
        "stopped": "stopped; the same command goes on",
        "time": "its time is over; the same command goes on",
        "patience": "nothing better came for as long as its patience lasts",
    }
    click.echo(f"{outcome.step} steps: {ends[outcome.why]}")
    if outcome.why == "stopped":
        sys.exit(130)
    if outcome.best is None:
        click.echo(
            "no weights yet: nothing that was judged has the figure that they are chosen by"
            + (", so what speaks may not have been trained" if kind.speaks else "")
        )
    if outcome.best is not None:
        told = ", ".join(f"{name} {value:.3f}" for name, value in outcome.best.items())
        click.echo(f"best at step {outcome.best_step}: {told}")
        click.echo(f"weights: {out / 'best.safetensors'}")
    if kind.speaks and outcome.best is not None:
        click.echo(f"next: yld synthesize --checkpoint {out} --video VIDEO --out sound.wav")
    if kind.animator and outcome.best is not None:
        click.echo(f"next: yld redub VIDEO --audio WAV --checkpoint {out} --out new.mp4")
