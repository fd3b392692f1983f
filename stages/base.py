"""The contract of a stage: typed records in, one outcome per record, in the same order.

A stage judges (Reject) or produces (records); it lets exceptions rise. Only the runner turns
an exception, a crash or a timeout into a Failure. Stages know no Ray, and no stage that comes after
them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from manifests.records import Clip, Hint, Reject, Track, Video

In = TypeVar("In")
Out = TypeVar("Out")
Outcome: TypeAlias = "Sequence[Out] | Reject"


class TransientError(RuntimeError):
    """Something that may succeed when tried again (network, a busy site)."""


class PermanentError(RuntimeError):
    """Something that trying again cannot mend; costs one attempt."""


class SetupError(RuntimeError):
    """A tool or a weight file is missing: the run stops instead of failing every item."""


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage holds. Fractions of a GPU are allowed."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float = 4.0
    timeout_s: float = 3600.0
    """Longest time for one batch."""


class RateLimiter(Protocol):
    """Politeness towards hosts, one for all workers (`stages.sources.download.limiter`)."""

    def acquire(self, host: str) -> tuple[str, float]: ...

    def blocked(self, host: str, retry_after_s: float | None) -> float: ...

    def succeeded(self, host: str) -> None: ...


@dataclass(frozen=True)
class Context:
    """Where a stage reads and writes, and what it is told beside its records."""

    work: Path
    """Folder for side files of the corpus, visible to all workers; local or shared."""
    name: str = ""
    """A word unique to this batch's inputs and configuration; use it in side-file names."""
    video: Video | None = None
    """The video of all records of the batch; given where the stage's node asks for it."""
    tracks: Mapping[str, Track] = field(default_factory=dict)
    """All tracks of that video by id; given where the node asks for them."""
    clips: Mapping[str, Clip] = field(default_factory=dict)
    """All clips of that video by id; given where the node asks for them."""
    hints: Sequence[Hint] = ()
    """What a corpus says of spans and faces of that video (`stages.hints`); given where the node
    asks for them."""
    rate_limiter: RateLimiter | None = None
    """Asked before each request to a host; None: nobody else asks it."""
    is_media_needed: bool = False
    """A later stage must read media that was let go: it is fetched once more."""
    measured: dict[str, float] = field(default_factory=dict)
    """Figures for the table of costs, such as `stages.cost_meter` adds; no part of any outcome."""

    def the_video(self) -> Video:
        """`video`. Raises LookupError where the graph gives none."""
        if self.video is None:
            raise LookupError("this stage reads its video: its Node needs context=('video',)")
        return self.video

    def side_path(self, folder: str, stem: str, suffix: str) -> Path:
        """`work/{folder}/{stem}-{name}{suffix}`; the folder exists afterwards. `folder` is the
        stage's `side_folder`."""
        place = self.work / folder
        place.mkdir(parents=True, exist_ok=True)
        return place / f"{stem}-{self.name}{suffix}"


class Stage(ABC, Generic[In, Out]):
    """One step. `config` is this stage's frozen dataclass; construction is cheap."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Rises when the same input and config give another output."""
    reasons: ClassVar[frozenset[str]] = frozenset()
    """Closed vocabulary of this stage's Rejects."""
    resources: ClassVar[Resources] = Resources()
    reads_media: ClassVar[bool] = False
    """It opens the video's media: it runs where that is at hand, fetched once more if need be."""
    fetches_media: ClassVar[bool] = False
    """It brings media to `work/media`, and notes its facts in `work/media/{unit}.json`."""
    side_folder: ClassVar[str] = ""
    """The folder below `work` of what it writes, which a node of a cluster may bring again; empty
    for a stage that writes none."""
    reads_side_folders: ClassVar[frozenset[str] | None] = None
    """Folders whose files it reads, of all that the records it is given name; None: any of them.
    Files of others need not be there any more."""
    splittable: ClassVar[bool] = False
    """Records of one unit do not depend on each other: one that breaks is tried apart."""

    sharing: Any = None
    """Given before `setup` where one process works on several videos: `backends.sharing.Sharing`.
    Each has a stage of its own; what this holds is for all."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def devices(cls, config: Any) -> dict[str, str]:
        """Setting, below the stage's group, that names a device -> the device: cpu | cuda."""
        return {}

    @classmethod
    def check(cls, config: Any) -> None:
        """What a run would find out late, wherever its workers are. Before any work; imports
        nothing heavy. Raises SetupError or ValueError with the way out."""

    @classmethod
    def check_here(cls, config: Any) -> None:
        """Whether this machine, whose workers they will be, has the libraries and weights. Before
        any work; imports nothing heavy. Raises SetupError."""

    def setup(self) -> None:
        """Load weights, probe tools. Runs once per worker, or once for each video that a worker has
        in hand at a time, then one after another. Raises SetupError."""

    def fingerprint(self) -> dict[str, Any]:
        """Whatever beside config and version the output depends on (weight hashes)."""
        return {}

    @abstractmethod
    def process(self, batch: Sequence[In], context: Context) -> Sequence[Outcome[Out]]:
        """All records of one video (or one source), in order; one outcome each."""


def below(reason: str, measured: float, least: float, detail: str) -> Reject | None:
    """A Reject for what does not reach `least`; `detail` says of what `measured` is."""
    return Reject(reason, measured, least, detail) if measured < least else None


def above(reason: str, measured: float, most: float, detail: str) -> Reject | None:
    """A Reject for what goes beyond `most`."""
    return Reject(reason, measured, most, detail) if measured > most else None
