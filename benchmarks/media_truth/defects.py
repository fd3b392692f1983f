"""Files that are broken, or that say less than a reader needs. A row a file.

Where a right reader gives something else than ffmpeg (which follows a clock that jumps, mixes
opposite channels to nothing, or gives up), the row says what, and why.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from benchmarks.media_truth.compare import Expected
from benchmarks.media_truth.counter import ORIENTATIONS
from benchmarks.media_truth.patches import (
    display_matrix,
    remux,
    replaced,
    stream_type,
    truncated,
    unused_labels,
    without_head,
)
from benchmarks.media_truth.recipe import B_FRAMES, NTSC, Recipe, Shift, Sound
from benchmarks.media_truth.table import MILLISECONDS, Case, avi, flv, mkv, mov, mp4, ts, webm

NO_DECODER = Expected(frozenset({"no_decoder"}), why="no stream of the kind decodes")
SECOND_SOUND = Expected(
    audio="0:a:1",
    seed=2,
    sound_slack_samples=16,
    composed_sound_slack_samples=17,
    why="the only sound that decodes",
)
TWO_SOUNDS = (Sound("pcm_s16le", seed=1, marks=("default",)), Sound("aac", seed=2))
CENC = (
    "-encryption_scheme",
    "cenc-aes-ctr",
    "-encryption_key",
    "76a6c65c5ea762046bd749a2e632ccbb",
    "-encryption_kid",
    "a7e61c373e219033c21091fa607bf3b8",
)

UNDECODABLE = [
    Case(
        "picture without decoder, mp4",
        mp4(steps=(replaced(b"avc1", b"xvc9"),)),
        replace(NO_DECODER, words="xvc9"),
        fast=True,
    ),
    Case(
        "picture without decoder, mkv",
        mkv(steps=(replaced(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/AVC"),)),
        NO_DECODER,
    ),
    Case("picture without decoder, ts", ts(steps=(stream_type(0x1B, 0xD2),)), NO_DECODER),
    Case("stream of an unknown type, ts", ts(steps=(stream_type(0x1B, 0x99),)), fast=True),
    Case(
        "sound without decoder, mov",
        mov(steps=(replaced(b"sowt", b"zowt"),)),
        replace(NO_DECODER, words="zowt"),
        fast=True,
    ),
    Case(
        "sound without decoder, mkv",
        mkv(steps=(replaced(b"A_AAC", b"A_XYZ"),)),
        NO_DECODER,
        fast=True,
    ),
    Case(
        "the default sound without decoder, mov",
        mov(sounds=TWO_SOUNDS, steps=(replaced(b"sowt", b"apac", 1),)),
        replace(SECOND_SOUND, sound_slack_samples=1, composed_sound_slack_samples=1.5),
        fast=True,
    ),
    Case(
        "the default sound without decoder, mkv",
        mkv(
            sounds=(Sound("flac", seed=1, marks=("default",)), Sound("aac", seed=2)),
            steps=(replaced(b"A_FLAC", b"A_XLAC"),),
        ),
        SECOND_SOUND,
    ),
    Case(
        "the first of two pictures without decoder, mp4",
        mp4(
            steps=(
                remux("-map", "0:v", "-map", "0:v", "-map", "0:a", "-c", "copy", "-brand", "isom"),
                replaced(b"avc1", b"xvc9", 1),
            )
        ),
        Expected(video="0:v:1", why="the other one decodes"),
    ),
    Case(
        "sample description damaged, mp4",
        mp4(steps=(replaced(b"avcC", b"avXC"),)),
        Expected(
            frozenset({"no_decoder", "unreadable"}), why="without its header H.264 is not decoded"
        ),
    ),
    Case(
        "encrypted, mp4",
        mp4(steps=(remux("-c", "copy", *CENC),)),
        Expected(frozenset({"encrypted"}), words="encrypted"),
        fast=True,
    ),
    Case(
        "sound and a cover",
        mp4(
            cover="last",
            steps=(
                remux(
                    "-map", "0:a", "-map", "0:v:1", "-c", "copy", "-disposition:v", "attached_pic"
                ),
            ),
        ),
        Expected(frozenset({"no_video"})),
        fast=True,
    ),
    Case("no sound", mkv(sounds=()), Expected(frozenset({"no_audio"})), fast=True),
]

UNSTAMPED = [
    Case(
        "h264 with b-frames, avi",
        avi(codec="libx264", codec_options=B_FRAMES),
        Expected(by_composition=False, why="AVI has no presentation times: as players guess"),
        fast=True,
    ),
    Case(
        "h264 without b-frames, avi",
        avi(codec="libx264", codec_options={"preset": "ultrafast", "g": "25"}),
        fast=True,
    ),
    Case(
        "h264 with b-frames at 29.97, avi mp3",
        avi(
            codec="libx264", codec_options=B_FRAMES, rate=NTSC, sounds=(Sound("libmp3lame", 44100),)
        ),
        Expected(by_composition=False, why="AVI has no presentation times: as players guess"),
    ),
    Case(
        "h264 with a pyramid of b-frames, avi",
        avi(
            codec="libx264",
            codec_options={
                "preset": "veryfast",
                "bf": "5",
                "b-pyramid": "normal",
                "g": "50",
                "threads": "1",
            },
        ),
        Expected(by_composition=False, why="AVI has no presentation times: as players guess"),
    ),
    Case(
        "mpeg4 with b-frames, avi",
        avi(codec_options={"qscale": "3", "bf": "2"}),
        Expected(by_composition=False, why="AVI has no presentation times: as players guess"),
    ),
    Case(
        "h264 with b-frames, asf",
        Recipe(
            "asf",
            ".wmv",
            codec_options=B_FRAMES,
            sounds=(Sound("wmav2", 44100, options={"b": "128000"}),),
        ),
        replace(MILLISECONDS, by_composition=False, why="ASF has no presentation times"),
        fast=True,
    ),
    Case(
        "h264 without b-frames, asf",
        Recipe("asf", ".wmv", sounds=(Sound("wmav2", 44100, options={"b": "128000"}),)),
        MILLISECONDS,
    ),
]


def many(count: int, seconds: float = 3.0, **changes) -> Recipe:
    return mov(seconds=seconds, sounds=(Sound("pcm_s16le", gains=(1.0,) * count, **changes),))


EQUAL = Expected(
    mix="pan=mono|c0=c0", why="channels without places are mixed equally; here all hold the same"
)
CHANNELS = [
    Case("3 channels without places", many(3), EQUAL, fast=True),
    Case("4 channels without places", many(4), EQUAL, fast=True),
    Case(
        "4 channels with unused labels",
        mov(
            sounds=(Sound("pcm_s16le", gains=(1.0,) * 4, layout="quad"),), steps=(unused_labels(4),)
        ),
        EQUAL,
        fast=True,
    ),
    Case("9 channels", many(9), EQUAL, fast=True),
    Case("16 channels", many(16), EQUAL),
    Case("32 channels", many(32), EQUAL, fast=True),
    Case("60 channels", many(60), EQUAL, fast=True),
    Case(
        "9 channels, flac mkv",
        mkv(sounds=(Sound("pcm_s16le", gains=(1.0,) * 9),)),
        replace(EQUAL, sound_slack_samples=16, composed_sound_slack_samples=17),
    ),
    Case(
        "opposite phase, mp4",
        mp4(sounds=(Sound(gains=(1.0, -1.0)),)),
        replace(EQUAL, why="one channel is heard, where a mix would be silent"),
        fast=True,
    ),
    Case(
        "opposite phase, mov pcm",
        mov(sounds=(Sound("pcm_s16le", gains=(1.0, -1.0)),)),
        replace(EQUAL, why="one channel is heard, where a mix would be silent"),
    ),
    Case(
        "nearly opposite phase, mkv opus",
        mkv(sounds=(Sound("libopus", gains=(1.0, -0.9)),)),
        replace(
            EQUAL,
            why="one channel is heard, where a mix would be faint",
            sound_slack_samples=16,
            composed_sound_slack_samples=17,
        ),
    ),
    Case(
        "opposite phase in 5.1",
        mp4(sounds=(Sound("aac", gains=(0.8, -0.8, 0.0, 0.0, 0.0, 0.0), layout="5.1"),)),
        replace(EQUAL, why="one channel is heard, where a mix would be silent"),
    ),
]

PROGRAM = Recipe(
    "mpeg",
    ".mpg",
    "mpeg2video",
    {"bf": "2", "qscale": "1"},
    size=(352, 288),
    sounds=(Sound("mp2"),),
    options={"avoid_negative_ts": "disabled"},
)
JUMPED = Expected(
    by_ffmpeg=False,
    own_clocks=True,
    composed_sound_slack_samples=800,
    composed_min_correlation=0.9,
    notes=("clock_jump",),
    why="the parts follow each other as if the clock had not jumped; ffmpeg keeps the hole",
)
UNDECIDABLE = Expected(
    frozenset({"clock_jump"}), words="jumps by", why="nobody can tell what belongs together"
)
HOUR = 3600.0
JUMPS = [
    Case("clock jumps by 10 h, ts", ts(shifts=(Shift(10 * HOUR, 1.5),)), JUMPED, fast=True),
    Case(
        "clock jumps by 10 h, b-frames, ts",
        ts(codec_options=B_FRAMES, shifts=(Shift(10 * HOUR, 1.5),)),
        JUMPED,
    ),
    Case(
        "clock jumps back by 1 h, ts",
        ts(),
        JUMPED,
        (
            ts(seconds=1.6, shifts=(Shift(2 * HOUR),)),
            ts(
                start_s=1.6,
                seconds=1.6,
                first_number=40,
                sounds=(Sound(start_s=1.6),),
                shifts=(Shift(HOUR),),
            ),
        ),
    ),
    Case("clock jumps by 10 h, mkv", mkv(shifts=(Shift(10 * HOUR, 1.5),)), JUMPED, fast=True),
    Case("clock jumps by 1 h, mp4", mp4(shifts=(Shift(HOUR, 1.5),)), JUMPED, fast=True),
    Case(
        "one picture's stamp 1 h late, mkv",
        mkv(shifts=(Shift(HOUR, 1.5, 1.53, ("video",), False),)),
        replace(JUMPED, composed_sound_slack_samples=17, notes=("odd_stamps",)),
        fast=True,
    ),
    Case(
        "three pictures' stamps 1 h late, mkv",
        mkv(shifts=(Shift(HOUR, 1.5, 1.61, ("video",), False),)),
        replace(JUMPED, composed_sound_slack_samples=17, notes=("odd_stamps",)),
    ),
    Case(
        "the first picture's stamp 1 h late, mkv",
        mkv(shifts=(Shift(HOUR, -1.0, 0.01, ("video",), False),)),
        replace(JUMPED, composed_sound_slack_samples=17, notes=()),
    ),
    Case(
        "only the picture's clock jumps, ts",
        ts(shifts=(Shift(10 * HOUR, 1.5, kinds=("video",)),)),
        UNDECIDABLE,
        fast=True,
    ),
    Case(
        "only the sound's clock jumps, ts",
        ts(shifts=(Shift(10 * HOUR, 1.5, kinds=("audio",)),)),
        UNDECIDABLE,
    ),
    Case("nothing for 20 s, mkv", mkv(shifts=(Shift(20.0, 1.5),)), JUMPED, fast=True),
    Case(
        "nothing for 5 s, mkv",
        mkv(shifts=(Shift(5.0, 1.5),)),
        Expected(
            by_composition=False,
            sound_slack_samples=16,
            min_correlation=0.95,
            why="a hole that may be one, kept as ffmpeg keeps it; a window holds its seam",
        ),
    ),
    Case(
        "one sound's stamp 1 h late, mkv",
        mkv(shifts=(Shift(HOUR, 1.5, 1.52, ("audio",), False),)),
        replace(JUMPED, composed_sound_slack_samples=17, notes=()),
    ),
    Case(
        "clock starts again in the middle, ts",
        ts(),
        JUMPED,
        (
            ts(seconds=1.6),
            ts(
                start_s=1.6,
                seconds=1.6,
                first_number=40,
                sounds=(Sound(start_s=1.6),),
                shifts=(Shift(-1.6),),
            ),
        ),
        fast=True,
    ),
    Case(
        "clock starts again in the middle, flv",
        flv(),
        replace(JUMPED, composed_slack_us=2000),
        (
            flv(seconds=1.6),
            flv(
                start_s=1.6,
                seconds=1.6,
                first_number=40,
                sounds=(Sound(rate_hz=44100, start_s=1.6),),
                shifts=(Shift(-1.6),),
                steps=(without_head(13),),
            ),
        ),
    ),
    Case(
        "clock starts again in the middle, ps",
        PROGRAM,
        JUMPED,
        (
            replace(PROGRAM, seconds=1.6),
            replace(
                PROGRAM,
                start_s=1.6,
                seconds=1.6,
                first_number=40,
                sounds=(Sound("mp2", start_s=1.6),),
                shifts=(Shift(-1.6),),
            ),
        ),
    ),
    Case(
        "clock starts again twice, ts",
        ts(),
        JUMPED,
        (
            ts(seconds=1.6),
            ts(
                start_s=1.6,
                seconds=1.6,
                first_number=40,
                sounds=(Sound(start_s=1.6),),
                shifts=(Shift(-1.6),),
            ),
            ts(
                start_s=3.2,
                seconds=1.6,
                first_number=80,
                sounds=(Sound(start_s=3.2),),
                shifts=(Shift(-3.2),),
            ),
        ),
    ),
]

BACK = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}
TURNS = [
    *(
        Case(
            f"matrix: {name}, mp4",
            mp4(coded_as=BACK.get(name, name), steps=(display_matrix(name),)),
            fast=name in ("rotated 90", "mirrored", "transposed"),
        )
        for name in ORIENTATIONS
        if name != "upright"
    ),
    *(
        Case(
            f"matrix: {name}, mov 10 bit",
            mov(
                coded_as=BACK.get(name, name),
                pixel_format="yuv420p10le",
                steps=(display_matrix(name),),
            ),
        )
        for name in ("rotated 270", "upside down mirrored", "transposed across")
    ),
    Case(
        "matrix: rotated 90, pixels of 4:3",
        mp4(
            coded_as="rotated 270",
            stream_settings={"sample_aspect_ratio": Fraction(4, 3)},
            steps=(display_matrix("rotated 90"),),
        ),
    ),
    Case(
        "matrix: rotated 90, mkv",
        mkv(
            coded_as="rotated 270",
            steps=(remux("-c", "copy", before=("-display_rotation:v:0", "-90")),),
        ),
        MILLISECONDS,
    ),
    Case(
        "matrix: mirrored, mkv",
        mkv(coded_as="mirrored", steps=(remux("-c", "copy", before=("-display_hflip:v:0",)),)),
        MILLISECONDS,
    ),
    Case(
        "orientation in the stream, ts",
        ts(
            coded_as="rotated 270",
            steps=(
                remux(
                    "-c", "copy", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=-90"
                ),
            ),
        ),
    ),
    Case(
        "orientation in the stream, mirrored, ts",
        ts(
            coded_as="mirrored",
            steps=(
                remux(
                    "-c",
                    "copy",
                    "-bsf:v",
                    "h264_metadata=display_orientation=insert:flip=horizontal",
                ),
            ),
        ),
    ),
]

CUT = Expected(is_truncated=True, composed_min_correlation=0.9, why="what is there, and a note")
FRONT = {"movflags": "faststart"}
TRUNCATIONS = [
    Case("cut to 45 %, mp4", mp4(options=FRONT, steps=(truncated(0.45),)), CUT, fast=True),
    Case(
        "cut to 45 %, b-frames, mp4",
        mp4(codec_options=B_FRAMES, options=FRONT, steps=(truncated(0.45),)),
        CUT,
    ),
    Case("cut to 90 %, mov", mov(options=FRONT, steps=(truncated(0.9),)), CUT, fast=True),
    Case(
        "cut to 45 %, index at the end",
        mp4(steps=(truncated(0.45),)),
        Expected(frozenset({"unreadable", "truncated"}), why="its index is in what is missing"),
    ),
    Case(
        "cut to 45 %, mkv",
        mkv(steps=(truncated(0.45),)),
        replace(CUT, sound_slack_samples=16, composed_sound_slack_samples=17),
        fast=True,
    ),
    Case(
        "cut to 45 %, webm",
        webm(steps=(truncated(0.45),)),
        replace(CUT, sound_slack_samples=16, composed_sound_slack_samples=17),
    ),
    Case("cut to 45 %, avi", avi(steps=(truncated(0.45),)), CUT, fast=True),
    Case(
        "cut to 45 %, flv",
        flv(steps=(truncated(0.45),)),
        replace(CUT, sound_slack_samples=16, composed_sound_slack_samples=17),
        fast=True,
    ),
    Case(
        "cut to 45 %, fragmented mp4",
        mp4(options={"movflags": "frag_keyframe+delay_moov"}, steps=(truncated(0.45),)),
        CUT,
    ),
    Case(
        "begins inside a GOP, ts",
        ts(codec_options=B_FRAMES, steps=(without_head(188 * 150),)),
        Expected(composed_min_correlation=0.9, why="a recording that was begun in the middle"),
        fast=True,
    ),
    Case(
        "cut to 45 %, ts",
        ts(steps=(truncated(0.45),)),
        Expected(composed_min_correlation=0.9, why="a transport stream promises no length"),
    ),
]
