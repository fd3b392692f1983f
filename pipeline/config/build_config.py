"""The configuration of a build: one group per stage, defaults in the stage's own dataclass.

`yld build --config FILE --set key=value` reads into `BuildConfig`; what a build used stands in
`DIR/config.yaml`. Nothing here changes an output except through a stage's own group.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from manifests.records import col
from manifests.splits import SplitConfig
from pipeline.config import settings
from pipeline.config.presets import PRESETS, below
from pipeline.graph import MAIN_JOB, NODES
from stages.base import Resources
from stages.clips.opinions import OpinionsConfig
from stages.clips.render import ClipsConfig, ClipsJob
from stages.corpus.sharding import ShardsConfig
from stages.corpus.speakers import SpeakersConfig
from stages.corpus.thresholds import ThresholdsConfig
from stages.faces.identity import IdentityConfig
from stages.faces.shots import ShotsConfig
from stages.faces.tracks import TracksConfig
from stages.sources.download import DownloadConfig
from stages.sources.expand import ExpandConfig
from stages.sources.probe import ProbeConfig
from stages.sync.offsets import SyncConfig

if TYPE_CHECKING:  # a checker takes no names that are worked out
    StageName: TypeAlias = str
    LimitedName: TypeAlias = str
else:
    StageName = Literal[tuple(node.name for node in MAIN_JOB)]
    LimitedName = Literal[tuple(NODES)]
"""Stages of all jobs: `yld audit` and `yld resync` have some of their own."""


@dataclass(frozen=True)
class WorkersConfig:
    """Where the work runs. Nothing here changes what is found, nor, on CPU workers, a byte of the
    corpus; batches of several videos can move the last bits of a box (docs/backends.md)."""

    cpu_workers: int | None = col(
        "workers for CPU stages; null: one per CPU", at_least=1, default=None
    )
    net_workers: int = col("downloads at a time", at_least=1, default=2)
    gpu_workers: int = col("workers that hold a GPU", at_least=0, default=0)
    gpus_per_worker: float = col("GPU share of a GPU worker", at_least=0, default=1.0)
    gpu_stages: list[StageName] = col("stages that GPU workers run", default_factory=list)
    node_cache_gb: float = col(
        "with a fsspec --out: size of each node's folder of side files and "
        "media, above which the longest unused go",
        "GB",
        at_least=0,
        default=50.0,
    )
    videos_per_gpu_worker: int = col(
        "videos that a GPU worker has in hand at a time, in threads; "
        "their pictures fill common batches",
        at_least=1,
        default=4,
    )
    pictures_per_batch: int = col(
        "pictures or faces that a network of a GPU worker takes at a time", at_least=1, default=16
    )
    attempts: int = col(
        "attempts before a unit that breaks its worker is a failure", at_least=1, default=2
    )
    max_ahead: int = col("videos fetched ahead of the slower stages", at_least=1, default=16)
    parked_wait_s: float = col(
        "longest wait for a host that asked for a rest", "s", at_least=0, default=6 * 3600.0
    )
    max_failure_rate: float = col(
        "share of failed videos above which the exit code is not 0",
        at_least=0,
        at_most=1,
        default=0.5,
    )
    memory_gb: dict[LimitedName, float] = col(
        "memory limit by stage", "GiB", above=0, default_factory=dict
    )
    timeout_s: dict[LimitedName, float] = col(
        "time limit by stage, beside 20 s per second of video", "s", above=0, default_factory=dict
    )


@dataclass(frozen=True)
class BuildConfig:
    """All settings of the main job."""

    expand: ExpandConfig = field(default_factory=ExpandConfig)
    download: DownloadConfig = field(default_factory=DownloadConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    shots: ShotsConfig = field(default_factory=ShotsConfig)
    tracks: TracksConfig = field(default_factory=TracksConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    opinions: OpinionsConfig = field(default_factory=OpinionsConfig)
    thresholds: ThresholdsConfig = field(default_factory=ThresholdsConfig)
    speakers: SpeakersConfig = field(default_factory=SpeakersConfig)
    splits: SplitConfig = field(default_factory=SplitConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)


def load_config(
    path: str | None, assignments: tuple[str, ...] = (), preset: str | None = None
) -> BuildConfig:
    """A checked configuration from a preset's name, a YAML file and `key=value` strings, the later
    over the earlier. Raises ConfigError."""
    data = settings.load_yaml(path) if path else {}
    if preset is not None:
        if preset not in PRESETS:
            raise settings.ConfigError(f"there is no preset {preset}: {', '.join(PRESETS)}")
        data = below(PRESETS[preset].settings, data)
    paths = setting_paths()
    for assignment in assignments:
        settings.apply_setting(data, settings.whole_key(assignment, paths))
    return settings.from_mapping(BuildConfig, data)


def setting_paths() -> list[str]:
    """`group.key` of every setting."""

    return settings.paths_of(BuildConfig())


def as_yaml(config: BuildConfig) -> str:
    """The whole configuration, defaults included, as YAML that `load_config` reads back."""
    return yaml.safe_dump(settings.to_mapping(config), sort_keys=False, allow_unicode=True)


def resources_for(config: BuildConfig, stage: str, declared: Resources) -> Resources:
    """A stage's limits: what it declares, with what the configuration says instead."""
    return Resources(
        declared.cpus,
        declared.gpus,
        config.workers.memory_gb.get(stage, declared.memory_gb),
        config.workers.timeout_s.get(stage, declared.timeout_s),
    )


def stage_configs(config: BuildConfig) -> dict[str, Any]:
    """Settings by stage name, for the runner."""
    configs = {node.name: getattr(config, node.name, None) for node in MAIN_JOB}
    configs["clips"] = ClipsJob(config.clips, config.sync)  # it measures what it has corrected
    # Who may see the video may see the list that it is in.
    configs["expand"] = dataclasses.replace(
        config.expand,
        **{
            f: getattr(config.expand, f) or getattr(config.download, f)
            for f in ("cookies_file", "cookies_from_browser")
        },
        allow_hosts=list(dict.fromkeys([*config.expand.allow_hosts, *config.download.allow_hosts])),
    )
    return configs
