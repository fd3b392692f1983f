"""The confidence of a weight file, fitted again on the held-out trial that came with it.

python -m training.models.lipsync.recalibrate WEIGHTS.safetensors --out NEW.safetensors

The towers stay as they are. For when what confidence is made of (`lag_curves.evidence`) changes:
the trial has each window's numbers, so nothing need be trained. Beside NEW comes its trial, whose
confidences are of calibrations that never saw the clip, as everywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from manifests.files import write_atomic
from stages.networks.lipsync import LipSync
from training.models.lipsync.report import compact, read, windows
from training.models.lipsync.trial import calibrate, cross_confidence


def recalibrate(weights: Path, out: Path) -> Path:
    """Write `out` and its trial; returns the latter. Raises FileNotFoundError, ValueError."""
    told = read(weights.with_suffix(".trial.json").read_text())
    rows = windows(told)
    model = LipSync.load(weights)
    model.calibration = calibrate(rows).astype(np.float32)
    model.save(out)
    groups = {r["source"]: r["groups"] for r in told}
    in_sync = {r["source"] for r in told if r["synchronous"]}
    trial = out.with_suffix(".trial.json")
    write_atomic(trial, compact(rows, cross_confidence(rows), groups, in_sync))
    return trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    recalibrate(arguments.weights, arguments.out)


if __name__ == "__main__":
    main()
