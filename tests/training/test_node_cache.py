"""The node's cache: bounded for all processes together, whole files, and no one else's."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from training.data import node_cache
from training.data.node_cache import HEAD_BYTES, LOCK, MAGIC, NodeCache


def files(cache: NodeCache) -> list[Path]:
    return [p for p in cache.folder.rglob("*") if p.is_file() and p.name != LOCK]


def size(cache: NodeCache) -> int:
    return sum(path.stat().st_size for path in files(cache))


def of(folder: Path, max_bytes: int) -> NodeCache:
    return NodeCache.at(folder, max_bytes / 1e9)


def test_what_was_put_is_there_and_nothing_else(tmp_path):
    cache = of(tmp_path / "a" / "b", 10_000)
    assert cache.get("x") is None
    cache.put("x", b"content")
    cache.put("empty", b"")
    assert cache.get("x") == b"content" and cache.get("empty") == b"" and cache.get("y") is None
    cache.put("x", b"other")
    assert cache.get("x") == b"other"
    assert int((cache.folder / LOCK).read_bytes()) == size(cache)


def test_the_least_recently_used_goes(tmp_path):
    cache = of(tmp_path, 10 * (1000 + HEAD_BYTES))
    for number in range(10):
        cache.put(str(number), bytes(1000))
        time.sleep(0.01)
    assert all(cache.get(str(number)) is not None for number in (9, 0, 1))
    for number in range(10, 15):
        cache.put(str(number), bytes(1000))
        assert size(cache) <= cache.max_bytes
    kept = {number for number in range(15) if cache.get(str(number)) is not None}
    assert {0, 1, 14} <= kept and not {2, 3} & kept
    cache.put("large", bytes(20_000))
    assert cache.get("large") is None and size(cache) <= cache.max_bytes


def test_nothing_of_others_is_removed(tmp_path):
    name = "0" * 62
    foreign = [tmp_path / "mine.txt", tmp_path / "ab" / name, tmp_path / "ab" / "notes"]
    (tmp_path / "ab").mkdir()
    for path in foreign:
        path.write_bytes(b"x" * 3000)
    (tmp_path / "ab" / ("1" * 62)).symlink_to(foreign[0])
    cache = of(tmp_path, 2000)
    for number in range(20):
        cache.put(str(number), bytes(500))
    assert all(path.read_bytes() == b"x" * 3000 for path in foreign)
    assert (tmp_path / "ab" / ("1" * 62)).is_symlink()


def test_a_file_that_was_cut_or_changed_counts_as_none(tmp_path):
    cache = of(tmp_path, 10_000)
    cache.put("x", b"content")
    (path,) = files(cache)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", whole[:-1] + b"X"):
        path.write_bytes(damaged)
        assert cache.get("x") is None
    path.write_bytes(whole[:-1] + b"X")
    cache.put("x", b"content")
    assert cache.get("x") == b"content"


def test_what_a_dead_process_left_is_cleared_and_counted(tmp_path):
    cache = of(tmp_path, 3000)
    cache.put("x", bytes(1000))
    (path,) = files(cache)
    begun = path.with_name(f"{path.name}.begun")
    begun.write_bytes(MAGIC + bytes(900))
    (tmp_path / LOCK).write_bytes(b"nonsense")
    cache.put("y", bytes(1000))
    assert not begun.exists() and cache.get("x") is not None and cache.get("y") is not None
    assert int((tmp_path / LOCK).read_bytes()) == size(cache)


def work(folder: Path, seed: int) -> None:
    cache = NodeCache(folder, 50_000)
    for number in range(200):
        key = str((seed * 7 + number) % 120)
        content = key.encode() * 300
        assert cache.get(key) in (None, content)
        cache.put(key, content)


def test_processes_share_one_bound(tmp_path):
    cache = NodeCache.at(tmp_path, 50_000 / 1e9)
    context = get_context("fork")
    workers = [context.Process(target=work, args=(tmp_path, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        total = 0
        for path in cache.folder.rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() and path.name != LOCK else 0
            except FileNotFoundError:
                continue  # removed since it was listed
        assert total <= 2 * cache.max_bytes  # files that went while these were added up count too
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert 0 < size(cache) <= cache.max_bytes
    assert int((tmp_path / LOCK).read_bytes()) == size(cache)


def put_for_ever(folder: Path) -> None:
    number = 0
    while True:
        NodeCache(folder, 300_000).put(str(number % 50), bytes([number % 256]) * 20_000)
        number += 1


def test_a_killed_process_leaves_whole_files_and_the_bound(tmp_path):
    cache = NodeCache.at(tmp_path, 300_000 / 1e9)
    for attempt in range(5):
        process = get_context("fork").Process(target=put_for_ever, args=(tmp_path,))
        process.start()
        until = time.monotonic() + 30
        while not files(cache) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05 + 0.013 * attempt)
        process.kill()
        process.join()
        assert size(cache) <= cache.max_bytes
        for number in range(50):
            content = cache.get(str(number))
            assert content is None or content == content[:1] * 20_000
        cache.put("alive", b"yes")  # nobody holds the lock
        assert cache.get("alive") == b"yes"
    for number in range(100):
        cache.put(f"more {number}", bytes(20_000))
    assert not list(tmp_path.rglob("*.begun"))
    assert int((tmp_path / LOCK).read_bytes()) == size(cache) <= cache.max_bytes


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"nothing can be kept in the cache: .*file.*cache_dir"):
        NodeCache.at(tmp_path / "file", 1)
    with pytest.raises(ValueError, match="a cache of 0 GB keeps nothing"):
        NodeCache.at(tmp_path, 0)


def test_a_full_disk_warns_and_stops_nothing(tmp_path, monkeypatch):
    cache = of(tmp_path, 10_000)

    def full(*words):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(node_cache.os, "replace", full)
    with pytest.warns(UserWarning, match="nothing more is kept in .*the disk is full"):
        cache.put("x", b"content")
    assert cache.get("x") is None and not files(cache)
    monkeypatch.undo()
    assert os.listdir(tmp_path)
