"""Links keep within bounds: who is asked, how much comes, how long it takes, what is left."""

from __future__ import annotations

import dataclasses
import gzip
import http.client
import io
import socket
import subprocess
import time
import zlib
from pathlib import Path
from typing import ClassVar

import pytest

from manifests.media.container_size import promised_bytes
from manifests.network import bounded_http
from manifests.network.addresses import AllowedHosts, RefusedAddressError, host_in, is_public
from manifests.network.bounded_http import Bounds, TooLargeError, decoded
from manifests.records import Reject, Request
from manifests.weights import download as model_download
from pipeline.config import settings
from pipeline.config.build_config import load_config, stage_configs
from pipeline.demo.server import FolderHandler, serve
from stages.base import Context
from stages.sources.download import errors
from stages.sources.download.site import ffmpeg_path
from stages.sources.expand import Expand
from tests.stages.test_download import FAST, LocalLimiter, fetch, write_clip

METADATA = "http://169.254.169.254/latest/meta-data/x.mp4"


class Hostile(FolderHandler):
    """Answers by the name that is asked for; files of the folder as they are."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].split("?")[0]
        type(self).asked.append(name)
        answer = getattr(self, "give_" + name.rpartition(".")[0].replace("-", "_"), None)
        answer() if answer else super().do_GET()

    def start(self, length: int | None, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in ({"Content-Type": "video/mp4"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if length is None:
            self.close_connection = True

    def whole(self, body: bytes, **headers: str) -> None:
        self.start(len(body), **headers)
        self.wfile.write(body)

    def redirect(self, target: str) -> None:
        self.start(0, 302, Location=target)

    def give_gzip(self):
        self.whole(BOMBS["gzip"], Content_Encoding="gzip")

    def give_deflate(self):
        self.whole(BOMBS["deflate"], Content_Encoding="deflate")

    def give_twice(self):
        self.whole(BOMBS["twice"], Content_Encoding="gzip, gzip")

    def give_brotli(self):
        self.whole(BOMBS["brotli"], Content_Encoding="br")

    def give_unknown(self):
        self.whole(b"x" * 1000, Content_Encoding="rot13")

    def give_endless(self):
        self.start(None)
        while True:
            self.wfile.write(b"\x01" * 65536)

    def give_huge(self):
        self.start(10**12)
        self.wfile.write(b"\0\0\0\x18ftypisom" + b"\x01" * 65536)

    def give_drip(self):
        self.start(10**6)
        while True:
            self.wfile.write(b"\x01")
            time.sleep(0.05)

    def give_slow_headers(self):
        while True:
            self.wfile.write(b"H")
            time.sleep(0.05)

    def give_cut(self):
        body = (self.server.folder / "clip.mp4").read_bytes()
        self.start(len(body))
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def give_short_length(self):
        body = (self.server.folder / "clip.mp4").read_bytes()
        self.start(len(body) // 2)
        self.wfile.write(body)
        self.close_connection = True

    def give_page(self):
        self.whole(b"<!doctype html><title>Please sign in</title>" + b" " * 2000)

    def give_message(self):
        self.whole(b'{"error": "not today"}')

    def give_to_metadata(self):
        self.redirect(METADATA)

    def give_to_file(self):
        self.redirect("file:///etc/passwd")

    def give_to_ftp(self):
        self.redirect("ftp://127.0.0.1/x.mp4")

    def give_twice_to_metadata(self):
        self.redirect("to-metadata.mp4")

    def give_to_neighbour(self):
        self.redirect(f"http://127.0.0.2:{self.server.server_port}/clip.mp4")


def _gz(blocks: int) -> bytes:
    machine, block = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(1 << 20)
    return b"".join(machine.compress(block) for _ in range(blocks)) + machine.flush()


BOMBS = {"gzip": _gz(160), "deflate": zlib.compress(bytes(100 << 20), 9)}
BOMBS["twice"] = gzip.compress(BOMBS["gzip"])
try:
    import brotli

    BOMBS["brotli"] = brotli.compress(bytes(100 << 20), quality=3)
except ImportError:  # pragma: no cover
    brotli = None


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The address of a hostile server, and every address that a socket was sent to."""
    folder = tmp_path / "site"
    folder.mkdir()
    write_clip(folder / "clip.mp4")
    Hostile.asked = []
    places, connect = [], socket.socket.connect

    def noting(self, place):
        places.append(place[0])
        return connect(self, place)

    monkeypatch.setattr(socket.socket, "connect", noting, raising=False)
    with serve(folder, Hostile) as address:
        site = type("Site", (), {"address": address, "folder": folder, "places": places})
        yield site
    assert set(places) <= {"127.0.0.1"}, "nothing but the server was ever connected to"


def left(work: Path) -> list[str]:
    return sorted(str(p.relative_to(work)) for p in work.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", ["gzip", "deflate", "twice", "brotli"])
def test_a_body_that_inflates_without_end_is_a_reject(site, tmp_path, name):
    if name == "brotli" and bounded_http.brotli_machine() is None:
        pytest.skip("this brotli cannot stop in the middle, so br is not asked for")
    outcome = fetch(f"{site.address}/{name}.mp4", tmp_path / "w")
    assert outcome.reason == "too_large" and "inflate" in outcome.detail
    assert outcome.measured > outcome.threshold > 0
    assert left(tmp_path / "w") == []
    assert Hostile.asked.count(f"{name}.mp4") <= 2, "once to see what it is, once to fetch it"


@pytest.mark.parametrize("name", ["endless", "huge"])
def test_more_than_max_bytes_is_a_reject(site, tmp_path, name):
    config = dataclasses.replace(FAST, max_bytes=3_000_000)
    outcome = fetch(f"{site.address}/{name}.mp4", tmp_path / "w", config=config)
    assert outcome.reason == "too_large" and outcome.threshold == 3_000_000
    assert "download.max_bytes" in outcome.detail and left(tmp_path / "w") == []


@pytest.mark.parametrize("name", ["drip", "slow-headers"])
def test_a_peer_that_drips_is_cut(site, tmp_path, monkeypatch, name):
    monkeypatch.setattr(bounded_http, "WINDOW_S", 0.7)
    monkeypatch.setattr(bounded_http, "HEADERS_S", 0.7)
    config = dataclasses.replace(FAST, attempts=1, min_bytes_per_s=1000)
    with pytest.raises(errors.PassingError) as caught:
        fetch(f"{site.address}/{name}.mp4", tmp_path / "w", config=config)
    assert caught.value.reason == "too_slow" and left(tmp_path / "w") == []


def test_less_than_promised_is_truncated_and_tried_again(site, tmp_path):
    with pytest.raises(errors.PassingError) as caught:
        fetch(f"{site.address}/cut.mp4", tmp_path / "w")
    assert caught.value.reason == "truncated" and left(tmp_path / "w") == []


def test_a_length_smaller_than_the_file_is_truncated_too(site, tmp_path):
    outcome = fetch(f"{site.address}/short-length.mp4", tmp_path / "w")
    assert outcome.reason == "truncated" and outcome.measured < outcome.threshold
    assert outcome.threshold <= (site.folder / "clip.mp4").stat().st_size
    assert left(tmp_path / "w") == []


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".flv"])
def test_what_a_files_header_promises(tmp_path, suffix):
    clip = write_clip(tmp_path / "clip.mp4")
    code = ["-c:v", "libvpx", "-c:a", "libopus"] if suffix == ".webm" else ["-c", "copy"]
    whole = tmp_path / f"whole{suffix}"
    subprocess.run(
        [
            ffmpeg_path(),
            "-loglevel",
            "error",
            "-i",
            str(clip),
            *code,
            "-movflags",
            "faststart",
            str(whole),
        ]
        if suffix in (".mp4", ".mov")
        else [ffmpeg_path(), "-loglevel", "error", "-i", str(clip), *code, str(whole)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert promised_bytes(whole) is None
    size, part = whole.stat().st_size, tmp_path / f"part{suffix}"
    part.write_bytes(whole.read_bytes()[: size // 2])
    promised = promised_bytes(part)
    if suffix == ".ts":
        assert promised is None, "it has no such header"
    else:
        assert abs(promised - size) < 20_000 and promised > size // 2


def test_half_a_stream_is_not_taken_for_the_whole(site, tmp_path):
    subprocess.run(
        [
            ffmpeg_path(),
            "-loglevel",
            "error",
            "-i",
            str(site.folder / "clip.mp4"),
            "-g",
            "5",
            "-hls_time",
            "0.2",
            "-hls_list_size",
            "0",
            str(site.folder / "talk.m3u8"),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    segments = [s for s in (site.folder / "talk.m3u8").read_text().split() if s.endswith(".ts")]
    assert len(segments) > 2
    (site.folder / segments[-1]).unlink()
    assert fetch(f"{site.address}/talk.m3u8", tmp_path / "w").reason == "gone"


@pytest.mark.parametrize("name", ["page.mp4", "message.mp4"])
def test_text_is_no_media_whatever_it_is_called(site, tmp_path, name):
    outcome = fetch(f"{site.address}/{name}", tmp_path / "w")
    assert outcome.reason == "not_media" and "bytes of text" in outcome.detail
    assert left(tmp_path / "w") == []


@pytest.mark.parametrize(
    "name", ["to-metadata", "to-file", "to-ftp", "twice-to-metadata", "to-neighbour"]
)
def test_redirects_go_to_public_hosts_only(site, tmp_path, name):
    outcome = fetch(f"{site.address}/{name}.mp4", tmp_path / "w")
    assert outcome.reason == "address_refused", outcome
    assert Hostile.asked.count(f"{name}.mp4") == 1, "trying again changes nothing"
    assert left(tmp_path / "w") == []


PLAYLISTS = {
    "fragment": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://169.254.169.254/a.ts\n"
    "#EXT-X-ENDLIST\n",
    "key": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
    '#EXT-X-KEY:METHOD=AES-128,URI="http://10.0.0.1/key"\n'
    "#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n",
    "variant": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://[::1]:9/v.m3u8\n",
    "delegated": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
    '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="clip.mp4"\n'
    "#EXTINF:1,\nffmpeg-asked.ts\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_addresses_in_play_lists_are_judged_too(site, tmp_path, name):
    (site.folder / "list.m3u8").write_text(PLAYLISTS[name])
    try:
        outcome = fetch(
            f"{site.address}/list.m3u8",
            tmp_path / "w",
            config=dataclasses.replace(FAST, attempts=1),
        )
    except Exception:
        outcome = None
    if name == "delegated":
        assert outcome is None or isinstance(outcome, Reject)
        assert "ffmpeg-asked.ts" not in Hostile.asked, "ffmpeg fetches nothing by itself"
    else:
        assert outcome.reason == "address_refused", outcome


def test_a_link_to_an_inner_host_is_refused_with_the_way_to_allow_it(site, tmp_path):
    request = Request("r1", f"{site.address}/clip.mp4", "link", "test")
    context = Context(tmp_path, "k", rate_limiter=LocalLimiter())
    refused = Expand(stage_configs(load_config(None))["expand"]).process([request], context)[0]
    assert refused.reason == "address_refused" and site.places == []
    assert "127.0.0.1 is no public address" in refused.detail
    assert "--set download.allow_hosts=127.0.0.1" in refused.detail
    allowed = load_config(None, ("download.allow_hosts=127.0.0.1",))
    assert Expand(stage_configs(allowed)["expand"]).process([request], context)[0]
    with pytest.raises(settings.ConfigError, match="is no host"):
        load_config(None, ("download.allow_hosts=http://127.0.0.1:80/",))


def resolver(monkeypatch, *answers: str) -> None:
    given = iter(answers)
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(given), port))],
    )


def test_a_name_is_judged_by_what_it_is_connected_to(monkeypatch):
    """A name may point inwards, or do so from the second time on."""
    resolver(monkeypatch, "10.1.2.3", "93.184.216.34", "127.0.0.1")
    hosts = AllowedHosts()
    with pytest.raises(RefusedAddressError, match=r"inner\.example \(10\.1\.2\.3\)"):
        hosts.connect(("inner.example", 80))
    assert hosts.resolve("rebind.example", 80)
    with pytest.raises(RefusedAddressError):
        hosts.connect(("rebind.example", 80))


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "::ffff:127.0.0.1",
        "::1",
        "localhost",
    ],
)
def test_other_spellings_of_inner_addresses_are_refused(site, host):
    shown = f"[{host}]" if ":" in host else host
    with pytest.raises((RefusedAddressError, socket.gaierror)):
        AllowedHosts().connect((host_in(f"http://{shown}/"), 9))
    assert site.places == []


def words(text: str) -> list[str]:
    return text.split()


def test_which_addresses_are_public():
    inner = words("""127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1
        169.254.169.254
        100.64.0.1 0.0.0.0 0.1.2.3 192.0.0.8 198.18.0.1 203.0.113.5 224.0.0.1 240.0.0.1
        255.255.255.255 :: ::1 fe80::1 fc00::1 fd12:3456::1 fec0::1 ff02::1 2001:db8::1
        ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 2002:7f00:1::1 64:ff9b::10.0.0.1
        64:ff9b::a9fe:a9fe 64:ff9b:1::1 2001:0:7f00:1::1 fe80::1%1""")
    outer = words("""8.8.8.8 93.184.216.34 172.32.0.1 100.128.0.1 2606:4700::1111 ::ffff:8.8.8.8
        64:ff9b::808:808 2002:808:808::1""")
    assert [a for a in inner if is_public(a)] == []
    assert [a for a in outer if not is_public(a)] == []


def test_hosts_are_allowed_by_name_address_or_network():
    hosts = AllowedHosts(["Intranet.Example", "10.2.0.0/16", "[::1]"])
    assert hosts.allows("intranet.example", "10.9.9.9") and hosts.allows("x", "10.2.3.4")
    assert hosts.allows("x", "::1") and hosts.allows("x", "::ffff:10.2.3.4")
    assert not hosts.allows("x", "10.3.0.1") and not hosts.allows("127.0.0.1", "127.0.0.1")
    for bad in ("http://x", "a/b", "x:80", ""):
        with pytest.raises(ValueError, match="is no host"):
            AllowedHosts([bad])


def test_bodies_come_out_as_they_went_in():
    plain = bytes(range(256)) * 4000
    bare = zlib.compressobj(wbits=-15)
    for encodings, packed in (
        ([], plain),
        (["gzip"], gzip.compress(plain) + b"junk"),
        (["deflate"], zlib.compress(plain)),
        (["deflate"], bare.compress(plain) + bare.flush()),
        (["deflate", "gzip"], gzip.compress(zlib.compress(plain))),
    ):
        for size in (1, 1000, len(packed)):
            cut = [packed[i : i + size] for i in range(0, len(packed), size)][:200_000]
            if size > 1 or len(packed) < 20_000:
                assert b"".join(decoded(iter(cut), encodings)) == plain
    with pytest.raises(http.client.IncompleteRead):
        list(decoded(iter([gzip.compress(plain)[:-20]]), ["gzip"]))
    with pytest.raises(http.client.HTTPException, match="3 content encodings"):
        list(decoded(iter([b""]), ["gzip"] * 3))


def test_a_proxy_may_be_inside_and_what_is_asked_through_it_may_not(site, tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, site.address)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    config = dataclasses.replace(FAST, allow_hosts=[])
    for host in ("10.0.0.1", "169.254.169.254", "[::1]", "0x7f.1"):
        outcome = fetch(f"http://{host}/clip.mp4", tmp_path / "w", config=config)
        assert outcome.reason == "address_refused", host
    assert Hostile.asked == []
    got = fetch("http://93.184.216.34/clip.mp4", tmp_path / "w", config=config)[0]
    assert got.num_bytes == (site.folder / "clip.mp4").stat().st_size


def test_weight_files_keep_to_their_host_and_to_public_ones(site, tmp_path):
    part = tmp_path / "part"
    model_download.download(f"{site.address}/clip.mp4", part)
    assert part.read_bytes() == (site.folder / "clip.mp4").read_bytes()
    for name in ("to-metadata", "to-neighbour", "to-file"):
        with pytest.raises(model_download.DownloadError, match="not asked"):
            model_download.download(f"{site.address}/{name}.mp4", tmp_path / name)
    assert Hostile.asked.count("to-metadata.mp4") == 1


def test_a_page_has_a_bound_of_its_own(monkeypatch):
    monkeypatch.setattr(bounded_http, "MAX_PAGE_BYTES", 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    pair = type("Pair", (), {"makefile": lambda *_: io.BytesIO(head)})
    response = http.client.HTTPResponse(pair())
    response.begin()
    with pytest.raises(TooLargeError, match="a page of more than"):
        bounded_http.Body(response, Bounds()).read()
