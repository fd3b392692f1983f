"""Playlists, live streams, captions and cookies, with the real yt-dlp on loopback."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest

from manifests.records import Clip, Reject, Request
from pipeline.config.build_config import load_config, stage_configs
from pipeline.demo.server import FolderHandler, serve
from stages.base import Context
from stages.sources.download.formats import sound_facts, spoken_captions
from stages.sources.download.site import ffmpeg_path
from stages.sources.expand import Expand, ExpandConfig
from stages.sources.probe import Probe, ProbeConfig
from stages.text.clip_text import text_of
from stages.text.transcripts import transcript_of
from tests.stages.test_download import FAST, LocalLimiter, fetch, write_clip

FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>talks</title>{items}
</channel></rss>"""


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def expand(address: str, work, **config):
    request = Request("r1", address, "link", "test")
    stage = Expand(ExpandConfig(**{"allow_hosts": ["127.0.0.1"]} | config))
    return stage.process([request], Context(work, "k", rate_limiter=LocalLimiter()))[0]


def feed(site, address: str, count: int) -> None:
    items = "".join(
        f"<item><title>talk {i}</title><link>{address}/talk{i}.mp4</link>"
        f"<enclosure url='{address}/talk{i}.mp4' type='video/mp4' length='1'/></item>"
        for i in range(count)
    )
    (site / "feed.rss").write_text(FEED.format(items=items))


def test_a_playlist_expands_and_each_video_is_fetched(site, tmp_path):
    for i in range(3):
        write_clip(site / f"talk{i}.mp4", seed=i)
    with serve(site) as address:
        feed(site, address, 3)
        videos = expand(f"{address}/feed.rss", tmp_path)
        assert [v.address for v in videos] == [f"{address}/talk{i}.mp4" for i in range(3)]
        assert len({v.source_id for v in videos}) == 3
        assert [v.title for v in videos] == ["talk 0", "talk 1", "talk 2"]
        assert len(expand(f"{address}/feed.rss", tmp_path, max_playlist_videos=2)) == 2
        got = fetch(videos[1].address, tmp_path / "work")[0]
        assert (tmp_path / "work" / got.media_path).read_bytes() == (
            site / "talk1.mp4"
        ).read_bytes()


def test_an_empty_playlist_is_a_reject(site, tmp_path):
    with serve(site) as address:
        feed(site, address, 0)
        assert expand(f"{address}/feed.rss", tmp_path).reason == "empty_playlist"


def hls(site, is_live: bool) -> None:
    """A stream of segments; a live one has no end in its list."""
    clip = write_clip(site / "long.mp4", 4.0)
    subprocess.run(
        [
            ffmpeg_path(),
            "-loglevel",
            "error",
            "-i",
            str(clip),
            "-c",
            "copy",
            "-hls_time",
            "1",
            "-hls_list_size",
            "0",
            str(site / "stream.m3u8"),
        ],
        check=True,
    )
    text = (site / "stream.m3u8").read_text()
    assert "#EXT-X-ENDLIST" in text
    if is_live:
        (site / "stream.m3u8").write_text(text.replace("#EXT-X-ENDLIST", ""))


def test_a_live_stream_is_a_reject_before_anything_is_fetched(site, tmp_path):
    hls(site, is_live=True)
    with serve(site) as address:
        outcome = fetch(f"{address}/stream.m3u8", tmp_path / "work")
        assert isinstance(outcome, Reject) and outcome.reason == "live"
        assert not list((tmp_path / "work").rglob("media*.mp4"))


def test_an_ended_stream_is_fetched(site, tmp_path):
    hls(site, is_live=False)
    with serve(site) as address:
        got = fetch(f"{address}/stream.m3u8", tmp_path / "work")[0]
        assert got.num_bytes > 1000


def test_captions_are_kept_with_the_source(site, tmp_path):
    write_clip(site / "talk.mp4")
    (site / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:00.900\nbin blue at f two now\n")
    (site / "page.html").write_text(
        "<html><head><title>a talk</title></head><body><video>"
        "<source src='talk.mp4' type='video/mp4'>"
        "<track kind='subtitles' src='talk.vtt' srclang='en'></video></body></html>"
    )
    with serve(site) as address:
        got = fetch(f"{address}/page.html", tmp_path / "work")[0]
        assert len(got.caption_paths) == 1 and got.caption_paths[0].endswith(".en.vtt")
        text = (tmp_path / "work" / got.caption_paths[0]).read_text()
        assert "bin blue at f two now" in text
        (site / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:00.900\nlay red\n")
        again = fetch(f"{address}/page.html", tmp_path / "again")[0]
        assert again.caption_paths != got.caption_paths, "other captions have another name"
        without = fetch(
            f"{address}/page.html",
            tmp_path / "other",
            config=dataclasses.replace(FAST, captions=False),
        )[0]
        assert without.caption_paths == []


def test_fetched_captions_become_the_text_of_a_clip(site, tmp_path):
    write_clip(site / "talk.mp4", 2.0)
    (site / "talk.vtt").write_text(
        "WEBVTT\n\n00:00.200 --> 00:01.500\nbin<00:00.600><c> blue</c><00:00.900><c> now</c>\n"
    )
    (site / "page.html").write_text(
        "<html><head><title>a talk</title></head><body><video>"
        "<source src='talk.mp4' type='video/mp4'>"
        "<track kind='subtitles' src='talk.vtt' srclang='en'></video></body></html>"
    )
    with serve(site) as address:
        got = fetch(f"{address}/page.html", tmp_path)[0]
    video = Probe(ProbeConfig()).process([got], Context(tmp_path))[0][0]
    found, _ = transcript_of([got], video, tmp_path)
    assert (found.text_source, found.path) == ("captions", got.caption_paths[0])
    clip = Clip(
        **{f.name: None for f in dataclasses.fields(Clip)}
        | {"num_frames": 25, "audio_start_sample": 8000}
    )
    assert text_of(clip, video, found).words == [
        {"word": "blue", "start_s": 0.1, "end_s": 0.4},
        {"word": "now", "start_s": 0.4, "end_s": 1.0},
    ]


def test_machine_made_captions_are_told_apart_and_only_those_of_what_is_said():
    offered = {tag: [{"url": "x", "ext": "vtt"}] for tag in ("de", "en", "en-orig", "fr")}
    assert list(spoken_captions({"automatic_captions": offered})) == ["en-orig"]
    del offered["en-orig"]
    assert list(spoken_captions({"automatic_captions": offered, "language": "fr-CA"})) == ["fr"]
    assert spoken_captions({"automatic_captions": offered}) == offered
    assert spoken_captions({}) == {}


class AsksForCookie(FolderHandler):
    """Serves only who shows the cookie."""

    def do_GET(self):
        if "pass=open" not in (self.headers.get("Cookie") or ""):
            self.send_error(403)
            return
        super().do_GET()

    def do_HEAD(self):
        self.do_GET()


def test_cookies_are_sent_only_when_asked_for(site, tmp_path):
    write_clip(site / "talk.mp4")
    jar = tmp_path / "cookies.txt"
    jar.write_text(
        "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tpass\topen\n"
    )
    with serve(site, AsksForCookie) as address:
        with pytest.raises(Exception, match="403"):
            fetch(f"{address}/talk.mp4", tmp_path / "a")
        with pytest.raises(Exception, match="403"):
            expand(f"{address}/talk.mp4", tmp_path)
        configs = stage_configs(
            load_config(None, (f"download.cookies_file={jar}", "download.allow_hosts=127.0.0.1"))
        )
        listed = expand(f"{address}/talk.mp4", tmp_path, **dataclasses.asdict(configs["expand"]))
        assert [v.address for v in listed] == [f"{address}/talk.mp4"]
        config = dataclasses.replace(FAST, cookies_file=str(jar))
        assert fetch(f"{address}/talk.mp4", tmp_path / "b", config=config)[0].num_bytes > 0


def spoken_as(language: str, preference: int, note: str = "") -> dict:
    return {
        "format_id": f"a-{language}-{note}",
        "format_note": note,
        "language": language,
        "language_preference": preference,
        "acodec": "opus",
        "vcodec": "none",
    }


def test_what_a_site_says_of_language_and_dubbing():
    formats = [
        spoken_as("en", 10, "English original (default)"),
        spoken_as("de", -1, "German dubbed-auto"),
        spoken_as("fr", -1, "French"),
        {"format_id": "v", "vcodec": "avc1", "acodec": "none", "language": "xx"},
    ]
    said = {
        kept["language"]: sound_facts({"formats": formats, "requested_formats": [formats[3], kept]})
        for kept in formats[:3]
    }
    assert said["en"]["sound_languages"] == ["de", "en", "fr"]
    assert {s["original_language"] for s in said.values()} == {"en"}
    assert {k: s["sound_kind"] for k, s in said.items()} == {
        "en": "original",
        "de": "dubbed",
        "fr": "dubbed",
    }
    drc = spoken_as("en", 10, "original, DRC") | {"format_id": "251-drc"}
    assert sound_facts({"formats": [drc], **drc})["sound_kind"] == "compressed"
    described = spoken_as("en", -10, "English descriptive")
    told = sound_facts({"formats": [formats[0], described], "requested_formats": [described]})
    assert (told["original_language"], told["sound_kind"]) == ("en", "described")


def test_of_what_a_site_does_not_say_nothing_is_made_up():
    nothing = {"original_language": None, "sound_kind": None, "sound_languages": []}
    assert sound_facts({}) == sound_facts({"formats": [{"format_id": "0"}]}) == nothing
    both = [spoken_as("ko", -1), spoken_as("en", -1)]
    told = sound_facts({"formats": both, "requested_formats": both[:1]})
    assert told == nothing | {"sound_languages": ["en", "ko"]}
    captions = {"automatic_captions": {"pt-orig": [], "en": []}}
    assert sound_facts(captions)["original_language"] == "pt"
    alone = sound_facts({"formats": both[:1], "requested_formats": both[:1]})
    assert (alone["original_language"], alone["sound_kind"]) == ("ko", None)
