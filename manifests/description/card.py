"""The dataset card and `SHA256SUMS`: no dates, no hosts. `dataset.json` is in `croissant`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from manifests.columns import values_of
from manifests.description.card_head import NOBODY, card_head, terms_of
from manifests.description.croissant import MEMBERS, WIDE_MEMBER
from manifests.description.datasheet import Facts, datasheet
from manifests.files import sha256_of, write_atomic
from manifests.records import Fetched, Sample
from manifests.shards import WIDE_AUDIO


def card(
    name: str,
    samples: Sequence[Sample],
    sources: Sequence[Fetched],
    split_sentence: str,
    has_wide: bool = False,
    facts: Facts | None = None,
) -> str:
    """The corpus's `README.md`: what it is, how to read it, whose faces these are. `has_wide`: its
    samples have `audio.wide.flac` too; `facts`: what was counted, for a datasheet's sections."""
    used = set(values_of(samples, "video_id"))
    num_speakers = len(set(values_of(samples, "speaker_id")))
    owners = NOBODY if facts is None else facts.owners
    licences = Counter(terms_of(s, owners) for s in sources if s.video_id in used)
    consents = Counter(s.consent or "not stated" for s in sources if s.video_id in used)
    there = MEMBERS | ({WIDE_AUDIO: WIDE_MEMBER} if has_wide else {})
    members = "\n".join(f"- `{n}`: {text}" for n, (_, text) in there.items())
    listing = "\n".join(f"- {n}: {c} sources" for n, c in sorted(licences.items()))
    consent = "\n".join(f"- {n}: {c} sources" for n, c in sorted(consents.items()))
    return f"""{card_head(name, samples, sources, has_wide, owners)}
# {name}

{len(samples)} clips of {num_speakers} speakers from {len(used)} videos, \
made by yld. {split_sentence}

## Reading it
WebDataset shards in `shards/`; one sample is one clip of one speaking face:

{members}

Every member of `json` is in every sample with one type; what may not be known is text there, empty
where it is not known, with the reason beside it. `load_dataset("FOLDER")` of Hugging Face
`datasets` reads all of it, mlcroissant reads `dataset.json`.

The corpus as it was built has tables about everything that was kept, rejected or failed in
`manifests/` (Parquet), a summary in `report.html`, checksums in `SHA256SUMS`; an export may have
the shards alone.

{"" if facts is None else datasheet(facts)}## Licences, as the sources state them
{listing or "- no source"}

## Consent of the persons shown, as stated by who built this
{consent or "- no source"}

Faces and voices are personal data. Ids in the manifests lead from each clip to its video and
link, so that what was built from a person or a video can be found and taken out.
"""


def write_checksums(
    root: Path, names: Sequence[str], digest: Callable[[str], str] | None = None
) -> None:
    """`SHA256SUMS` over files by relative name, as `sha256sum -c` reads it; `digest` gives what is
    known of a name, else the files are read."""
    known = digest or (lambda name: sha256_of(root / name))
    write_atomic(root / "SHA256SUMS", "".join(f"{known(name)}  {name}\n" for name in sorted(names)))
