"""Batches are the same at any number of ranks and workers, and after any interruption."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.shards import ShardError
from tests.training.corpora import decode, plain
from training.data.collate import collate, without_padding
from training.data.loader import Loader, Share, mixture_of
from training.data.mixture import EvaluationPlan, Mixture, TrainingPlan
from training.data.samples import Samples
from training.data.state import LoaderState, StateError


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> dict[int, Samples]:
    """One shard of 7 and one of 29 samples."""
    root = tmp_path_factory.mktemp("corpora")
    return {n: Samples.of(plain(root / f"c{n}", [n]), "train") for n in (7, 29)}


def loader(samples: Samples | list[Samples], batch: int, share=None, weights=None, seed=3):
    parts = samples if isinstance(samples, list) else [samples]
    return Loader(parts, decode, TrainingPlan(mixture_of(parts, weights, seed), batch), share)


def taken(made: Loader, steps: int) -> list[dict]:
    """So many batches, through as many passes as they take."""
    found: list[dict] = []
    while len(found) < steps:
        for batch in made:
            found.append(batch)
            if len(found) == steps:
                break
    return found


def merged(ranks: list[list[dict]]) -> list[list[tuple]]:
    """Rows of each step over all ranks in the order of the global batch."""
    return [
        sorted(row for batch in step for row in rows_of(batch)) for step in zip(*ranks, strict=True)
    ]


def rows_of(batch: dict) -> list[tuple]:
    lengths = batch["frames_length"].tolist()
    return [
        (position, corpus, key, draw, batch["frames"][n, : lengths[n], 0].tolist())
        for n, (position, corpus, key, draw) in enumerate(
            zip(
                batch["position"].tolist(),
                batch["corpus"].tolist(),
                batch["key"],
                batch["draw"].tolist(),
                strict=True,
            )
        )
    ]


@pytest.mark.parametrize("size", [7, 29])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_every_sample_once_an_epoch_at_any_number_of_ranks(corpora, size, world_size):
    steps, batch = 2 * size, 8
    ranks = [
        taken(loader(corpora[size], batch, Share(rank, world_size)), steps)
        for rank in range(world_size)
    ]
    rows = [row for step in merged(ranks) for row in step]
    assert [row[0] for row in rows] == list(range(steps * batch))
    for begin in range(0, len(rows), size):
        epoch = rows[begin : begin + size]
        assert sorted(row[2] for row in epoch) == [f"a-{n:04d}" for n in range(size)]
    alone = taken(loader(corpora[size], batch), steps)
    assert merged(ranks) == merged([alone])


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.slow
def test_workers_change_nothing(corpora, num_workers, world_size):
    """Seven samples in one shard, up to 24 workers."""
    ranks = []
    for rank in range(world_size):
        made = loader(corpora[7], 8, Share(rank, world_size, num_workers))
        ranks.append(taken(made, 7))
        made.close()
    assert merged(ranks) == merged([taken(loader(corpora[7], 8), 7)])


@given(
    total=st.integers(2, 30),
    stop=st.floats(0, 1, exclude_max=True),
    before=st.sampled_from([1, 2, 3, 8]),
    after=st.sampled_from([1, 2, 4]),
    is_mixture=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_a_resumed_run_is_the_uninterrupted_one(corpora, total, stop, before, after, is_mixture):
    parts = [corpora[7], corpora[29]] if is_mixture else [corpora[29]]
    make = partial(loader, parts, 8, weights=[3, 1] if is_mixture else None)
    done = int(stop * total)
    firsts = [make(Share(rank, before)) for rank in range(before)]
    begun = [taken(first, done) for first in firsts]
    states = [first.state_dict() for first in firsts]
    assert all(state == states[0] for state in states)
    kept = json.loads(json.dumps(states[0]))
    ended = []
    for rank in range(after):
        made = make(Share(rank, after))
        made.load_state_dict(kept)
        assert made.step == done
        ended.append(taken(made, total - done))
    uninterrupted = merged([taken(make(), total)])
    assert (merged(begun) if done else []) + merged(ended) == uninterrupted


@pytest.mark.parametrize("before, after", [(2, 1), (2, 4)])
@pytest.mark.slow
def test_two_ranks_with_workers_go_on_as_one_and_as_four(corpora, before, after):
    done = random.Random(before * after).randint(1, 6)
    first = loader(corpora[29], 8, Share(1, before, num_workers=2))
    begun = taken(first, done)  # the workers have read on
    state = first.state_dict()
    first.close()
    ended = []
    for rank in range(after):
        made = loader(corpora[29], 8, Share(rank, after))
        made.load_state_dict(state)
        ended.append(taken(made, 5))
    uninterrupted = merged([taken(loader(corpora[29], 8), done + 5)])
    assert merged(ended) == uninterrupted[done:]
    assert merged([begun]) == [
        [row for row in step if row[0] % before == 1] for step in uninterrupted[:done]
    ]


@pytest.mark.slow
def test_an_iterator_that_was_left_goes_on_with_the_next_batch(corpora):
    made = loader(corpora[29], 4, Share(num_workers=1))
    expected = merged([taken(loader(corpora[29], 4), 12)])
    found: list[dict] = []
    while len(found) < 12:
        found += islice(made, 2)  # the worker has read on
    assert merged([found]) == expected
    made.close()


def test_a_pass_ends_with_the_step_that_holds_its_last_row(corpora):
    made = loader(corpora[7], 3)
    for expected in (3, 2, 2, 3):
        assert len(made) == expected == len(list(made))
    assert made.step == 10
    small = loader(corpora[7], 24)  # more than three epochs a step
    assert len(small) == 1 and len(list(small)) == 1 and small.step == 1


def test_a_mixture_counts_to_the_sample(corpora):
    batches = taken(loader([corpora[7], corpora[29]], 8, weights=[3, 1]), 58)
    seen = Counter(row[1:3] for step in merged([batches]) for row in step)
    counts = Counter()
    for (corpus, _), count in seen.items():
        counts[corpus] += count
    assert counts == {0: 348, 1: 116}
    assert {n for (corpus, _), n in seen.items() if corpus == 1} == {4}  # 116 = 4 epochs of 29
    assert {n for (corpus, _), n in seen.items() if corpus == 0} == {49, 50}  # 348 = 49.7 of 7
    with pytest.raises(ValueError, match="by which weights c7, c29 are to be mixed"):
        loader([corpora[7], corpora[29]], 8)


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [7, 29])
def test_an_evaluation_counts_each_clip_once(corpora, size, world_size):
    plan = EvaluationPlan(mixture_of([corpora[size]]), global_batch=8)
    ranks = [Loader([corpora[size]], decode, plan, Share(r, world_size)) for r in range(world_size)]
    for _ in range(2):  # it begins anew each time
        passes = [list(made) for made in ranks]
        assert len({len(batches) for batches in passes}) == 1  # or ranks wait for one another
        counted = Counter(k for bs in passes for b in bs for k in without_padding(b)["key"])
        assert counted == {f"a-{n:04d}": 1 for n in range(size)}
        frames = sum(int(without_padding(b)["frames_mask"].sum()) for bs in passes for b in bs)
        assert frames == sum(range(1, size + 1))
        assert all((b["frames_length"] > 0).all() for bs in passes for b in bs)
    draws = [b["draw"].tolist() for b in list(ranks[0])]
    assert draws == [b["draw"].tolist() for b in passes[0]]


def test_an_evaluation_goes_on_where_it_was(corpora):
    plan = EvaluationPlan(mixture_of([corpora[29]]), global_batch=4)
    first = Loader([corpora[29]], decode, plan)
    begun = taken(first, 3)
    second = Loader([corpora[29]], decode, plan)
    second.load_state_dict(first.state_dict())
    seen = [key for b in (*begun, *second) for key in without_padding(b)["key"]]
    assert seen == [f"a-{n:04d}" for n in range(29)] and second.step == 0


def test_batches_have_lengths_and_masks(corpora):
    batch = next(iter(loader(corpora[7], 4)))
    lengths = batch["frames_length"]
    assert batch["frames"].shape == (4, int(lengths.max()), 2)
    assert batch["frames"].dtype == torch.uint8
    assert batch["frames_mask"].sum(1).tolist() == lengths.tolist()
    assert (batch["frames"][..., 0].bool() == batch["frames_mask"]).all()
    assert [int(t[2:]) + 1 for t in batch["text"]] == lengths.tolist()
    assert batch["draw"].dtype == torch.float64 and batch["is_padding"].dtype == torch.bool


def test_examples_that_do_not_fit_are_named():
    mixture = Mixture((4,), (1,), 0)
    made = partial(collate, [mixture.row(0), mixture.row(1)], ["k0", "k1"])
    with pytest.raises(ValueError, match=r"k1 was decoded to \['b'\], k0 to \['a'\]"):
        made([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="none of key"):
        made([{"key": 1}, {"key": 1}])
    with pytest.raises(ValueError, match=r"a of k1 is \[2, 3\], of k0 \[2, 4\]"):
        made([{"a": np.zeros((2, 4))}, {"a": np.zeros((2, 3))}])
    with pytest.raises(ValueError, match="a of k1 is float32, of k0 float64"):
        made([{"a": np.zeros(2)}, {"a": np.zeros(2, np.float32)}])


def test_torchs_own_chance_is_left_alone(corpora):
    """A model that is resumed draws as one that was not, though its loader was asked once more."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    taken(loader(corpora[7], 4), 5)
    assert torch.equal(torch.get_rng_state(), before)


def broken(sample, row):
    if sample.key == "a-0003":
        assert sample.landmarks is not None  # it has none
    return decode(sample, row)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.slow
def test_a_damaged_sample_is_named_whoever_reads_it(corpora, num_workers):
    plan = TrainingPlan(mixture_of([corpora[7]]), 7)
    made = Loader([corpora[7]], broken, plan, Share(num_workers=num_workers))
    with pytest.raises(ShardError, match=r"000000\.tar: a-0003 is damaged.*landmarks\.npy") as told:
        list(made)
    assert "Traceback" not in str(told.value) and made.step == 0
    made.close()


def test_another_batch_is_refused_with_the_way_out(corpora):
    first = loader(corpora[29], 8)
    begun = taken(first, 2)
    state = first.state_dict()
    other = loader(corpora[29], 12)
    with pytest.raises(StateError, match=r"steps of 8 rows.*not 12: give global_batch=8.*with_gl"):
        other.load_state_dict(state)
    other.load_state_dict(LoaderState.from_json(state).with_global_batch(12).to_json())
    assert other.step == 0
    ended = taken(other, 1 + 1)  # 16 + 24 rows: the first epoch ends after 13 of them
    keys = [row[2] for step in merged([begun]) + merged([ended]) for row in step]
    assert sorted(keys[:29]) == [f"a-{n:04d}" for n in range(29)]
    assert [row[0] for row in merged([ended])[0]] == list(range(16, 28))


def test_another_batch_begins_at_the_next_epoch_where_that_is_asked_for(corpora):
    first = loader(corpora[29], 8)
    taken(first, 2)
    state = first.state_dict()
    with pytest.raises(StateError) as told:
        loader(corpora[29], 12).load_state_dict(state)
    assert "with_global_batch(12, at_next_epoch=True).to_json() begins the next epo" in str(
        told.value
    )
    changed = LoaderState.from_json(state).with_global_batch(12, at_next_epoch=True).to_json()
    rows = {}
    for world_size in (1, 3):
        ranks = [loader(corpora[29], 12, Share(rank, world_size)) for rank in range(world_size)]
        for rank in ranks:
            rank.load_state_dict(json.loads(json.dumps(changed)))
        rows[world_size] = merged([taken(rank, 5) for rank in ranks])
    assert rows[1] == rows[3]
    found = [row for step in rows[1] for row in step]
    assert [row[0] for row in found] == list(range(29, 29 + 60))
    assert sorted(row[2] for row in found[:29]) == [f"a-{n:04d}" for n in range(29)]
    expected = [row for step in merged([taken(loader(corpora[29], 8), 12)]) for row in step]
    assert found == expected[29 : 29 + 60]  # the rows of the epochs, whatever the batch


def test_the_next_epoch_is_this_one_where_it_begins_and_a_mixtures_is_its_pass(corpora):
    at_border = loader(corpora[7], 7)
    taken(at_border, 2)
    begun = LoaderState.from_json(at_border.state_dict())
    assert begun.with_global_batch(5, at_next_epoch=True).next_row == 14
    assert begun.with_global_batch(5).next_row == 14
    both = loader([corpora[7], corpora[29]], 8, weights=[3, 1])
    taken(both, 5)  # 40 rows of passes of 36
    changed = LoaderState.from_json(both.state_dict()).with_global_batch(6, at_next_epoch=True)
    assert changed.next_row == 72 and changed.step == 0
    again = changed.with_global_batch(9, at_next_epoch=True)
    assert again.next_row == 72


def test_an_evaluation_begins_again_with_another_batch(corpora):
    first = Loader([corpora[29]], decode, EvaluationPlan(mixture_of([corpora[29]]), 4))
    taken(first, 3)
    state = LoaderState.from_json(first.state_dict()).with_global_batch(6, at_next_epoch=True)
    second = Loader([corpora[29]], decode, EvaluationPlan(mixture_of([corpora[29]]), 6))
    second.load_state_dict(state.to_json())
    seen = [key for b in second for key in without_padding(b)["key"]]
    assert seen == [f"a-{n:04d}" for n in range(29)]


def test_other_corpora_are_refused_by_name(corpora, tmp_path):
    both = loader([corpora[7], corpora[29]], 8, weights=[3, 1])
    state = both.state_dict()
    with pytest.raises(StateError, match="of the corpora c7, c29, not of c7: give those"):
        loader(corpora[7], 8).load_state_dict(state)
    with pytest.raises(StateError, match="corpus c29 had weight 1 and has 2 since"):
        loader([corpora[7], corpora[29]], 8, weights=[3, 2]).load_state_dict(state)
    grown = Samples.of(plain(tmp_path / "c29", [29, 1]), "train")
    with pytest.raises(StateError, match=r"c29 had 29 samples and has 30 .*leave the loader's st"):
        loader([corpora[7], grown], 8, weights=[3, 1]).load_state_dict(state)
    swapped = loader([corpora[29], corpora[7]], 8, weights=[3, 1])
    with pytest.raises(StateError, match="c29, which stands where c7 stood, had 7 samples"):
        swapped.load_state_dict(state)
    changed = Samples.of(plain(tmp_path / "x" / "c29", [29], word="b"), "train")
    with pytest.raises(StateError, match="c29 has other samples"):
        loader([corpora[7], changed], 8, weights=[3, 1]).load_state_dict(state)
    renamed = Samples.of(corpora[29].root, "train", name="new name")
    loader([corpora[7], renamed], 8, weights=[3, 1]).load_state_dict(state)


def test_shards_with_other_checksums_are_refused(tmp_path):
    root = plain(tmp_path / "c", [5])
    sums = root / "SHA256SUMS"
    sums.write_text("aa  train/000000.tar\n")
    state = loader(Samples.of(root, "train"), 2).state_dict()
    sums.write_text("bb  train/000000.tar\n")
    with pytest.raises(StateError, match="corpus c has shards with other checksums"):
        loader(Samples.of(root, "train"), 2).load_state_dict(state)
    sums.unlink()  # a copy without the list: nothing says that it is another one
    loader(Samples.of(root, "train"), 2).load_state_dict(state)


def test_another_seed_and_what_is_no_state_are_refused(corpora):
    made = loader(corpora[7], 4)
    state = made.state_dict()
    with pytest.raises(StateError, match="seed=3, not 5: give 3"):
        loader(corpora[7], 4, seed=5).load_state_dict(state)
    damages = [
        ({}, "version None"),
        (state | {"version": 2}, "version 2, not 1"),
        (state | {"corpora": [{"name": "c"}]}, "is damaged"),
        (state | {"corpora": 3}, "is damaged"),
        (state | {"step": -1}, "is damaged"),
        (state | {"step": "1"}, "is damaged"),
        (state | {"more": 1}, "is damaged"),
    ]
    for damaged, why in damages:
        with pytest.raises(StateError, match=why):
            made.load_state_dict(damaged)
    assert made.state_dict() == state


def test_ranks_without_rows_are_refused(corpora):
    with pytest.raises(ValueError, match="nothing for some of 8 ranks"):
        loader(corpora[7], 4, Share(0, 8))
    with pytest.raises(ValueError, match=r"rank 2 is not in 0 \.\. 1"):
        Share(2, 2)


KILLED = """
import sys
from pathlib import Path
import numpy as np
from training.data.loader import Loader, Share, mixture_of
from training.data.mixture import TrainingPlan
from training.data.samples import Samples

def decode(sample, row):
    return {"frames": np.zeros((100, 96, 96), np.uint8)}

if __name__ == "__main__":
    samples = [Samples.of(Path(sys.argv[1]), "train")]
    for _ in Loader(samples, decode, TrainingPlan(mixture_of(samples), 8), Share(num_workers=2)):
        print("read", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_and_no_shared_memory(corpora, tmp_path):
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "killed.py").write_text(KILLED)
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "killed.py"), str(corpora[29].root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert run.stdout is not None and run.stdout.readline() == b"read\n"
    workers = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert len(workers) >= 2
    until = time.monotonic() + 60
    while time.monotonic() < until and any(is_alive(worker) for worker in workers):
        time.sleep(0.2)
    assert not any(is_alive(worker) for worker in workers)
    pids = [run.pid, *(worker.pid for worker in workers)]
    left = [p.name for p in Path("/dev/shm").iterdir() if any(f"_{pid}_" in p.name for pid in pids)]
    assert not left


CTRL_C = KILLED.replace("import sys\n", "import signal, sys\n").replace(
    "    samples",
    "    signal.signal(signal.SIGINT, lambda *_: print('heard', flush=True))\n    samples",
)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals as Unix has them")
def test_workers_go_on_after_ctrl_c_which_all_processes_hear(corpora, tmp_path):
    """Also one that is still starting: the step in hand may want its batch."""
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "stopped.py").write_text(CTRL_C)
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "stopped.py"), str(corpora[29].root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
        text=True,
    )
    assert run.stdin is not None and run.stdout is not None
    until = time.monotonic() + 60
    while time.monotonic() < until and not psutil.Process(run.pid).children():
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)  # while the workers start
    said = [run.stdout.readline(), run.stdout.readline()]
    assert sorted(said) == ["heard\n", "read\n"]
    os.killpg(run.pid, signal.SIGINT)
    assert run.stdout.readline() == "heard\n"
    rest = run.communicate("\n" * 1000, timeout=60)[0]
    assert run.returncode == 0 and set(rest.split()) == {"read"}, rest


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children of nobody are Unix's")
def test_a_worker_that_begins_after_its_reader_is_gone_leaves():
    """As where a run is killed while its workers still start."""
    program = (
        "import os, time\n"
        "from training.data.threads import begin_worker\n"
        "begin_worker(os.getppid() + 1)\n"  # not its parent
        "time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(root)}, timeout=30
    )
    assert done.returncode == 1
