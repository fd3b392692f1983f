"""`yld models list | fetch | verify | where`: the weight files that others published."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from manifests.weights.cache import (
    REGISTRY,
    ModelFile,
    ModelFileError,
    cache_folder,
    fetch,
    mirror_folder,
    state_of,
)
from pipeline.commands.options import EXIT_FAILED, emit, friendly
from pipeline.run.steps import MEGABYTE, Steps

LIST_COLUMNS = ["name", "state", "MB", "use", "licence", "for"]
VERIFY_COLUMNS = ["name", "state", "found"]
model_dir = click.option(
    "--model-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Mirror folder with weight files, looked at before any download (YLD_MODEL_MIRROR).",
)


def use_model_dir(folder: Path | None) -> None:
    """Let this process and those it starts look into the mirror `folder`."""
    if folder is not None:
        os.environ["YLD_MODEL_MIRROR"] = str(folder.resolve())


SHIPPED = (
    "part of yld: lipsync.safetensors, trained on research data (clips of corpora for research "
    "among them; stages/networks/weights/README.md says which). `yld train lipsync` on corpora "
    "whose licences allow it makes one without."
)


@click.group()
def models() -> None:
    """Weight files of the optional backends: what there is, fetch, check, find."""


@models.command("list")
@model_dir
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def list_models(model_dir, as_json) -> None:
    """Every registered file with its licence, and whether it is here."""
    use_model_dir(model_dir)
    rows = [
        {
            "name": f.name,
            "state": state_of(f)[0],
            "MB": None if f.size is None else round(f.size / 1e6, 1),
            "use": "non-commercial" if f.non_commercial else "see licence",
            "licence": f.licence,
            "for": f.purpose,
            **({"url": f.url, "sha256": f.sha256, "without": f.without} if as_json else {}),
        }
        for f in REGISTRY.values()
    ]
    emit(rows, LIST_COLUMNS, as_json)
    click.echo(SHIPPED, err=True)


@models.command("fetch")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All files; about 0.7 GB.")
@click.option(
    "--non-commercial",
    is_flag=True,
    help="You use them for nothing commercial: fetch files that ask for that too.",
)
@model_dir
@friendly
def fetch_models(names, everything, non_commercial, model_dir) -> None:
    """Bring files into the cache folder: from the mirror, else from their address."""
    use_model_dir(model_dir)
    if bool(names) == everything:
        raise ValueError("name the files, or say --all; `yld models list` shows them")
    missing = 0
    for file in map(_entry, names) if names else REGISTRY.values():
        click.echo(f"{file.name}: licence: {file.licence}", err=True)
        try:
            with Steps(file.name, file.size or 0, "MB", MEGABYTE) as steps:
                path = fetch(file, non_commercial=non_commercial or None, tell=steps.is_at)
            click.echo(path)
        except ModelFileError as error:
            missing += 1
            click.echo(f"yld: {error}", err=True)
    if missing:
        sys.exit(EXIT_FAILED)


@models.command("verify")
@click.argument("names", nargs=-1)
@model_dir
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@friendly
def verify_models(names, model_dir, as_json) -> None:
    """Size and SHA-256 of the files that are here; with names, those must be here."""
    use_model_dir(model_dir)
    rows = []
    for file in map(_entry, names) if names else REGISTRY.values():
        state, found = state_of(file)
        if names or state != "absent":
            rows.append({"name": file.name, "state": state, "found": found})
    if rows or as_json:
        emit(rows, VERIFY_COLUMNS, as_json)
    else:
        click.echo(
            f"no weight file is in {cache_folder()}; nothing to check. `yld models list` "
            "shows what there is, `yld models fetch NAME` brings a file"
        )
    if any(r["state"] == "damaged" for r in rows):
        click.echo("yld: delete what is damaged and run `yld models fetch NAME` again", err=True)
    if any(r["state"] in ("damaged", "absent") for r in rows):
        sys.exit(EXIT_FAILED)


@models.command("where")
@click.argument("name", required=False)
@model_dir
@friendly
def where_models(name, model_dir) -> None:
    """The cache folder and the mirror; with NAME, the path of that file."""
    use_model_dir(model_dir)
    if name is None:
        click.echo(f"cache   {cache_folder()}")
        click.echo(f"mirror  {mirror_folder() or 'none'}")
        return
    file = _entry(name)
    state, found = state_of(file)
    if state not in ("here", "mirror"):
        click.echo(
            f"yld: {found or f'{file.name} is not here'}; its place is "
            f"{cache_folder() / file.name}, its address {file.url}",
            err=True,
        )
        sys.exit(EXIT_FAILED)
    click.echo(found)


def _entry(name: str) -> ModelFile:
    if name not in REGISTRY:
        raise ValueError(f"no weight file is named {name!r}; there are: {', '.join(REGISTRY)}")
    return REGISTRY[name]
