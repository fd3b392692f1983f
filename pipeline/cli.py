"""The command `yld`: results on stdout, logs on stderr, an exit code that tells the truth."""

from __future__ import annotations

import os
import sys

import click

from pipeline.commands import (
    browse,
    build,
    care,
    compare,
    config,
    corpora,
    corpus,
    estimate,
    export,
    machine,
    models,
    redub,
    scores,
    shards,
    sync,
    synthesize,
    train,
)
from pipeline.run import supervisor
from pipeline.run.terminal import close_stdin


class _Program(click.Group):
    """The group of commands; run as a program, the long ones run below a supervisor."""

    def main(self, args=None, **options):
        if args is None and supervisor.is_wanted(sys.argv[1:]):
            supervisor.run(lambda: super(_Program, self).main(None, **options))
        return super().main(args, **options)


@click.group(
    cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="yld-corpora", prog_name="yld")
def main() -> None:
    """Synced, face-registered, audited talking-face corpora from video links."""
    close_stdin()  # no command reads it, and what commands start must not
    if not os.environ.get("YLD_DEBUG"):
        # PyAV is silent; OpenCV brings an FFmpeg of its own, which is told by what it looks up when
        # it opens its first file. Workers inherit it. What is damaged is told in our words.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    for stream in (sys.stdout, sys.stderr):
        # A name of a file may hold what no encoding can write; that is no reason to stop.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


for command in (
    build.build,
    corpora.corpora,
    config.config,
    estimate.estimate,
    corpus.status,
    corpus.report,
    browse.browse,
    corpus.verify,
    corpus.clean,
    shards.shards,
    compare.compare,
    care.remove,
    care.merge,
    care.dedup,
    export.export,
    machine.doctor,
    machine.demo,
    sync.audit,
    sync.resync,
    train.train,
    synthesize.synthesize,
    redub.redub,
    scores.evaluate,
    scores.mos,
    models.models,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
