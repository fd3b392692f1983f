"""Vid2Speech as its authors trained it on GRID's speaker 2, as weights for `yld synthesize`.

    python tools/convert_vid2speech.py --data GRID_S2_CORPUS --out FOLDER [--weights FILE]

The file holds the network. Means and deviations of pixels and line spectra are measured on a corpus
of the same speaker, as the code's `predict.py` measures them on the videos at hand.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from manifests.weights.cache import fetch
from pipeline.config.settings import to_mapping
from training.harness.checkpoints import Description, save_weights
from training.harness.data import parts_of
from training.models.catalogue import KINDS
from training.models.vid2speech.config import paper
from training.models.vid2speech.published import NAME, read
from training.models.vid2speech.system import Vid2SpeechSystem, facts_of


def convert(weights: Path, corpus: str, out: Path) -> None:
    """Write `out`/best.safetensors. Raises ValueError where the file is another network, or the
    corpus has no clips that can be measured; FileExistsError where `out` is there already."""
    found = read(weights)
    config = replace(paper(), shape=found.shape)
    parts = parts_of([corpus], config.data, KINDS["vid2speech"].wanted(config))
    facts = facts_of(parts, config)
    system = Vid2SpeechSystem(config, facts)
    system.network.load_state_dict(found.state)
    out.mkdir(parents=True)
    told = to_mapping(config)
    about = Description("vid2speech", "paper", told, facts, {}, 0, version("yld-corpora"))
    save_weights(out / "best.safetensors", system, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help=f"{NAME}; fetched, or in the cache, else")
    parser.add_argument("--data", required=True, help="corpus of the same speaker")
    parser.add_argument("--out", type=Path, required=True, help="folder for best.safetensors")
    told = parser.parse_args()
    convert(told.weights or fetch(NAME), told.data, told.out)


if __name__ == "__main__":
    main()
