"""Adapt the GRID recogniser to clips with known text (evaluation/metrics/recogniser_adaptation.py).

    python tools/adapt_recogniser.py CLIPS TEXTS OUT

CLIPS is a folder of sound or video, TEXTS what `yld evaluate --text` takes. Give training clips
only, then score with `yld evaluate --recogniser OUT --metrics wer-adapted`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from evaluation.audio import read_sound
from evaluation.metrics.recogniser_adaptation import adapt
from evaluation.pairing import media_files, read_texts

if __name__ == "__main__":
    clips, texts, out = map(Path, sys.argv[1:4])
    known = read_texts(texts)
    pairs = [(known[name], path) for name, path in media_files(clips).items() if name in known]
    used = adapt(((text, read_sound(path)) for text, path in pairs), out)
    print(f"{out}: adapted on {used} of {len(pairs)} clips")
