"""Files that are as their container means them to be. A row a file.

`fast` rows run in the default tests, all rows by the command. Where a row says nothing of what
is expected, every frame and every sample is to be ffmpeg's, and what was composed.
"""

from __future__ import annotations

from fractions import Fraction

from benchmarks.media_truth.compare import Expected
from benchmarks.media_truth.patches import edits, remux
from benchmarks.media_truth.recipe import B_FRAMES, NTSC, Recipe, Shift, Sound
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

CONTAINERS = [
    Case("mp4 h264 aac", mp4(), fast=True),
    Case("mp4 b-frames, edit list", mp4(codec_options=B_FRAMES), fast=True),
    Case("mp4 b-frames, no edit list",
         mp4(codec_options=B_FRAMES, options={"use_editlist": "0"}), fast=True),
    Case("mp4 fragmented", mp4(codec_options=B_FRAMES, options={
        "movflags": "frag_keyframe+empty_moov+default_base_moof"}), fast=True),
    Case("mp4 fragmented, delayed moov", mp4(codec_options=B_FRAMES, options={
        "movflags": "frag_keyframe+delay_moov"}), fast=True),
    Case("mp4 index in front", mp4(options={"movflags": "faststart"}), fast=True),
    Case("mp4 cut inside a GOP by its edit list", mp4(
        codec_options=B_FRAMES, steps=(remux(
            "-c", "copy", "-movie_timescale", "48000", before=("-ss", "0.6")),)), fast=True),
    Case("mp4 cut between two pictures by its edit list", mp4(
        codec_options=B_FRAMES, steps=(remux(
            "-c", "copy", "-movie_timescale", "48000", before=("-ss", "0.61")),)), Expected(
                composed_sound_slack_samples=482, why="libavformat shows the first picture after"
                " the edit's start at once, up to one picture early, and so do players on it")),
    Case("mp4 two edits", mp4(codec_options=B_FRAMES, steps=(edits(((0.0, 1.0), (1.8, 2.8))),)),
         Expected(by_composition=False, why="what the edits leave out was composed all the same"),
         fast=True),
    Case("mp4 negative composition offsets", mp4(codec_options=B_FRAMES, options={
        "movflags": "negative_cts_offsets"}), fast=True),
    Case("mkv cut by a copy of streams", mkv(codec_options=B_FRAMES, steps=(remux(
        "-c", "copy", before=("-ss", "0.6")),)), MILLISECONDS),
    Case("ts cut by a copy of streams", ts(codec_options=B_FRAMES, steps=(remux(
        "-c", "copy", before=("-ss", "0.6")),))),
    Case("mp4 hevc", mp4(codec="libx265", codec_options={
        "preset": "ultrafast", "x265-params": "log-level=none:bframes=2:pools=1"})),
    Case("mp4 av1", mp4(codec="libsvtav1", codec_options={"preset": "12",
                                                          "svtav1-params": "lp=1"})),
    Case("mp4 mp3", mp4(sounds=(Sound("libmp3lame", 44100),)), fast=True),
    Case("mp4 opus", mp4(sounds=(Sound("libopus"),)), fast=True),
    Case("mp4 flac", mp4(sounds=(Sound("flac"),)), fast=True),
    Case("mp4 alac", mp4(sounds=(Sound("alac", 44100),))),
    Case("mov prores, pcm 24 bit", mov(
        codec="prores_ks", codec_options={}, pixel_format="yuv422p10le",
        sounds=(Sound("pcm_s24le"),))),
    Case("mov motion jpeg", mov(codec="mjpeg", codec_options={"q": "3"}, pixel_format="yuvj420p"),
         fast=True),
    Case("mov animation, rgb", mov(codec="qtrle", codec_options={}, pixel_format="rgb24")),
    Case("mkv h264 aac", mkv(codec_options=B_FRAMES), MILLISECONDS, fast=True),
    Case("mkv ffv1, pcm float", mkv(codec="ffv1", codec_options={},
                                    sounds=(Sound("pcm_f32le", 44100),)), MILLISECONDS),
    Case("mkv flac", mkv(sounds=(Sound("flac"),)), MILLISECONDS, fast=True),
    Case("mkv mp3", mkv(sounds=(Sound("libmp3lame", 44100),)), MILLISECONDS, fast=True),
    Case("mkv vorbis", mkv(steps=(remux("-c:v", "copy", "-c:a", "libvorbis"),)), MILLISECONDS),
    Case("webm vp9 opus", webm(), MILLISECONDS, fast=True),
    Case("webm vp8 vorbis", webm(codec="libvpx", steps=(
        remux("-c:v", "copy", "-c:a", "libvorbis"),)), MILLISECONDS),
    Case("webm av1 opus", webm(codec="libsvtav1", codec_options={
        "preset": "12", "svtav1-params": "lp=1"}), MILLISECONDS),
    Case("avi mpeg4 mp3", avi(sounds=(Sound("libmp3lame", 44100),), options={
        "avoid_negative_ts": "disabled"}), Expected(
            composed_sound_slack_samples=402,
            why="AVI does not say that an MP3 encoder is 25 ms late, nor do players know")),
    Case("avi motion jpeg, pcm", avi(codec="mjpeg", codec_options={"q": "3"},
                                     pixel_format="yuvj420p"), fast=True),
    Case("avi uncompressed", avi(codec="rawvideo", codec_options={}, pixel_format="bgr24"),
         fast=True),
    Case("avi huffyuv", avi(codec="huffyuv", codec_options={}, pixel_format="yuv422p"), fast=True),
    Case("mov uncompressed 4:2:2", mov(codec="rawvideo", codec_options={},
                                       pixel_format="uyvy422")),
    Case("ts h264 aac", ts(codec_options=B_FRAMES), fast=True),
    Case("ts mpeg2 mp2", ts(codec="mpeg2video", codec_options={"bf": "2", "q": "3"},
                            sounds=(Sound("mp2"),))),
    Case("ts hevc ac3", ts(codec="libx265", codec_options={
        "preset": "ultrafast", "x265-params": "log-level=none:bframes=2:pools=1"},
        sounds=(Sound("ac3"),))),
    Case("m2ts h264 ac3", ts(suffix=".m2ts", options={"mpegts_m2ts_mode": "1"},
                             sounds=(Sound("ac3"),))),
    Case("ps mpeg2 ac3", Recipe("mpeg", ".mpg", "mpeg2video", {"bf": "2", "qscale": "1"},
                                size=(352, 288), sounds=(Sound("ac3"),))),
    Case("ps mpeg2, several pictures a packet", Recipe(
        "mpeg", ".mpg", "mpeg2video", {"bf": "2", "qscale": "8"}, sounds=(Sound("mp2"),)),
        Expected(frame_slack_us=81_000, composed_slack_us=81_000, why="only the first picture of"
                 " a packet has a stamp, and libavformat counts the others on from it")),
    Case("ps mpeg1 mp2", Recipe("mpeg", ".mpg", "mpeg1video", {"bf": "2", "q": "3"},
                                sounds=(Sound("mp2", 44100),))),
    Case("flv h264 aac", flv(codec_options=B_FRAMES), MILLISECONDS, fast=True),
    Case("flv sorenson mp3", flv(codec="flv", codec_options={"qscale": "3"},
                                 sounds=(Sound("libmp3lame", 44100),)), MILLISECONDS),
    Case("asf wmv2 wma2", Recipe("asf", ".wmv", "wmv2", {"qscale": "3"},
                                 sounds=(Sound("wmav2", 44100, options={"b": "128000"}),)),
         MILLISECONDS),
    Case("ogg theora vorbis", Recipe(steps=(
        remux("-c:v", "libtheora", "-q:v", "8", "-c:a", "libvorbis", suffix=".ogv"),)),
         Expected(min_correlation=0.9, why="where Vorbis changes its block, ffmpeg stamps one"
                  " block late; what was composed shows who is right")),
    Case("ogg vp8 opus", Recipe("ogg", ".ogv", "libvpx", REALTIME,
                                    ticks=Fraction(1, 25), sounds=(Sound("libopus"),))),
    Case("3gp h263 amr", Recipe("3gp", ".3gp", "h263", {"qscale": "3"}, size=(176, 144),
                                rate=Fraction(15), sounds=(Sound(
                                    "libopencore_amrnb", 8000, (1.0,),
                                    options={"b": "12200"}),)), Expected(
                                        composed_sound_slack_samples=24, min_correlation=0.98,
                                        composed_min_correlation=0.9,
                                        why="3GP does not say that AMR is 1.3 ms late")),
    Case("3gp mpeg4 aac", Recipe("3gp", ".3gp", "mpeg4", {"qscale": "3"}, sounds=(
        Sound(rate_hz=16000, gains=(1.0,)),))),
    Case("nut mpeg4 mp3", Recipe("nut", ".nut", "mpeg4", {"qscale": "3"}, sounds=(
        Sound("libmp3lame"),)), fast=True),
    Case("mxf mpeg2 pcm", Recipe("mxf", ".mxf", "mpeg2video", {"q": "3", "bf": "2"}, sounds=(
        Sound("pcm_s16le", gains=(1.0,)),))),
    Case("ismv", Recipe("ismv", ".ismv"), Expected(
        composed_sound_slack_samples=342, why="the muxer does not mark AAC's priming")),
    Case("dv", Recipe("avi", ".avi", "dvvideo", {}, "yuv420p", (720, 576), sounds=(
        Sound("pcm_s16le"),))),
]

RATES = [
    *(Case(f"{name} fps", mp4(rate=rate, seconds=seconds, codec_options={
        "preset": "ultrafast", "g": "60"}), fast=name not in ("24", "48", "50", "59.94"))
      for name, rate, seconds in (
          ("1", Fraction(1), 5.0), ("8", Fraction(8), 3.0), ("15", Fraction(15), 3.0),
          ("23.976", Fraction(24000, 1001), 3.0), ("24", Fraction(24), 3.0), ("29.97", NTSC, 3.0),
          ("30", Fraction(30), 3.0), ("48", Fraction(48), 2.0), ("50", Fraction(50), 2.0),
          ("59.94", Fraction(60000, 1001), 2.0), ("60", Fraction(60), 2.0),
          ("120", Fraction(120), 2.0), ("240", Fraction(240), 1.6))),
    Case("variable rate, mp4", mp4(uneven_ms=(8, 90)), fast=True),
    Case("variable rate, mkv", mkv(uneven_ms=(8, 90)), MILLISECONDS, fast=True),
    Case("variable rate, webm", webm(uneven_ms=(8, 90)), MILLISECONDS, fast=True),
    Case("variable rate, ts", ts(uneven_ms=(8, 90), codec_options=B_FRAMES)),
    Case("variable rate, flv", flv(uneven_ms=(8, 90)), MILLISECONDS, fast=True),
    Case("29.97 fps, mkv", mkv(rate=NTSC), MILLISECONDS, fast=True),
    Case("59.94 fps, ts", ts(rate=Fraction(60000, 1001), codec_options=B_FRAMES)),
    Case("29.97 fps, avi", avi(rate=NTSC), fast=True),
]


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
    Case("late sound, fragmented mp4", mp4(
        sounds=(Sound(start_s=LATE),), options={
            "movflags": "frag_keyframe+empty_moov+default_base_moof"})),
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
    Case("hole in the sound, mp4", mp4(sounds=(Sound(lost_s=((1.0, 1.3),)),)), Expected(
        composed_min_correlation=0.9, why="AAC rings at the edges of a hole"), fast=True),
    Case("hole in the sound, mkv opus", mkv(sounds=(Sound(
        "libopus", lost_s=((1.0, 1.3), (2.0, 2.05))),)), MILLISECONDS, fast=True),
    Case("hole in the sound, ts mp2", ts(sounds=(Sound("mp2", lost_s=((1.0, 1.2),)),)), fast=True),
    Case("hole in the sound, mkv pcm", mkv(sounds=(Sound("pcm_s16le", lost_s=((1.0, 1.5),)),)),
         MILLISECONDS),
    Case("hole in the sound, flv", flv(sounds=(Sound(rate_hz=44100, lost_s=((1.0, 1.3),)),)),
         Expected(sound_slack_samples=16, composed_sound_slack_samples=17, min_correlation=0.95,
                  why="whole milliseconds; one window holds a seam of the hole")),
    Case("both with holes, mkv", mkv(
        holes_s=((0.7, 1.1), (2.0, 2.4)), sounds=(Sound(lost_s=((1.0, 1.3),)),)), MILLISECONDS),
    Case("clock of 33 bits wraps, ts", ts(
        codec_options=B_FRAMES, shifts=(Shift(WRAP_S - 1.4 - 1.5),)), fast=True),
    Case("clock wraps between sound and picture, ts", ts(
        start_s=0.5, shifts=(Shift(WRAP_S - 1.4 - 0.3),))),
    Case("clock of 33 bits wraps, ps", Recipe(
        "mpeg", ".mpg", "mpeg2video", {"bf": "2", "qscale": "1"}, size=(352, 288),
        sounds=(Sound("mp2"),), shifts=(Shift(WRAP_S - 1.5),))),
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
    Case("7.1 pcm, mov", mov(sounds=(Sound(
        "pcm_s16le", gains=(0.4,) * 3 + (0.0,) + (0.3,) * 4, layout="7.1"),))),
    Case("e-ac3, mp4", mp4(sounds=(Sound("eac3"),)), fast=True),
    Case("one channel silent", mp4(sounds=(Sound(gains=(1.0, 0.0)),)), fast=True),
    Case("two tracks, the second by default", mkv(sounds=(
        Sound(seed=1), Sound(seed=2, marks=("default",)))),
        Expected(audio="0:a:1", seed=2, sound_slack_samples=16,
                 composed_sound_slack_samples=17, why="the default track"), fast=True),
    Case("two tracks, the second original", mkv(sounds=(
        Sound(seed=1, marks=("default",)), Sound(seed=2, marks=("original",)))),
        Expected(audio="0:a:1", seed=2, sound_slack_samples=16,
                 composed_sound_slack_samples=17, why="what was said before the camera")),
    Case("two tracks, the first a dub", mkv(sounds=(
        Sound(seed=1, marks=("default", "dub")), Sound(seed=2))),
        Expected(audio="0:a:1", seed=2, sound_slack_samples=16,
                 composed_sound_slack_samples=17, why="a dub is not the speaker's sound")),
    Case("two tracks, the first a commentary, mp4", mkv(sounds=(
        Sound(seed=1, marks=("comment",)), Sound("mp2", seed=2))),
        Expected(audio="0:a:1", seed=2, sound_slack_samples=16,
                 composed_sound_slack_samples=17, why="a commentary is not the speaker's")),
    Case("two tracks without marks", ts(sounds=(Sound(seed=1), Sound("mp2", seed=2))),
         Expected(seed=1, why="the first"), fast=True),
]

PQ = {"color_trc": 16, "color_primaries": 9, "colorspace": 9}
HLG = {"color_trc": 18, "color_primaries": 9, "colorspace": 9}
NO_COLOUR = Expected(compare_colour=False, why="ffmpeg maps no tones")
HEVC_10 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0:pools=1"}

PICTURES = [
    Case("pixels of 4:3, mp4", mp4(stream_settings={"sample_aspect_ratio": Fraction(4, 3)}),
         fast=True),
    Case("pixels of 4:3, mkv", mkv(stream_settings={"sample_aspect_ratio": Fraction(4, 3)}),
         MILLISECONDS, fast=True),
    Case("pixels of 16:11, ts mpeg2", ts(
        codec="mpeg2video", codec_options={"q": "3"}, size=(176, 144), sounds=(Sound("mp2"),),
        stream_settings={"sample_aspect_ratio": Fraction(16, 11)})),
    Case("narrow pixels, mov", mov(stream_settings={"sample_aspect_ratio": Fraction(8, 9)}),
         fast=True),
    Case("10 bit h264", mp4(pixel_format="yuv420p10le"), fast=True),
    Case("10 bit hevc", mp4(codec="libx265", codec_options=HEVC_10, pixel_format="yuv420p10le")),
    Case("hdr pq", mp4(codec="libx265", codec_options=HEVC_10, pixel_format="yuv420p10le",
                       stream_settings=PQ), NO_COLOUR, fast=True),
    Case("hdr hlg", mp4(codec="libx265", codec_options=HEVC_10, pixel_format="yuv420p10le",
                        stream_settings=HLG), NO_COLOUR),
    Case("gray", mp4(pixel_format="gray"), fast=True),
    Case("4:4:4", mp4(pixel_format="yuv444p"), fast=True),
    Case("16 bit gray", mkv(codec="ffv1", codec_options={}, pixel_format="gray16le"),
         MILLISECONDS),
    Case("rgb h264", mp4(steps=(remux("-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "12",
                                      "-c:a", "copy"),))),
    Case("tagged BT.709", mp4(stream_settings={"colorspace": 1}), fast=True),
    Case("4:2:2", mp4(pixel_format="yuv422p")),
    Case("full range h264", mp4(stream_settings={"color_range": 2}), fast=True),
    Case("odd size", webm(size=(161, 129)), MILLISECONDS, fast=True),
    Case("odd size, mov", mov(codec="mjpeg", codec_options={"q": "3"}, pixel_format="yuvj420p",
                              size=(177, 131))),
    Case("alpha, prores 4444", mov(codec="prores_ks", codec_options={"profile": "4444"},
                                   pixel_format="yuva444p10le")),
    Case("alpha, animation", mov(codec="qtrle", codec_options={}, pixel_format="argb"), fast=True),
    Case("alpha, vp9", webm(pixel_format="yuva420p", codec_options={
        **REALTIME, "auto-alt-ref": "0"}), MILLISECONDS),
    Case("interlaced h264", mp4(codec_options={
        "preset": "ultrafast", "x264-params": "tff=1", "g": "25"}, size=(160, 128)), fast=True),
    Case("interlaced mpeg2, ts", ts(codec="mpeg2video", codec_options={
        "flags": "+ildct+ilme", "field_order": "tt", "bf": "2", "q": "3"},
        sounds=(Sound("mp2"),))),
    Case("cover first, mp4", mp4(cover="first")),
    Case("cover last, mp4", mp4(cover="last"), fast=True),
    Case("size changes, vp9", webm(later_sizes=((1.52, (240, 192)),)), MILLISECONDS, fast=True),
    Case("size changes, ts", ts(), parts=(
        ts(seconds=1.6), ts(start_s=1.6, seconds=1.6, first_number=40, size=(240, 192),
                            sounds=(Sound(start_s=1.6),), shifts=()))),
    Case("sound's rate changes, ts", ts(), parts=(
        ts(seconds=1.6, sounds=(Sound("mp2", 44100),)),
        ts(start_s=1.6, seconds=1.6, first_number=40, sounds=(
            Sound("mp2", 48000, start_s=1.6),))), expected=Expected(
                min_correlation=0.9, composed_min_correlation=0.9, why="ffmpeg's resampler"
                " drops some samples where it is set up anew; a window holds the seam"),
         fast=True),
    Case("mono turns into stereo, ts", ts(), parts=(
        ts(seconds=1.6, sounds=(Sound("mp2", gains=(1.0,)),)),
        ts(start_s=1.6, seconds=1.6, first_number=40, sounds=(Sound("mp2", start_s=1.6),)))),
]

CASES = [*CONTAINERS, *RATES, *STARTS, *HOLES, *SOUNDS, *PICTURES]
