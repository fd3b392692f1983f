"""The contract of a stage: typed records in, one outcome per record, in the same order.

A stage judges (Reject) or produces (records); it lets exceptions rise. Only the runner turns
an exception, a crash or a timeout into a Failure. Stages know neither Ray nor each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from manifests.records import Reject

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


@dataclass(frozen=True)
class Context:
    """Where a stage reads and writes: given to `setup`."""

    work: Path
    """Folder for side files of the corpus, visible to all workers; local or shared."""
    name: str = ""
    """A word unique to this batch's inputs and configuration; use it in side-file names."""
    services: dict[str, Any] | None = None
    """Handles the runner provides, e.g. `rate_limiter`."""
    measured: dict[str, float] = field(default_factory=dict)
    """Figures for the table of costs, such as `stages.measuring` adds; no part of any outcome."""

    def side_path(self, stage: str, stem: str, suffix: str) -> Path:
        """`work/{stage}/{stem}-{name}{suffix}`; the folder exists afterwards."""
        folder = self.work / stage
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{stem}-{self.name}{suffix}"


class Stage(ABC, Generic[In, Out]):
    """One step. `config` is this stage's frozen dataclass; construction is cheap."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Rises when the same input and config give another output."""
    reasons: ClassVar[frozenset[str]] = frozenset()
    """Closed vocabulary of this stage's Rejects."""
    resources: ClassVar[Resources] = Resources()

    sharing: Any = None
    """Given before `setup` where one process works on several videos: `backends.sharing.Sharing`.
    Each has a stage of its own; what this holds is for all."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def setup(self) -> None:
        """Load weights, probe tools. Runs once per worker, or once for each video that a worker has
        in hand at a time, then one after another. Raises SetupError."""

    def fingerprint(self) -> dict[str, Any]:
        """Whatever beside config and version the output depends on (weight hashes)."""
        return {}

    @abstractmethod
    def process(self, batch: Sequence[In], context: Context) -> list[Outcome[Out]]:
        """All records of one video (or one source), in order; one outcome each."""
