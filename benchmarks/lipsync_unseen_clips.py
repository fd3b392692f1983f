"""A speaker's unseen clips by towers that know the speaker's other clips: the easier question.

The held-out trial leaves whole speakers out. An audit of a corpus of few speakers may be closer to
this: half of one speaker's clips is trained with everybody else's, the other half is measured, and
the other way round. Whole clips, as they are, searched within +-700 ms; the speaker's are taken to
be synchronous.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from training.models.lipsync.examples import Example
from training.models.lipsync.run import load
from training.models.lipsync.system import fit
from training.models.lipsync.towers import LipSyncRecipe, TowersSystem


def measure(job: tuple[list[Example], str, int, TowersSystem]) -> list[float | None]:
    """Lags in ms of one half of the speaker's clips, None where nothing was to be measured."""
    import torch

    torch.set_num_threads(1)
    examples, speaker, half, system = job
    theirs = [e for e in examples if e.speaker == speaker]
    tested = theirs[half::2]
    model, _ = fit(system, [e for e in examples if not any(e is t for t in tested)], [speaker])
    peaks = [model.clip_peak(e.landmarks, e.mouths, e.pcm) for e in tested]
    return [None if peak is None else peak.lag_ms for peak in peaks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--speaker", help="speaker_id; without it, who has most clips")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    system = TowersSystem(LipSyncRecipe())
    examples = load(arguments.corpora)
    names = [e.speaker for e in examples]
    speaker = arguments.speaker or max(sorted(set(names)), key=names.count)
    system.prepare(examples, np.random.default_rng([system.recipe.seed, 1]))
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as workers:
        halves = workers.map(measure, [(examples, speaker, half, system) for half in (0, 1)])
        lags = [lag for half in halves for lag in half]
    known = np.abs([lag for lag in lags if lag is not None])
    print(
        f"{speaker}: {int((known <= 40).sum())} of {len(lags)} clips within 40 ms of zero, "
        f"{int((known <= 20).sum())} within 20 ms, median distance {np.median(known):.0f} ms"
    )


if __name__ == "__main__":
    main()
