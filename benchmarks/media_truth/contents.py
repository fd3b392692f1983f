"""Where pictures and sound begin, what is missing between, and what they are. A row a file."""

from __future__ import annotations

from fractions import Fraction

from benchmarks.media_truth.compare import Expected
from benchmarks.media_truth.patches import remux
from benchmarks.media_truth.recipe import B_FRAMES, Recipe, Shift, Sound
from benchmarks.media_truth.table import (
    MILLISECONDS,
    REALTIME,
    Case,
    avi,
    flv,
    mkv,
    mov,
    mp4,
    ts,
    webm,
)

SURROUND = Sound("aac", gains=(0.5, 0.5, 0.5, 0.0, 0.3, 0.3), layout="5.1")
LATE, EARLY = 0.85, -0.4

FINE_EDITS = {"movie_timescale": "48000"}
"""Else libavformat rounds edit lists to milliseconds."""


def late(recipe, audio_s: float = LATE, options: dict | None = None, **changes) -> Recipe:
    given = {} if options is None else {"options": options}
    return recipe(sounds=(Sound(start_s=audio_s, **changes),), **given)


STARTS = [
    Case("late sound, mp4", late(mp4, options=FINE_EDITS), fast=True),
    Case("late sound, mov pcm", late(mov, codec="pcm_s16le", rate_hz=48000, options=FINE_EDITS)),
    Case("late sound, mkv", late(mkv), MILLISECONDS, fast=True),
    Case("late sound, webm", late(webm, codec="libopus"), MILLISECONDS),
    Case("late sound, ts", late(ts), fast=True),
    Case("late sound, flv", late(flv, rate_hz=44100), MILLISECONDS, fast=True),
    Case(
        "late sound, fragmented mp4",
        mp4(
            sounds=(Sound(start_s=LATE),),
            options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
        ),
    ),
    Case("early sound, mp4", mp4(start_s=LATE), fast=True),
    Case("early sound, mkv", mkv(start_s=LATE), MILLISECONDS, fast=True),
    Case("early sound, ts", ts(start_s=LATE), fast=True),
    Case("early sound, webm", webm(start_s=LATE), MILLISECONDS, fast=True),
    Case("sound by half a packet late, mp4", late(mp4, 0.0107, options=FINE_EDITS), fast=True),
    Case("sound ends early, mp4", mp4(sounds=(Sound(end_s=1.7),)), fast=True),
    Case("sound goes on after the picture, mp4", mp4(sounds=(Sound(end_s=4.5),))),
    Case("stamps begin at 1000 s, mkv", mkv(shifts=(Shift(1000.0),)), MILLISECONDS),
    Case("stamps begin at 26 h, ts", ts(shifts=(Shift(93_600.0),)), fast=True),
]

WRAP_S = 2**33 / 90_000
HOLES = [
    Case("hole in the video, mp4", mp4(holes_s=((1.0, 1.7),)), fast=True),
    Case("hole in the video, mkv", mkv(holes_s=((1.0, 1.7),)), MILLISECONDS, fast=True),
    Case("hole in the video, ts", ts(holes_s=((1.0, 1.7),)), fast=True),
    Case(
        "hole in the sound, mp4",
        mp4(sounds=(Sound(lost_s=((1.0, 1.3),)),)),
        Expected(composed_min_correlation=0.9, why="AAC rings at the edges of a hole"),
        fast=True,
    ),
    Case(
        "hole in the sound, mkv opus",
        mkv(sounds=(Sound("libopus", lost_s=((1.0, 1.3), (2.0, 2.05))),)),
        MILLISECONDS,
        fast=True,
    ),
    Case("hole in the sound, ts mp2", ts(sounds=(Sound("mp2", lost_s=((1.0, 1.2),)),)), fast=True),
    Case(
        "hole in the sound, mkv pcm",
        mkv(sounds=(Sound("pcm_s16le", lost_s=((1.0, 1.5),)),)),
        MILLISECONDS,
    ),
    Case(
        "hole in the sound, flv",
        flv(sounds=(Sound(rate_hz=44100, lost_s=((1.0, 1.3),)),)),
        Expected(
            sound_slack_samples=16,
            composed_sound_slack_samples=17,
            min_correlation=0.95,
            why="whole milliseconds; one window holds a seam of the hole",
        ),
    ),
    Case(
        "both with holes, mkv",
        mkv(holes_s=((0.7, 1.1), (2.0, 2.4)), sounds=(Sound(lost_s=((1.0, 1.3),)),)),
        MILLISECONDS,
    ),
    Case(
        "clock of 33 bits wraps, ts",
        ts(codec_options=B_FRAMES, shifts=(Shift(WRAP_S - 1.4 - 1.5),)),
        fast=True,
    ),
    Case(
        "clock wraps between sound and picture, ts",
        ts(start_s=0.5, shifts=(Shift(WRAP_S - 1.4 - 0.3),)),
    ),
    Case(
        "clock of 33 bits wraps, ps",
        Recipe(
            "mpeg",
            ".mpg",
            "mpeg2video",
            {"bf": "2", "qscale": "1"},
            size=(352, 288),
            sounds=(Sound("mp2"),),
            shifts=(Shift(WRAP_S - 1.5),),
        ),
    ),
]

SOUNDS = [
    Case("mono", mp4(sounds=(Sound(gains=(1.0,)),)), fast=True),
    Case("mu-law 8 kHz, mov", mov(sounds=(Sound("pcm_mulaw", 8000, (1.0,)),)), fast=True),
    Case("a-law 8 kHz, avi", avi(sounds=(Sound("pcm_alaw", 8000, (1.0,)),)), fast=True),
    Case("unsigned 8 bit, avi", avi(sounds=(Sound("pcm_u8", 22050),)), fast=True),
    Case("adpcm, avi", avi(sounds=(Sound("adpcm_ms", 22050),))),
    Case("11.025 kHz", mp4(sounds=(Sound(rate_hz=11025, gains=(1.0,)),)), fast=True),
    Case("96 kHz pcm 24 bit", mov(sounds=(Sound("pcm_s24le", 96000),)), fast=True),
    Case("5.1 aac", mp4(sounds=(SURROUND,)), fast=True),
    Case("5.1 ac3, ts", ts(sounds=(Sound("ac3", gains=SURROUND.gains, layout="5.1(side)"),))),
    Case(
        "7.1 pcm, mov",
        mov(sounds=(Sound("pcm_s16le", gains=(0.4,) * 3 + (0.0,) + (0.3,) * 4, layout="7.1"),)),
    ),
    Case("e-ac3, mp4", mp4(sounds=(Sound("eac3"),)), fast=True),
    Case("one channel silent", mp4(sounds=(Sound(gains=(1.0, 0.0)),)), fast=True),
    Case(
        "two tracks, the second by default",
        mkv(sounds=(Sound(seed=1), Sound(seed=2, marks=("default",)))),
        Expected(
            audio="0:a:1",
            seed=2,
            sound_slack_samples=16,
            composed_sound_slack_samples=17,
            why="the default track",
        ),
        fast=True,
    ),
    Case(
        "two tracks, the second original",
        mkv(sounds=(Sound(seed=1, marks=("default",)), Sound(seed=2, marks=("original",)))),
        Expected(
            audio="0:a:1",
            seed=2,
            sound_slack_samples=16,
            composed_sound_slack_samples=17,
            why="what was said before the camera",
        ),
    ),
    Case(
        "two tracks, the first a dub",
        mkv(sounds=(Sound(seed=1, marks=("default", "dub")), Sound(seed=2))),
        Expected(
            audio="0:a:1",
            seed=2,
            sound_slack_samples=16,
            composed_sound_slack_samples=17,
            why="a dub is not the speaker's sound",
        ),
    ),
    Case(
        "two tracks, the first a commentary, mp4",
        mkv(sounds=(Sound(seed=1, marks=("comment",)), Sound("mp2", seed=2))),
        Expected(
            audio="0:a:1",
            seed=2,
            sound_slack_samples=16,
            composed_sound_slack_samples=17,
            why="a commentary is not the speaker's",
        ),
    ),
    Case(
        "two tracks without marks",
        ts(sounds=(Sound(seed=1), Sound("mp2", seed=2))),
        Expected(seed=1, why="the first"),
        fast=True,
    ),
]

PQ = {"color_trc": 16, "color_primaries": 9, "colorspace": 9}
HLG = {"color_trc": 18, "color_primaries": 9, "colorspace": 9}
NO_COLOUR = Expected(compare_colour=False, why="ffmpeg maps no tones")
HEVC_10 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:pools=1"}

PICTURES = [
    Case(
        "pixels of 4:3, mp4",
        mp4(stream_settings={"sample_aspect_ratio": Fraction(4, 3)}),
        fast=True,
    ),
    Case(
        "pixels of 4:3, mkv",
        mkv(stream_settings={"sample_aspect_ratio": Fraction(4, 3)}),
        MILLISECONDS,
        fast=True,
    ),
    Case(
        "pixels of 16:11, ts mpeg2",
        ts(
            codec="mpeg2video",
            codec_options={"q": "3"},
            size=(176, 144),
            sounds=(Sound("mp2"),),
            stream_settings={"sample_aspect_ratio": Fraction(16, 11)},
        ),
    ),
    Case(
        "narrow pixels, mov",
        mov(stream_settings={"sample_aspect_ratio": Fraction(8, 9)}),
        fast=True,
    ),
    Case("10 bit h264", mp4(pixel_format="yuv420p10le"), fast=True),
    Case("10 bit hevc", mp4(codec="libx265", codec_options=HEVC_10, pixel_format="yuv420p10le")),
    Case(
        "hdr pq",
        mp4(codec="libx265", codec_options=HEVC_10, pixel_format="yuv420p10le", stream_settings=PQ),
        NO_COLOUR,
        fast=True,
    ),
    Case(
        "hdr hlg",
        mp4(
            codec="libx265", codec_options=HEVC_10, pixel_format="yuv420p10le", stream_settings=HLG
        ),
        NO_COLOUR,
    ),
    Case("gray", mp4(pixel_format="gray"), fast=True),
    Case("4:4:4", mp4(pixel_format="yuv444p"), fast=True),
    Case("16 bit gray", mkv(codec="ffv1", codec_options={}, pixel_format="gray16le"), MILLISECONDS),
    Case(
        "rgb h264",
        mp4(
            steps=(
                remux("-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "12", "-c:a", "copy"),
            )
        ),
    ),
    Case("tagged BT.709", mp4(stream_settings={"colorspace": 1}), fast=True),
    Case("4:2:2", mp4(pixel_format="yuv422p")),
    Case("full range h264", mp4(stream_settings={"color_range": 2}), fast=True),
    Case("odd size", webm(size=(161, 129)), MILLISECONDS, fast=True),
    Case(
        "odd size, mov",
        mov(codec="mjpeg", codec_options={"q": "3"}, pixel_format="yuvj420p", size=(177, 131)),
    ),
    Case(
        "alpha, prores 4444",
        mov(codec="prores_ks", codec_options={"profile": "4444"}, pixel_format="yuva444p10le"),
    ),
    Case("alpha, animation", mov(codec="qtrle", codec_options={}, pixel_format="argb"), fast=True),
    Case(
        "alpha, vp9",
        webm(pixel_format="yuva420p", codec_options={**REALTIME, "auto-alt-ref": "0"}),
        MILLISECONDS,
    ),
    Case(
        "interlaced h264",
        mp4(
            codec_options={"preset": "ultrafast", "x264-params": "tff=1", "g": "25"},
            size=(160, 128),
        ),
        fast=True,
    ),
    Case(
        "interlaced mpeg2, ts",
        ts(
            codec="mpeg2video",
            codec_options={"flags": "+ildct+ilme", "field_order": "tt", "bf": "2", "q": "3"},
            sounds=(Sound("mp2"),),
        ),
    ),
    Case("cover first, mp4", mp4(cover="first")),
    Case("cover last, mp4", mp4(cover="last"), fast=True),
    Case("size changes, vp9", webm(later_sizes=((1.52, (240, 192)),)), MILLISECONDS, fast=True),
    Case(
        "size changes, ts",
        ts(),
        parts=(
            ts(seconds=1.6),
            ts(
                start_s=1.6,
                seconds=1.6,
                first_number=40,
                size=(240, 192),
                sounds=(Sound(start_s=1.6),),
                shifts=(),
            ),
        ),
    ),
    Case(
        "sound's rate changes, ts",
        ts(),
        parts=(
            ts(seconds=1.6, sounds=(Sound("mp2", 44100),)),
            ts(
                start_s=1.6,
                seconds=1.6,
                first_number=40,
                sounds=(Sound("mp2", 48000, start_s=1.6),),
            ),
        ),
        expected=Expected(
            min_correlation=0.9,
            composed_min_correlation=0.9,
            why="ffmpeg's resampler"
            " drops some samples where it is set up anew; a window holds the seam",
        ),
        fast=True,
    ),
    Case(
        "mono turns into stereo, ts",
        ts(),
        parts=(
            ts(seconds=1.6, sounds=(Sound("mp2", gains=(1.0,)),)),
            ts(start_s=1.6, seconds=1.6, first_number=40, sounds=(Sound("mp2", start_s=1.6),)),
        ),
    ),
]
