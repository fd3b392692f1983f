"""CPU time of every stage of a build beside one plain decode of the same files."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import av

from manifests.corpus import Corpus
from pipeline.build.job import build
from pipeline.config.build_config import load_config
from pipeline.run import status
from pipeline.run.tables import table


def decode_cpu_s(paths: list[str]) -> float:
    """CPU seconds to decode the video streams, one thread, nothing converted."""
    start = time.process_time()
    for path in paths:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            for _ in container.decode(stream):
                pass
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp()) / "corpus"
    start = time.monotonic()
    outcome = build(arguments.sources, out, load_config(None, tuple(arguments.assignments)))
    wall_s = time.monotonic() - start
    corpus = Corpus(out)
    videos = corpus.rows("videos")
    path_of = {s["video_id"]: s["address"] for s in corpus.rows("sources")}
    video_s = sum(v["duration_us"] for v in videos) / 1e6
    plain = decode_cpu_s([path_of[v["video_id"]] for v in videos]) / video_s
    print(table(outcome.status, status.COST_COLUMNS))
    total = sum(r["cpu_s"] for r in outcome.status) / video_s
    print(
        f"{video_s:.0f} s of video in {wall_s:.0f} s; all stages {total:.3f} CPU-s per video-s, "
        f"{total / plain:.1f} plain decodes of the same files ({plain:.4f}); peak "
        f"{max(r['peak_rss_mb'] for r in outcome.status):.0f} MB a worker, "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB here"
    )


if __name__ == "__main__":
    main()
