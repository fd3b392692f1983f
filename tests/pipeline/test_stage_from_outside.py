"""A stage takes one class and one line of a graph: nothing else names it."""

from __future__ import annotations

import pytest

from manifests.records import Clip, Offset
from pipeline.build.tables import all_of
from pipeline.config.build_config import load_config, stage_configs
from pipeline.graph import MAIN_JOB, Node, of_kind
from pipeline.run import placement
from pipeline.run.session import running
from pipeline.storage.lock import CorpusLock
from pipeline.storage.work_files import WorkFiles
from stages.sources.arguments import requests_from_arguments
from tests.pipeline.outside_stage import LongEnoughConfig
from tests.talking import talking_files

BEFORE_CLIPS = [node.name for node in MAIN_JOB].index("clips")
JOB = (
    *MAIN_JOB[:BEFORE_CLIPS],
    Node(
        "long_enough",
        "tests.pipeline.outside_stage:LongEnough",
        Offset,
        Offset,
        "video_id",
        context=("tracks",),
    ),
    MAIN_JOB[BEFORE_CLIPS],
)


def test_its_own_look_at_its_settings_comes_before_any_work():
    configs = {"long_enough": LongEnoughConfig(min_seconds=90.0)}
    with pytest.raises(ValueError, match="min_seconds=90 leaves nothing"):
        placement.check_stages(JOB[-2:-1], configs, here=True)


def test_it_runs_between_the_stages_of_a_build(tmp_path):
    clip = talking_files(tmp_path, 5.0) / "talk0.mp4"
    config = load_config(None)
    requests = requests_from_arguments([str(clip)])
    told = {}
    for least in (1.0, 60.0):
        configs = stage_configs(config) | {"long_enough": LongEnoughConfig(least)}
        files = WorkFiles(tmp_path / "work")
        with (
            CorpusLock(files.folder) as lock,
            running(
                JOB,
                configs,
                config,
                files,
                lock,
                requests,
                observe=lambda event, node, _, entries: told.setdefault(event, set()).add(
                    node.name
                ),
            ) as runner,
        ):
            entries = runner.run(requests)
        offsets = list(all_of(entries, Offset))
        assert len({o.track_id for o in offsets}) == len(offsets) == len(entries["sync"])
        own = [r for e in entries["long_enough"].values() for r in e.results]
        assert own and all((r.reject is None) == (least == 1.0) for r in own)
        clips = [r for e in of_kind(entries, Clip) for r in e.outputs]
        assert bool(clips) == (least == 1.0)
    assert own[0].reject.stage == "long_enough" and own[0].reject.reason == "too_short"
    assert {"probe", "sync"} <= told["reused"] and "long_enough" not in told["reused"]
