"""Weight files from a loopback server: resumed, checked, fetched once, explained."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from manifests.weights import cache as model_files
from manifests.weights import download as model_download
from manifests.weights.cache import ModelFile, ModelFileError, fetch
from manifests.weights.registry import Archive

BODY = np.random.default_rng(0).bytes(300_000)
PORTAL = b"<html>Please sign in</html>"


class Server(ThreadingHTTPServer):
    """Serves `body`; `cuts` are byte counts after which the next answers break off."""

    body, tag, modified, ranges, status, sized = BODY, '"1"', None, True, 200, True
    cuts: tuple[int, ...] = ()

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.on_request = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server: Server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.on_request:
            server.on_request(len(server.asked))
        start = 0
        if asked and server.ranges and self.headers["If-Range"] in (server.tag, server.modified):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if server.status != 200:
            self.send_error(server.status)
            return
        rest = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            total = len(server.body)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if server.sized:
            self.send_header("Content-Length", str(len(rest)))
        if server.tag:
            self.send_header("ETag", server.tag)
        if server.modified:
            self.send_header("Last-Modified", server.modified)
        self.end_headers()
        if server.cuts:
            rest, server.cuts = rest[: server.cuts[0]], server.cuts[1:]
        self.wfile.write(rest)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "YLD_MODEL_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(model_download, "WAIT_S", 0.0)
    return tmp_path / "cache"


def entry(server: Server, pinned: bool = True) -> ModelFile:
    file = ModelFile(
        "a.model", server.url, "MIT", "the second opinion", "first opinions", min_size=1000
    )
    if not pinned:
        return file
    return dataclasses.replace(file, size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize("pinned", [True, False])
def test_fetched_once_and_kept(server, cache, pinned):
    path = fetch(entry(server, pinned))
    assert path == cache / "a.model" and path.read_bytes() == BODY
    assert fetch(entry(server, pinned)) == path and server.asked == [None]
    kept = {"a.model", ".a.model.lock"} | (set() if pinned else {"a.model.json"})
    assert set(os.listdir(cache)) == kept
    if not pinned:
        record = json.loads((cache / "a.model.json").read_text())
        assert record["sha256"] == hashlib.sha256(BODY).hexdigest()
        assert record["url"] == server.url and record["size"] == len(BODY)


@pytest.mark.parametrize(
    "tag, modified",
    [
        ('"1"', None),
        ('W/"1"', "Wed, 21 Oct 2015 07:28:00 GMT"),
    ],
)
def test_broken_connections_are_taken_up_again(server, cache, tag, modified):
    server.tag, server.modified = tag, modified
    server.cuts = (100_000, 50_000)
    assert fetch(entry(server)).read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_too(server, cache):
    server.cuts = (70_000, 0, 0, 0, 0)
    with pytest.raises(ModelFileError, match="broken off at 70000 of 300000 bytes, 5 times"):
        fetch(entry(server))
    assert not (cache / "a.model").exists()
    server.asked.clear()
    assert fetch(entry(server)).read_bytes() == BODY
    assert server.asked == ["bytes=70000-"]


@pytest.mark.parametrize("change", ["tag", "no_validator", "no_ranges"])
def test_a_server_that_cannot_resume_begins_again(server, cache, change):
    """A file that changed in between is never joined to the beginning of the old one."""
    old = bytes(len(BODY))
    server.body, server.cuts = old, (100_000,)
    if change == "no_validator":
        server.tag = None

    def second(number: int) -> None:
        if number == 2:
            server.body = BODY
            server.ranges = change != "no_ranges"
            server.tag = '"2"' if change == "tag" else server.tag

    server.on_request = second
    assert fetch(entry(server, pinned=False)).read_bytes() == BODY
    assert server.asked == [None, None if change == "no_validator" else "bytes=100000-"]


def test_two_versions_under_one_tag_are_noticed(server, cache):
    server.body, server.cuts = bytes(len(BODY)), (100_000,)
    server.on_request = lambda number: setattr(server, "body", BODY if number > 1 else server.body)
    assert fetch(entry(server)).read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", None]


def test_a_wrong_file_is_refused(server, cache):
    server.body = BODY[:-1] + b"?"
    with pytest.raises(ModelFileError, match=f"what {server.url} gives has the SHA-256"):
        fetch(entry(server))
    server.body = PORTAL
    with pytest.raises(ModelFileError, match="27 bytes instead of 300000"):
        fetch(entry(server))
    with pytest.raises(ModelFileError, match="27 bytes, fewer than the 1000 of its weights"):
        fetch(entry(server, pinned=False))
    server.sized = False
    with pytest.raises(ModelFileError, match="how long the file is"):
        fetch(entry(server))
    assert [n for n in os.listdir(cache) if not n.startswith(".")] == []


def test_trust_on_first_use_is_not_trust_on_second(server, cache):
    path = fetch(entry(server, pinned=False))
    path.unlink()
    server.body = bytes(len(BODY))
    with pytest.raises(ModelFileError, match=r"one first seen \(to trust the new one, delete"):
        fetch(entry(server, pinned=False))
    (cache / "a.model.json").unlink()
    assert fetch(entry(server, pinned=False)).read_bytes() == server.body


def test_a_spoiled_copy_is_replaced(server, cache):
    fetch(entry(server)).write_bytes(b"x" * len(BODY))
    assert fetch(entry(server)).read_bytes() == BODY and len(server.asked) == 2


def test_a_mirror_stands_in_for_the_network(server, cache, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("YLD_MODEL_MIRROR", str(mirror))
    (mirror / "a.model").write_bytes(PORTAL)
    with pytest.raises(ModelFileError, match="27 bytes instead of 300000; downloads are not"):
        fetch(entry(server), may_download=False)
    (mirror / "a.model").write_bytes(BODY)
    assert fetch(entry(server), may_download=False).read_bytes() == BODY
    assert server.asked == []


def test_a_file_put_there_by_hand_counts(server, cache):
    cache.mkdir()
    (cache / "a.model").write_bytes(BODY)
    assert fetch(entry(server, pinned=False), may_download=False) == cache / "a.model"
    assert (cache / "a.model.json").exists() and server.asked == []


@pytest.mark.parametrize("status, asked", [(404, 1), (503, 5), (429, 5)])
def test_errors_say_what_to_do(server, cache, status, asked):
    server.status = status
    with pytest.raises(ModelFileError) as caught:
        fetch(entry(server))
    text = str(caught.value)
    for part in (
        "a.model",
        server.url,
        f"HTTP {status}",
        str(cache),
        "YLD_MODEL_MIRROR",
        "the second opinion",
        "first opinions",
    ):
        assert part in text
    assert len(server.asked) == asked


def test_without_a_network(server, cache):
    file = entry(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(ModelFileError, match="refused"):
        fetch(file)


def _fetch_into(queue, file: ModelFile) -> None:
    queue.put(hashlib.sha256(fetch(file).read_bytes()).hexdigest())


@pytest.mark.parametrize("pinned", [True, False])
def test_workers_at_once_fetch_once(server, cache, pinned):
    server.on_request = lambda _: time.sleep(3)  # long enough for all to want it
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=_fetch_into, args=(queue, entry(server, pinned))) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    found = {queue.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join(60)
    assert found == {hashlib.sha256(BODY).hexdigest()} and server.asked == [None]


def test_a_member_of_an_archive_is_taken_out_and_checked(server, cache):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/weights.onnx", BODY)
    server.body = packed.getvalue()
    file = ModelFile(
        "weights.onnx",
        server.url,
        "MIT",
        "tests",
        "nothing",
        len(BODY),
        hashlib.sha256(BODY).hexdigest(),
        archive=Archive(
            "x/weights.onnx", len(server.body), hashlib.sha256(server.body).hexdigest()
        ),
    )
    server.cuts = (100_000,)
    assert fetch(file).read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-"]
    assert [p.name for p in cache.iterdir() if "part" in p.name] == []
    other = dataclasses.replace(
        file, name="other.onnx", archive=dataclasses.replace(file.archive, member="y/weights.onnx")
    )
    with pytest.raises(ModelFileError, match=r"does not hold y/weights\.onnx"):
        fetch(other)
    changed = dataclasses.replace(
        file, name="changed.onnx", archive=dataclasses.replace(file.archive, sha256="0" * 64)
    )
    with pytest.raises(ModelFileError, match="SHA-256"):
        fetch(changed)


def test_non_commercial_files_are_downloaded_only_with_the_users_word(
    server, cache, tmp_path, monkeypatch
):
    monkeypatch.delenv("YLD_NON_COMMERCIAL", raising=False)
    file = entry(server)
    bound = dataclasses.replace(file, non_commercial=True, licence="research only")
    with pytest.raises(
        ModelFileError,
        match=r"commercial use \(research only\).*"
        "--non-commercial",
    ):
        fetch(bound)
    assert server.asked == []
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / file.name).write_bytes(BODY)
    monkeypatch.setenv("YLD_MODEL_MIRROR", str(mirror))
    assert fetch(bound).read_bytes() == BODY and server.asked == []  # it is the user's copy
    monkeypatch.delenv("YLD_MODEL_MIRROR")
    (cache / file.name).unlink()
    monkeypatch.setenv("YLD_NON_COMMERCIAL", "1")
    assert fetch(bound).read_bytes() == BODY and server.asked == [None]


def test_the_registry_is_whole():
    for name, file in model_files.REGISTRY.items():
        assert name == file.name and file.url.startswith("https://")
        assert file.licence and file.purpose and file.without
        assert file.size is not None or file.min_size > 1
        assert file.sha256 is None or len(file.sha256) == 64
    with pytest.raises(KeyError):
        fetch("unknown.model")


def test_released_files_are_those_of_the_registry(cache, monkeypatch):
    from tests.stages.test_light_asd import SHARED

    monkeypatch.setenv("YLD_MODEL_MIRROR", str(SHARED / "models"))
    for name in (
        "light_asd_ava.model",
        "light_asd_talkset.model",
        "scrfd_2.5g_kps.onnx",
        "scrfd_500m_kps.onnx",
        "retinaface_mobilenet0.25_Final.pth",
        "blaze_face_short_range.tflite",
        "face_landmarker_v2_with_blendshapes.task",
        "mobilefacenet_foamliu.onnx",
    ):
        if not (SHARED / "models" / name).is_file():
            pytest.skip(f"{name} is not here; set YLD_SHARED to the shared folder")
        assert fetch(name, may_download=False) == cache / name


def test_a_file_that_ships_is_neither_fetched_nor_copied(cache, tmp_path, monkeypatch):
    for file in model_files.SHIPPED.glob("*.onnx"):
        assert fetch(file.name, may_download=False) == file
        assert model_files.state_of(model_files.REGISTRY[file.name]) == ("here", str(file))
        assert not cache.exists() or not any(cache.iterdir())
        monkeypatch.setattr(model_files, "SHIPPED", tmp_path)
        (tmp_path / file.name).write_bytes(b"another")
        with pytest.raises(ModelFileError, match="part of yld: install it again"):
            fetch(file.name)
        assert model_files.state_of(model_files.REGISTRY[file.name])[0] == "damaged"
        break
    else:
        pytest.fail("no file ships")
