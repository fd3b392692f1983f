"""Containers, codecs and frame rates that are as they are meant to be. A row a file.

Where a row says nothing of what is expected, every frame and every sample is to be ffmpeg's, and
what was composed.
"""

from __future__ import annotations

from fractions import Fraction

from benchmarks.media_truth.compare import Expected
from benchmarks.media_truth.patches import edits, remux
from benchmarks.media_truth.recipe import B_FRAMES, NTSC, Recipe, Sound
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

CONTAINERS = [
    Case("mp4 h264 aac", mp4(), fast=True),
    Case("mp4 b-frames, edit list", mp4(codec_options=B_FRAMES), fast=True),
    Case(
        "mp4 b-frames, no edit list",
        mp4(codec_options=B_FRAMES, options={"use_editlist": "0"}),
        fast=True,
    ),
    Case(
        "mp4 fragmented",
        mp4(
            codec_options=B_FRAMES,
            options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
        ),
        fast=True,
    ),
    Case(
        "mp4 fragmented, delayed moov",
        mp4(codec_options=B_FRAMES, options={"movflags": "frag_keyframe+delay_moov"}),
        fast=True,
    ),
    Case("mp4 index in front", mp4(options={"movflags": "faststart"}), fast=True),
    Case(
        "mp4 cut inside a GOP by its edit list",
        mp4(
            codec_options=B_FRAMES,
            steps=(remux("-c", "copy", "-movie_timescale", "48000", before=("-ss", "0.6")),),
        ),
        fast=True,
    ),
    Case(
        "mp4 cut between two pictures by its edit list",
        mp4(
            codec_options=B_FRAMES,
            steps=(remux("-c", "copy", "-movie_timescale", "48000", before=("-ss", "0.61")),),
        ),
        Expected(
            composed_sound_slack_samples=482,
            why="libavformat shows the first picture after"
            " the edit's start at once, up to one picture early, and so do players on it",
        ),
    ),
    Case(
        "mp4 two edits",
        mp4(codec_options=B_FRAMES, steps=(edits(((0.0, 1.0), (1.8, 2.8))),)),
        Expected(by_composition=False, why="what the edits leave out was composed all the same"),
        fast=True,
    ),
    Case(
        "mp4 negative composition offsets",
        mp4(codec_options=B_FRAMES, options={"movflags": "negative_cts_offsets"}),
        fast=True,
    ),
    Case(
        "mkv cut by a copy of streams",
        mkv(codec_options=B_FRAMES, steps=(remux("-c", "copy", before=("-ss", "0.6")),)),
        MILLISECONDS,
    ),
    Case(
        "ts cut by a copy of streams",
        ts(codec_options=B_FRAMES, steps=(remux("-c", "copy", before=("-ss", "0.6")),)),
    ),
    Case(
        "mp4 hevc",
        mp4(
            codec="libx265",
            codec_options={
                "preset": "ultrafast",
                "x265-params": "log-level=none:bframes=2:pools=1",
            },
        ),
    ),
    Case(
        "mp4 av1", mp4(codec="libsvtav1", codec_options={"preset": "12", "svtav1-params": "lp=1"})
    ),
    Case("mp4 mp3", mp4(sounds=(Sound("libmp3lame", 44100),)), fast=True),
    Case("mp4 opus", mp4(sounds=(Sound("libopus"),)), fast=True),
    Case("mp4 flac", mp4(sounds=(Sound("flac"),)), fast=True),
    Case("mp4 alac", mp4(sounds=(Sound("alac", 44100),))),
    Case(
        "mov prores, pcm 24 bit",
        mov(
            codec="prores_ks",
            codec_options={},
            pixel_format="yuv422p10le",
            sounds=(Sound("pcm_s24le"),),
        ),
    ),
    Case(
        "mov motion jpeg",
        mov(codec="mjpeg", codec_options={"q": "3"}, pixel_format="yuvj420p"),
        fast=True,
    ),
    Case("mov animation, rgb", mov(codec="qtrle", codec_options={}, pixel_format="rgb24")),
    Case("mkv h264 aac", mkv(codec_options=B_FRAMES), MILLISECONDS, fast=True),
    Case(
        "mkv ffv1, pcm float",
        mkv(codec="ffv1", codec_options={}, sounds=(Sound("pcm_f32le", 44100),)),
        MILLISECONDS,
    ),
    Case("mkv flac", mkv(sounds=(Sound("flac"),)), MILLISECONDS, fast=True),
    Case("mkv mp3", mkv(sounds=(Sound("libmp3lame", 44100),)), MILLISECONDS, fast=True),
    Case("mkv vorbis", mkv(steps=(remux("-c:v", "copy", "-c:a", "libvorbis"),)), MILLISECONDS),
    Case("webm vp9 opus", webm(), MILLISECONDS, fast=True),
    Case(
        "webm vp8 vorbis",
        webm(codec="libvpx", steps=(remux("-c:v", "copy", "-c:a", "libvorbis"),)),
        MILLISECONDS,
    ),
    Case(
        "webm av1 opus",
        webm(codec="libsvtav1", codec_options={"preset": "12", "svtav1-params": "lp=1"}),
        MILLISECONDS,
    ),
    Case(
        "avi mpeg4 mp3",
        avi(sounds=(Sound("libmp3lame", 44100),), options={"avoid_negative_ts": "disabled"}),
        Expected(
            composed_sound_slack_samples=402,
            why="AVI does not say that an MP3 encoder is 25 ms late, nor do players know",
        ),
    ),
    Case(
        "avi motion jpeg, pcm",
        avi(codec="mjpeg", codec_options={"q": "3"}, pixel_format="yuvj420p"),
        fast=True,
    ),
    Case(
        "avi uncompressed", avi(codec="rawvideo", codec_options={}, pixel_format="bgr24"), fast=True
    ),
    Case("avi huffyuv", avi(codec="huffyuv", codec_options={}, pixel_format="yuv422p"), fast=True),
    Case("mov uncompressed 4:2:2", mov(codec="rawvideo", codec_options={}, pixel_format="uyvy422")),
    Case("ts h264 aac", ts(codec_options=B_FRAMES), fast=True),
    Case(
        "ts mpeg2 mp2",
        ts(codec="mpeg2video", codec_options={"bf": "2", "q": "3"}, sounds=(Sound("mp2"),)),
    ),
    Case(
        "ts hevc ac3",
        ts(
            codec="libx265",
            codec_options={
                "preset": "ultrafast",
                "x265-params": "log-level=none:bframes=2:pools=1",
            },
            sounds=(Sound("ac3"),),
        ),
    ),
    Case(
        "m2ts h264 ac3",
        ts(suffix=".m2ts", options={"mpegts_m2ts_mode": "1"}, sounds=(Sound("ac3"),)),
    ),
    Case(
        "ps mpeg2 ac3",
        Recipe(
            "mpeg",
            ".mpg",
            "mpeg2video",
            {"bf": "2", "qscale": "1"},
            size=(352, 288),
            sounds=(Sound("ac3"),),
        ),
    ),
    Case(
        "ps mpeg2, several pictures a packet",
        Recipe("mpeg", ".mpg", "mpeg2video", {"bf": "2", "qscale": "8"}, sounds=(Sound("mp2"),)),
        Expected(
            frame_slack_us=81_000,
            composed_slack_us=81_000,
            why="only the first picture of"
            " a packet has a stamp, and libavformat counts the others on from it",
        ),
    ),
    Case(
        "ps mpeg1 mp2",
        Recipe("mpeg", ".mpg", "mpeg1video", {"bf": "2", "q": "3"}, sounds=(Sound("mp2", 44100),)),
    ),
    Case("flv h264 aac", flv(codec_options=B_FRAMES), MILLISECONDS, fast=True),
    Case(
        "flv sorenson mp3",
        flv(codec="flv", codec_options={"qscale": "3"}, sounds=(Sound("libmp3lame", 44100),)),
        MILLISECONDS,
    ),
    Case(
        "asf wmv2 wma2",
        Recipe(
            "asf",
            ".wmv",
            "wmv2",
            {"qscale": "3"},
            sounds=(Sound("wmav2", 44100, options={"b": "128000"}),),
        ),
        MILLISECONDS,
    ),
    Case(
        "ogg theora vorbis",
        Recipe(
            steps=(remux("-c:v", "libtheora", "-q:v", "8", "-c:a", "libvorbis", suffix=".ogv"),)
        ),
        Expected(
            min_correlation=0.9,
            why="where Vorbis changes its block, ffmpeg stamps one"
            " block late; what was composed shows who is right",
        ),
    ),
    Case(
        "ogg vp8 opus",
        Recipe(
            "ogg", ".ogv", "libvpx", REALTIME, ticks=Fraction(1, 25), sounds=(Sound("libopus"),)
        ),
    ),
    Case(
        "3gp h263 amr",
        Recipe(
            "3gp",
            ".3gp",
            "h263",
            {"qscale": "3"},
            size=(176, 144),
            rate=Fraction(15),
            sounds=(Sound("libopencore_amrnb", 8000, (1.0,), options={"b": "12200"}),),
        ),
        Expected(
            composed_sound_slack_samples=24,
            min_correlation=0.98,
            composed_min_correlation=0.9,
            why="3GP does not say that AMR is 1.3 ms late",
        ),
    ),
    Case(
        "3gp mpeg4 aac",
        Recipe(
            "3gp", ".3gp", "mpeg4", {"qscale": "3"}, sounds=(Sound(rate_hz=16000, gains=(1.0,)),)
        ),
    ),
    Case(
        "nut mpeg4 mp3",
        Recipe("nut", ".nut", "mpeg4", {"qscale": "3"}, sounds=(Sound("libmp3lame"),)),
        fast=True,
    ),
    Case(
        "mxf mpeg2 pcm",
        Recipe(
            "mxf",
            ".mxf",
            "mpeg2video",
            {"q": "3", "bf": "2"},
            sounds=(Sound("pcm_s16le", gains=(1.0,)),),
        ),
    ),
    Case(
        "ismv",
        Recipe("ismv", ".ismv"),
        Expected(composed_sound_slack_samples=342, why="the muxer does not mark AAC's priming"),
    ),
    Case(
        "dv",
        Recipe("avi", ".avi", "dvvideo", {}, "yuv420p", (720, 576), sounds=(Sound("pcm_s16le"),)),
    ),
]

RATES = [
    *(
        Case(
            f"{name} fps",
            mp4(rate=rate, seconds=seconds, codec_options={"preset": "ultrafast", "g": "60"}),
            fast=name not in ("24", "48", "50", "59.94"),
        )
        for name, rate, seconds in (
            ("1", Fraction(1), 5.0),
            ("8", Fraction(8), 3.0),
            ("15", Fraction(15), 3.0),
            ("23.976", Fraction(24000, 1001), 3.0),
            ("24", Fraction(24), 3.0),
            ("29.97", NTSC, 3.0),
            ("30", Fraction(30), 3.0),
            ("48", Fraction(48), 2.0),
            ("50", Fraction(50), 2.0),
            ("59.94", Fraction(60000, 1001), 2.0),
            ("60", Fraction(60), 2.0),
            ("120", Fraction(120), 2.0),
            ("240", Fraction(240), 1.6),
        )
    ),
    Case("variable rate, mp4", mp4(uneven_ms=(8, 90)), fast=True),
    Case("variable rate, mkv", mkv(uneven_ms=(8, 90)), MILLISECONDS, fast=True),
    Case("variable rate, webm", webm(uneven_ms=(8, 90)), MILLISECONDS, fast=True),
    Case("variable rate, ts", ts(uneven_ms=(8, 90), codec_options=B_FRAMES)),
    Case("variable rate, flv", flv(uneven_ms=(8, 90)), MILLISECONDS, fast=True),
    Case("29.97 fps, mkv", mkv(rate=NTSC), MILLISECONDS, fast=True),
    Case("59.94 fps, ts", ts(rate=Fraction(60000, 1001), codec_options=B_FRAMES)),
    Case("29.97 fps, avi", avi(rate=NTSC), fast=True),
]
