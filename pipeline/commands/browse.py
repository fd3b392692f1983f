"""`yld browse`: look through a corpus in a web browser."""

from __future__ import annotations

import webbrowser

import click

from pipeline.commands.options import CORPUS, friendly


@click.command()
@click.argument("corpus", type=CORPUS)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="any that is free",
    help="Port on 127.0.0.1.",
)
@click.option("--open", "is_opened", is_flag=True, help="Open it in the web browser too.")
@friendly
def browse(corpus, port, is_opened) -> None:
    """Search, filter, play and mark the clips of CORPUS, in a page on this machine alone.

    Marked clips are left out by the next `yld build` of the corpus. Ctrl-C ends it.
    """
    from manifests.corpus import Corpus
    from pipeline.browse.server import Browser, Server

    if corpus.files is not None:
        raise ValueError(
            "a corpus at an address cannot be browsed: marks belong to a folder that builds go on "
            "with; give the folder"
        )
    browser = Browser(Corpus(corpus.folder))
    with Server(browser, port) as server:
        click.echo(server.address)
        click.echo(
            f"{len(browser.clips)} clips, {len(browser.marks)} marked; Ctrl-C ends", err=True
        )
        if is_opened:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo(
                f"{len(browser.marks)} clips are marked; the next build leaves them out"
                if browser.marks
                else "no clip is marked",
                err=True,
            )
