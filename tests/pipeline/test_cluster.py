"""Two Ray nodes that share nothing but an S3 server on 127.0.0.1; then another machine goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from manifests.corpus import Corpus
from manifests.ids import hash_id
from pipeline.corpus.verify import verify
from tests.talking import talking_files

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "s3://corpora/shared"


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    import s3fs

    system = s3fs.S3FileSystem(
        endpoint_url=f"http://{host}:{port}", key="test", secret="test", use_listings_cache=False
    )
    if not system.exists("corpora"):  # one store for all servers of a process
        system.mkdir("corpora")
    yield settings, system
    server.stop()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return talking_files(tmp_path_factory.mktemp("inputs"), 2.5)


@pytest.fixture(scope="module")
def cluster(server, tmp_path_factory):
    """Two Ray nodes, each with a folder of its own; yields the address and the folders' folder."""
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("nodes")
    nodes = Cluster()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            **server[0],
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
        }.items():
            patch.setenv(name, value)
        for name in ("one", "two"):  # what runs on a node inherits what the node began with
            patch.setenv("YLD_CACHE", str(folder / name))
            nodes.add_node(num_cpus=1, include_dashboard=False)
    yield nodes.address, folder
    nodes.shutdown()


def build(server, cache: Path, sources: list[Path], *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pipeline.cli",
            "build",
            *map(str, sources),
            "--out",
            ADDRESS,
            *words,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **server[0], "YLD_CACHE": str(cache)},
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stderr


def verified(server, cache: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "verify", ADDRESS],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, **server[0], "YLD_CACHE": str(cache)},
    ).stdout


def test_nodes_that_share_an_address_alone_build_what_one_machine_builds(
    server, cluster, inputs, tmp_path
):
    system = server[1]
    first = [inputs / f"talk{i}.mp4" for i in range(2)]
    address, nodes = cluster
    told = build(server, tmp_path / "driver", first, "--address", address)
    assert "2 node(s)" in told
    at_work = [n for n in ("one", "two") if list((nodes / n).rglob("shots/*.npz"))]
    assert at_work == ["one", "two"], told
    alone = tmp_path / "shared"
    subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "build", *map(str, first), "--out", str(alone)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=300,
    )
    there = system.cat_file("corpora/shared/SHA256SUMS").decode()
    assert there == (alone / "SHA256SUMS").read_text()

    # Another machine, which has nothing but the address, appends; nothing is done twice.
    old = set(system.find("corpora/shared/work/ledger"))
    stamps = {path: system.info(path)["LastModified"] for path in old}
    other = tmp_path / "other"
    told = build(server, other, [inputs / "talk2.mp4"])
    assert "built on by another machine" in told
    for path in old:
        assert system.info(path)["LastModified"] == stamps[path], f"{path} was done again"
    shards = [line for line in there.splitlines() if "shards/" in line]
    now = system.cat_file("corpora/shared/SHA256SUMS").decode().splitlines()
    assert set(shards) <= set(now) and len(now) > len(there.splitlines())
    folder = other / "corpora" / hash_id(ADDRESS)
    assert verify(folder) == []
    assert len({r["video_id"] for r in Corpus(folder).rows("samples")}) == 3

    assert verified(server, tmp_path / "reader") == "no problems\n"
    system.pipe_file("corpora/shared/dataset.json", b"{}")
    assert "dataset.json: has 2 bytes" in verified(server, tmp_path / "reader")
    assert "dataset.json: differs from SHA256SUMS" in verified(server, tmp_path / "late reader")

    # Back on the first machine: what the other one made is known.
    told = build(server, tmp_path / "driver", [inputs / "talk2.mp4"])
    assert "built on by another machine" in told


def test_a_run_elsewhere_keeps_others_out_until_its_claim_ends(server, inputs, tmp_path):
    system = server[1]
    claim = {
        "fence": 50,
        "token": "x",
        "host": "elsewhere",
        "process": 7,
        "until": time.time() + 60,
    }
    name = "corpora/shared/work/lease.json"
    before = system.cat_file(name) if system.exists(name) else None
    system.pipe_file(name, json.dumps(claim).encode())
    told = build(server, tmp_path, [inputs / "talk0.mp4"], code=3)
    assert "process 7 on elsewhere" in told and "its claim ends in" in told
    system.pipe_file(name, before) if before else system.rm_file(name)


def test_a_node_without_the_sources_is_named(server, cluster, inputs, tmp_path):
    """Both nodes are one machine here, so a source that no node has stands for it."""
    import ray

    from pipeline.run import cluster as ours
    from pipeline.storage.work_files import WorkFiles

    ours.start(cluster[0])
    try:
        with pytest.raises(ours.ClusterError, match=r"gone\.mp4 is not here"):
            ours.prove_nodes(WorkFiles(tmp_path / "work"), [str(tmp_path / "gone.mp4")])
    finally:
        ray.shutdown()
