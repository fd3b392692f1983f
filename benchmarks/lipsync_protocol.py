"""The protocol of docs/synchrony.md in one command: speakers left out, windows, foreign sound.

    python -m benchmarks.lipsync_protocol CORPUS... --index INDEX.tsv --out DIR [--jobs 2]
    python -m benchmarks.lipsync_protocol CORPUS... --index INDEX.tsv --weights FILE [--out DIR]

The first trains the recipe that ships in folds of at most 15 speakers and tries each fold's; a run
that was stopped goes on at the first fold that DIR does not have, and --so-far gives the tables of
those that it has. The second judges a weight file as it is, for clips of people whom it never saw.
DIR/protocol.json has every window.

Corpora are built with `clips.mode=whole sync.correct=false`. An index is tab-separated with the
columns path (beside the index), speaker, and if it has them group (the corpus a clip comes from)
and known_sync ("yes": recorded in sync). Its speakers count, since one face may look like two.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from manifests.corpus import Corpus
from manifests.files import write_atomic
from stages.networks.lag_curves import MEASURED_FROM
from stages.networks.lipsync import LipSync
from training.models.lipsync.examples import Example
from training.models.lipsync.held_out import held_out, so_far, try_model
from training.models.lipsync.report import compact, read, summary, tables
from training.models.lipsync.run import load, plan_of, prepare, read_indices
from training.models.lipsync.system import is_synchronous
from training.models.lipsync.towers import LipSyncRecipe, TowersSystem
from training.models.lipsync.trial import Row, basis_of, cross_confidence

FAMILIES = {
    "studio": ("GRID", "MEAD", "TCD-TIMIT", "TMSV", "EasyCom"),
    "LRS-like crops": ("LRS2", "LRS3", "mTEDx", "VoxCeleb2"),
}
"""Corpora by how they were made; all others are of the web."""
MANY_CLIPS = 20
"""A speaker of the index with more clips is a group of its own."""
TURNED_DEG, SMALL_PX = 30.0, 80.0


def groups_of(corpora: Sequence[Path], index: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Groups of each source: the family of its corpus, and what its largest track looks like."""
    clips = Counter(row.get("speaker") for row in index.values() if row.get("talking") != "no")
    groups: dict[str, list[str]] = {}
    for folder in corpora:
        corpus = Corpus(folder)
        source_of = {r["video_id"]: r["address"] for r in corpus.rows("sources")}
        for track in corpus.rows("tracks"):
            source = source_of[track["video_id"]]
            row = index.get(source, {})
            speaker = row.get("speaker")
            if speaker and clips[speaker] > MANY_CLIPS:
                family = speaker
            else:
                named = (n for n, of in FAMILIES.items() if row.get("group") in of)
                family = next(named, "web" if not is_studio(row) else "studio")
            found = [family]
            if abs(track["yaw_deg"]) > TURNED_DEG:
                found.append("turned more than 30 degrees")
            if track["median_box_px"] < SMALL_PX:
                found.append("faces under 80 px")
            groups[source] = [*dict.fromkeys([*groups.get(source, []), *found])]
    return groups


def is_studio(row: dict[str, str]) -> bool:
    """GRID's speakers in an index without groups."""
    return (row.get("speaker") or "").startswith("grid_")


def judged(
    model: LipSync, examples: Sequence[Example], synchronous: Sequence[str], seed: int
) -> tuple[list[Row], np.ndarray]:
    """Windows of all examples by one weight file, and its own confidence in them."""
    system = TowersSystem(LipSyncRecipe(seed=seed))
    for example in examples:
        system.hear(example)
    random = np.random.default_rng([seed, 7])
    rows = try_model(system, model, examples, examples, synchronous, None, random)
    return rows, np.array([model.confidence(np.asarray(r.curve), basis_of(r)) for r in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, or their numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--index", type=Path, action="append", default=[], help="may recur")
    parser.add_argument(
        "--synchronous",
        action="append",
        default=[],
        metavar="PATTERN",
        help="instead of those that the index says were recorded in sync",
    )
    parser.add_argument("--out", type=Path, help="folder of the folds and protocol.json")
    parser.add_argument("--weights", type=Path, help="judge these; nothing is trained")
    parser.add_argument(
        "--so-far",
        action="store_true",
        help="tables of the folds that are done; nothing is trained",
    )
    parser.add_argument("--fold-size", type=int, default=15)
    parser.add_argument("--jobs", type=int, default=1, help="folds at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=MEASURED_FROM)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.out is None and options.weights is None:
        parser.error("a trial of the recipe needs --out, which keeps its folds")
    index = read_indices(options.index)
    examples = load(options.corpora, options.index)
    known = [s for s, row in index.items() if is_in_sync(row)]
    synchronous = options.synchronous or known

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if options.weights is not None:
        rows, sure = judged(LipSync.load(options.weights), examples, synchronous, options.seed)
    else:
        system = TowersSystem(LipSyncRecipe(seed=options.seed))
        plan = plan_of(system, examples, synchronous, options.fold_size, options.out)
        if options.so_far:
            rows = so_far(plan)
        else:
            prepare(system, examples)
            rows, _ = held_out(plan, options.jobs, say)
        sure = cross_confidence(rows)
    in_sync = {e.source for e in examples if is_synchronous(e, synchronous)}
    text = compact(rows, sure, groups_of(options.corpora, index), in_sync)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomic(options.out / "protocol.json", text)
    made = summary(read(text), options.threshold)
    print(json.dumps(made, indent=1) if options.json else tables(made))


def is_in_sync(row: dict[str, str]) -> bool:
    """Whether the index says that a clip was recorded in sync; GRID is known to be."""
    return row.get("known_sync") == "yes" or is_studio(row)


if __name__ == "__main__":
    main()
