"""Sound of any number of channels and any labels, and channels that cancel each other."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from manifests.media.facts import read_facts
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from tests.regressions.media_helpers import ffmpeg
from tests.stages.test_probe import probe

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration={}")
H264 = ("-c:v", "libx264", "-preset", "ultrafast")
FULL = 32767


def video_file(path: Path, channels: list[str], duration_s: float, *options: str) -> Path:
    """A file whose channels are expressions of t."""
    picture = [o.format(duration_s) for o in PICTURE]
    ffmpeg(
        *picture,
        "-f",
        "lavfi",
        "-i",
        f"aevalsrc={'|'.join(channels)}:d={duration_s}:s=16000",
        *H264,
        *options,
        str(path),
    )
    return path


def tone(level: float, hertz: int = 440) -> str:
    return f"{level}*sin({hertz}*2*PI*t)"


def level_of(samples: np.ndarray) -> float:
    """Amplitude of a sine of this energy, 0 to 1."""
    return float(np.sqrt(2 * np.mean(np.square(samples / FULL))))


@pytest.mark.parametrize("count", [9, 11, 32, 60, 64])
@pytest.mark.parametrize("suffix, codec", [("mov", "pcm_s16le"), ("mkv", "pcm_f32le")])
def test_many_channels_are_mixed_equally(tmp_path, count, suffix, codec):
    """One channel of `count` sounds: the mix has its part of the level."""
    path = video_file(
        tmp_path / f"a.{suffix}", ["0"] * (count - 1) + [tone(0.9)], 0.6, "-c:a", codec
    )
    heard = read_audio(open_video(path))
    assert level_of(heard) == pytest.approx(0.9 / count, rel=0.02)


def test_planar_channels_beyond_eight(tmp_path):
    path = video_file(
        tmp_path / "a.mkv",
        [tone(0.5)] * 60,
        0.6,
        "-ar",
        "48000",
        "-c:a",
        "libopus",
        "-mapping_family",
        "255",
        "-b:a",
        "2M",
    )
    assert level_of(read_audio(open_video(path))[3000:-1000]) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("layout, count", [("mono", 1), ("stereo", 2), ("5.1", 6), ("7.1", 8)])
@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_usual_layouts_are_mixed_as_ffmpeg_mixes_them(tmp_path, layout, count, codec):
    path = tmp_path / "a.mov"
    picture = [o.format(1) for o in PICTURE]
    source = "|".join(tone(0.3, 300 + 50 * i) for i in range(count))
    ffmpeg(
        *picture,
        "-f",
        "lavfi",
        "-i",
        f"aevalsrc={source}:d=1:s=16000:c={layout}",
        *H264,
        "-c:a",
        codec,
        str(path),
    )
    heard = read_audio(open_video(path)).astype(int)
    raw = ffmpeg("-i", str(path), "-ac", "1", "-ar", "16000", "-f", "s16le", "-")
    theirs = np.frombuffer(raw, np.int16).astype(int)
    length = min(len(heard), len(theirs)) - 500
    a, b = heard[500:length], theirs[500:length]
    # ffmpeg mixes floats without a bound on the sum: the shape is the same, the level may differ.
    assert np.corrcoef(a, b)[0, 1] > 0.999


def unused_labels(path: Path) -> Path:
    """Four channels of a MOV, each labelled as unused, by a `chan` box with descriptions."""
    made = video_file(
        path, [tone(0.4), tone(0.4), "0", "0"], 0.6, "-c:a", "pcm_s16le", "-movflags", "+faststart"
    )
    content = bytearray(made.read_bytes())
    place = content.find(b"chan", content.index(b"sowt"))
    labels = b"".join(struct.pack(">IIfff", 0, 0, 0, 0, 0) for _ in range(4))
    body = struct.pack(">IIII", 0, 0, 0, 4) + labels
    box = struct.pack(">I4s", 8 + len(body), b"chan") + body
    start, end = (
        (place - 4, place - 4 + struct.unpack_from(">I", content, place - 4)[0])
        if place > 0
        else (None, None)
    )
    if start is None:
        start = end = _end_of_entry(content)
    return _with_box(path, content, start, end, box)


def _end_of_entry(content: bytearray) -> int:
    place = content.index(b"sowt") - 4
    return place + struct.unpack_from(">I", content, place)[0]


def _with_box(path: Path, content: bytearray, start: int, end: int, box: bytes) -> Path:
    """`content[start:end]` replaced; the boxes around it and the offsets of samples follow."""
    grown = len(box) - (end - start)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"sowt"):
        place = content.rfind(name, 0, start) - 4
        size = struct.unpack_from(">I", content, place)[0]
        struct.pack_into(">I", content, place, size + grown)
    content[start:end] = box
    place = -1
    while (place := content.find(b"stco", place + 1)) >= 0:
        count = struct.unpack_from(">I", content, place + 8)[0]
        for i in range(count):
            at = place + 12 + 4 * i
            struct.pack_into(">I", content, at, struct.unpack_from(">I", content, at)[0] + grown)
    path.write_bytes(content)
    return path


def test_unused_labels_end_nothing(tmp_path):
    """Where this goes wrong the whole process is gone, so it runs in one of its own."""
    path = unused_labels(tmp_path / "a.mov")
    code = (
        "import sys\n"
        "from manifests.media.sound import read_audio\n"
        "from manifests.media.video import open_video\n"
        "sound = read_audio(open_video(sys.argv[1]))\n"
        "print(float((sound / 32767.0).std() * 2 ** 0.5))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(0.2, rel=0.05)


def test_more_channels_than_can_be_mixed_are_refused_at_probe(tmp_path):
    path = tmp_path / "a.mkv"
    picture = [o.format(0.6) for o in PICTURE]
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(2 * 80 * 8000))
    ffmpeg(
        *picture,
        "-f",
        "s16le",
        "-ar",
        "8000",
        "-ac",
        "80",
        "-i",
        str(raw),
        *H264,
        "-c:a",
        "copy",
        str(path),
    )
    outcome = probe(path)
    assert outcome.reason == "too_many_channels" and "64 channels" in outcome.detail


SPEECH = "0.5*sin(300*2*PI*t)*(0.6+0.4*sin(9*t))"


def inverted(share: str) -> list[str]:
    return [SPEECH, f"{SPEECH}*if({share}\\,-1\\,1)"]


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "pcm_s16le"])
@pytest.mark.parametrize("share", ["1", r"gt(t\,3)", r"lt(t\,3)"], ids=["all", "second", "first"])
def test_channels_in_opposite_phase_are_heard(tmp_path, codec, share):
    path = video_file(tmp_path / "a.mov", inverted(share), 6, "-c:a", codec)
    video = open_video(path)
    assert video.audio_channel == 0
    assert video.notes[0].startswith("audio_mix: ") and "cancel" in video.notes[0]
    heard = read_audio(video)
    for half in (heard[2000:46000], heard[50000:94000]):
        assert level_of(half) == pytest.approx(0.32, abs=0.05)
    part = read_audio(video, None, 16000, 32000)
    assert np.array_equal(part, heard[16000:32000])


def test_the_louder_of_two_opposite_channels_is_taken(tmp_path):
    path = video_file(tmp_path / "a.mov", [f"-0.8*{SPEECH}", SPEECH], 3, "-c:a", "pcm_s16le")
    assert open_video(path).audio_channel == 1


@pytest.mark.parametrize(
    "channels",
    [
        [SPEECH, SPEECH],
        [SPEECH, "0"],
        [SPEECH, f"0.5*{SPEECH}"],
        [SPEECH, tone(0.5, 470)],
        [SPEECH, f"-0.4*{SPEECH}"],
        [SPEECH, "0.4*sin(300*2*PI*(t-0.0006))"],
    ],
    ids=range(6),
)
def test_other_stereo_keeps_its_mix(tmp_path, channels):
    path = video_file(tmp_path / "a.mov", channels, 3, "-c:a", "pcm_s16le")
    video = open_video(path)
    assert video.audio_channel is None and video.notes == []
    with av.open(str(path)) as container:
        left, right = (
            np.concatenate([f.to_ndarray().reshape(-1, 2) for f in container.decode(audio=0)])
            .astype(int)
            .T
        )
    heard = read_audio(video).astype(int)
    assert np.abs(heard - (left + right)[: len(heard)] / 2).max() <= 1


def test_a_mono_file_is_not_listened_to(tmp_path):
    facts = read_facts(video_file(tmp_path / "a.mov", [SPEECH], 1, "-c:a", "pcm_s16le"))
    assert facts.audio_channel is None
