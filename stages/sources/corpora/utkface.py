"""UTKFace (Zhang, Song, Qi 2017): faces for the face decoder of Lip2Speech, one a file:
`25_1_0_20170116171048641.jpg` (age, gender, race, time), `.chip.jpg` for the aligned set.

They are pictures: `yld build` takes none of them. Parts as Lip2Speech has them (section 4.3):
153 test pictures, 3000 to learn from, drawn by hash; the others are in no part.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from manifests import walk
from manifests.paths import as_text
from stages.sources.corpora.rows import Corpus, CorpusError, Findings, Row, in_words, named

NAME = re.compile(
    r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_\d{17}(?:\.jpg)?(?:\.chip)?\.jpg"
)
EXPECTED = "25_1_0_20170116171048641.jpg (age, gender 0 or 1, race 0 to 4, date and time)"
NUM_TEST, NUM_TRAIN = 153, 3000


def read(place: Path, findings: Findings) -> None:
    """Rows of the pictures. Raises CorpusError where there are none."""
    files = [p for p in walk.walk(place).files if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    pictures = [p for p in files if NAME.fullmatch(p.name)]
    if not pictures:
        raise CorpusError(
            f"{as_text(place)} is not laid out as utkface: expected {EXPECTED}; found "
            f"{named(files, place) or 'no picture'}"
        )
    if odd := sorted(set(files) - set(pictures)):
        findings.notes.append(
            f"{len(odd)} pictures are not named so and are left out (a few of the archive lack the "
            f"race): {in_words(as_text(p.name) for p in odd)}"
        )
    ranked = sorted(pictures, key=lambda p: hashlib.sha256(f"utkface {p.name}".encode()).digest())
    part_of = dict.fromkeys(ranked[:NUM_TEST], "test")
    part_of |= dict.fromkeys(ranked[NUM_TEST : NUM_TEST + NUM_TRAIN], "train")
    for path in pictures:
        findings.rows.append(
            Row(as_text(path.resolve()), "image", as_text(path.name), split=part_of.get(path))
        )


UTKFACE = Corpus(
    "utkface",
    "UTKFace (pictures)",
    "Zhang, Song, Qi 2017; susanqq.github.io/UTKFace",
    "the folder UTKFace, or crop_part1",
    "non-commercial research; pictures belong to their owners",
    "none (23 708 pictures, a few without a label)",
    "Lip2Speech's face decoder",
    read,
    makes="images",
)
