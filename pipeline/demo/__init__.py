"""`yld demo`: input made here, fetched from a loopback server, built, compared with the truth."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from manifests.corpus import Corpus
from pipeline.build.job import build
from pipeline.config import settings
from pipeline.config.build_config import BuildConfig
from pipeline.corpus.clean import clean
from pipeline.demo.compare import compare
from pipeline.demo.programme import INPUTS, make_programme
from pipeline.demo.server import serve
from pipeline.run.status import COLUMNS
from pipeline.run.tables import table
from pipeline.storage import own_folder

PORT = 21925  # the same links, and so the same ids and shards, in each demo


def demo_config() -> BuildConfig:
    """The defaults, but for a host that needs no rest."""
    return settings.from_mapping(
        BuildConfig,
        {
            "download": {
                "sleep_min_s": 0.0,
                "sleep_max_s": 0.0,
                "min_free_gb": 0.3,
                "allow_hosts": ["127.0.0.1"],  # the demo's own server
                "limits": {"requests_per_s": 50.0, "burst": 100.0},
            },
        },
    )


def run_demo(out: Path, seed: int) -> bool:
    """Make, build and compare; True if all that was planted came back. Raises NotOursError
    if `out` holds something that is no demo. Of an earlier demo what it wrote is removed."""
    if own_folder.check(out, "demo") is not None:
        clean(out)
    written = ["links.txt", *(f"input/{name}" for name in INPUTS)]
    own = own_folder.claim(out, "demo")
    own.about_to_write(written)
    started = time.monotonic()
    print("Making talking faces with known truth:", file=sys.stderr)
    planted = make_programme(out / "input", seed, lambda n: print(f"  {n}", file=sys.stderr))
    own.wrote(written)
    made_s = time.monotonic() - started
    with serve(out / "input", port=PORT) as address:
        links = out / "links.txt"
        links.write_text(
            "# what the demo fetches\n" + "".join(f"{address}/{p.name}\n" for p in planted)
        )
        own.wrote(["links.txt"])
        outcome = build([str(links)], out / "corpus", demo_config())
    print(table(outcome.status, COLUMNS), file=sys.stderr)
    rows = compare(Corpus(out / "corpus"), planted)
    print(table(rows, ["input", "what", "planted", "measured", "ok"]))
    good = all(row["ok"] == "yes" for row in rows)
    print(
        f"\n{outcome.num_samples} clips; {'all as planted' if good else 'NOT all as planted'}; "
        f"{made_s:.0f} s to make the input, {time.monotonic() - started:.0f} s in all"
    )
    print(f"report: {outcome.report}")
    return good
