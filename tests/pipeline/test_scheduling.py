"""Which unit comes next, and what becomes of one whose job has ended."""

from __future__ import annotations

import pytest

from manifests import records as rec
from pipeline.config.build_config import BuildConfig, stage_configs
from pipeline.graph import MAIN_JOB, NODES, Node, check_graph
from pipeline.run.ledger import Entry, Ledger, Result
from pipeline.run.pools import NODE, Ended
from pipeline.run.scheduler import Runner
from pipeline.run.stage_runner import Done
from pipeline.run.unit import Policy, Unit
from pipeline.run.unit_queue import UnitQueue
from pipeline.run.verdict import Verdict, judge
from pipeline.storage.work_files import WorkFiles


def unit(stage: str = "shots", index: int = 0, **values) -> Unit:
    return Unit(NODES[stage], f"u{index}", [], index, **values)


def test_later_stages_come_first_and_then_who_came_first():
    queue = UnitQueue(MAIN_JOB)
    for stage, index in (("expand", 0), ("clips", 3), ("shots", 2), ("shots", 1)):
        queue.push(unit(stage, index))
    got = [queue.pop() for _ in range(queue.num_ready)]
    assert [(u.node.name, u.index) for u in got] == [
        ("clips", 3),
        ("shots", 1),
        ("shots", 2),
        ("expand", 0),
    ]


def test_a_unit_waits_for_its_time_and_is_given_up_only_when_that_is_too_far():
    now = [0.0]
    queue = UnitQueue(MAIN_JOB, lambda: now[0])
    queue.push_in(unit("download"), 100.0)
    queue.wake()
    assert (queue.num_ready, queue.num_waiting) == (0, 1)
    assert queue.give_up(100.0) == [] and len(queue.give_up(99.0)) == 1
    queue.push_in(unit("download"), 100.0)
    now[0] = 100.0
    queue.wake()
    assert (queue.num_ready, queue.num_waiting) == (1, 0)


RECORDS = [rec.Request(f"r{i}", "a", "file", "t") for i in range(2)]


@pytest.mark.parametrize(
    "done, reason, company, state, expected",
    [
        (Done([], stop_run="full"), None, False, {}, Verdict("stop", detail="full")),
        (Done([]), None, False, {}, Verdict("finish")),
        (Done([], wait_s=7.0), None, False, {}, Verdict("park", wait_s=7.0, is_charged=False)),
        (
            Done([], wait_s=7.0),
            None,
            False,
            {"parks": 4},
            Verdict(
                "fail", "blocked", "its host refused 5 times", retryable=True, is_charged=False
            ),
        ),
        (None, NODE, False, {}, Verdict("move", is_charged=False)),
        (None, NODE, False, {"moves": 3, "attempts": 2}, Verdict("fail", NODE, "why")),
        (None, "crash", True, {"attempts": 2}, Verdict("part", is_charged=False)),
        (None, "crash", False, {"attempts": 1}, Verdict("retry")),
        (None, "crash", False, {"attempts": 2}, Verdict("fail", "crash", "why")),
        (None, "crash", False, {"attempts": 2, "records": RECORDS}, Verdict("split")),
    ],
)
def test_what_becomes_of_a_unit(done, reason, company, state, expected):
    one = unit()
    for name, value in state.items():
        setattr(one, name, value)
    ended = Ended(None, done, reason, "why", company)
    assert judge(one, ended, Policy(), is_splittable=True) == expected


def test_a_split_unit_is_whole_again_in_the_order_of_its_records():
    whole = Unit(NODES["expand"], "u", RECORDS, 0, key="k")
    second, first = reversed(whole.parts())
    second.fail("crash", "boom", retryable=False)
    first.results.append(Result("r0", records=[]))
    assert second.joined() is None
    joined = first.joined()
    assert joined is whole and [r.item_id for r in joined.entry().results] == ["r0", "r1"]
    assert joined.entry().results[1].failure.exception == "crash: boom"


def test_a_graph_that_does_not_fit_is_refused_before_any_work():
    with pytest.raises(ValueError, match=r"sync gives Offset, tracks takes Shot"):
        check_graph((NODES["sync"], NODES["tracks"]))
    alone = Node(
        "sync", "stages.sync.offsets:Sync", rec.Identity, rec.Offset, "video_id", context=("video",)
    )
    with pytest.raises(ValueError, match=r"sync asks for the context 'video'"):
        check_graph((alone,))


def test_work_that_was_found_by_more_than_its_stage_reads_is_not_done_again(tmp_path):
    """Clips were once given the shots too, which made them part of the key."""

    class NoPools:
        num_running = 0

    files, ledger = WorkFiles(tmp_path), Ledger(tmp_path / "ledger")
    node = NODES["clips"]
    told: list[tuple[str, str]] = []
    runner = Runner(
        MAIN_JOB,
        stage_configs(BuildConfig()),
        files,
        ledger,
        NoPools(),
        Policy(),
        observe=lambda event, n, _: told.append((event, n.name)),
    )
    runner._kept["v"] = {"video": "a video", "tracks": {}, "shots": {"v-s000": "a shot"}}
    was = runner._key(node, [], dict(runner._kept["v"]))
    ledger.put(Entry("clips", "v", was, []), rec.Clip)
    runner._submit(node, "v", [])
    assert told == [("reused", "clips")]
    runner._kept["w"] = {"video": "a video", "tracks": {}, "shots": {"w-s000": "another"}}
    ledger.put(Entry("clips", "w", "0" * 64, []), rec.Clip)
    runner._submit(node, "w", [])
    assert told[-1] == ("queued", "clips")
