"""`yld doctor --sync`: a flash-and-beep test of every way from a file to frames and samples.

Files with events at known times are made with the user's own ffmpeg; then each path reads them.
Its bias is the mean lag of flash behind beep, less that of the same events drawn directly at
25 fps. Beside ours stand the common shell recipe (25 fps by `-r` into AVI, sound to WAV) and a
reader that counts frames.
"""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np

from manifests.clock import FRAME_RATE, SAMPLE_RATE
from manifests.media.pictures import iter_pictures
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.plain_words import sentence
from stages.base import SetupError
from stages.sources.download.site import ffmpeg_path

SIZE_PX, SECONDS, NUM_EVENTS = 64, 31, 60
SOUND_RATE = 48000
BEEP_S, BEEP_HZ = 0.03, 2000.0
COLUMNS = ["source", "path", "events", "bias_ms", "spread_ms", "verdict"]
GOOD_MS = 5.0
TIMEOUT_S = 60.0
"""ffmpeg needs some seconds at most for half a minute of 64 x 64 pixels."""
NO_TOOL = "ffmpeg cannot be used: "
REMEDY = "put a working ffmpeg first in PATH, or take it out and run `make setup`"


@dataclasses.dataclass(frozen=True)
class Source:
    """A kind of file: frame times in s, ffmpeg's options, and how late its sound begins."""

    name: str
    file: str
    rate: Fraction
    options: dict[str, str]
    late_sound_s: float = 0.0


SOURCES = (
    Source("MP4, 25 fps, AAC", "a.mp4", Fraction(25), {"acodec": "aac"}),
    Source(
        "MP4, 29.97 fps, B-frames, AAC",
        "b.mp4",
        Fraction(30000, 1001),
        {"acodec": "aac", "bf": "2"},
    ),
    Source("MP4, 60 fps, AAC", "c.mp4", Fraction(60), {"acodec": "aac"}),
    Source(
        "MP4, 29.97 fps, sound begins 0.4 s late",
        "d.mp4",
        Fraction(30000, 1001),
        {"acodec": "aac"},
        0.4,
    ),
    Source(
        "MPEG-TS, 23.976 fps, B-frames, AAC",
        "e.ts",
        Fraction(24000, 1001),
        {"acodec": "aac", "bf": "2"},
    ),
    Source("Matroska, 29.97 fps, FLAC", "f.mkv", Fraction(30000, 1001), {"acodec": "flac"}),
)


def event_times_s() -> np.ndarray:
    """Times at all phases of every rate: steps of half a second and a bit."""
    return 0.6 + np.arange(NUM_EVENTS) * (0.5 + 1 / 997)


def check(say: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """A row per source and path. Where ffmpeg is missing, does not start, fails, crashes or
    hangs, the verdict says so in a sentence and what to do; the other rows are measured."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in SOURCES:
            say(source.name)
            rows += _rows_of(source, folder)
            if all(row["verdict"].startswith(NO_TOOL) for row in rows):
                return rows  # it will not be there for the next either, nor hang less long
    return rows


def _rows_of(source: Source, folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    path = None
    for title, read in PATHS.items():
        try:
            path = path or make(source, folder)
            rows.append(_row(source.name, title, *read(path, folder)))
        except RuntimeError as error:  # releases of ffmpeg have been seen to crash here
            # A file that could not be made is in no path's hands: tried once.
            titles = [title] if path else list(PATHS)
            rows += [
                {
                    "source": source.name,
                    "path": t,
                    "events": 0,
                    "bias_ms": None,
                    "spread_ms": None,
                    "verdict": str(error),
                }
                for t in titles
            ]
            if not path:
                break
        except (ValueError, av.FFmpegError) as error:
            rows.append(
                {
                    "source": source.name,
                    "path": title,
                    "events": 0,
                    "bias_ms": None,
                    "spread_ms": None,
                    "verdict": f"what ffmpeg gave cannot be read ({error}); {REMEDY}",
                }
            )
    return rows


def make(source: Source, folder: Path) -> Path:
    """The file: a white frame from an event's first frame to the next event, and a beep."""
    times = event_times_s()
    count = int(SECONDS * source.rate)
    shown = np.array([float(Fraction(i) / source.rate) for i in range(count)])
    state = np.searchsorted(times, shown + 1e-9, "right") % 2
    frames = np.repeat(np.where(state, 235, 16).astype(np.uint8), SIZE_PX * SIZE_PX)
    sound = np.zeros(SECONDS * SOUND_RATE, np.int16)
    beep = 12000 * np.sin(2 * np.pi * BEEP_HZ * np.arange(int(BEEP_S * SOUND_RATE)) / SOUND_RATE)
    for time in times:
        at = round(time * SOUND_RATE)
        sound[at : at + len(beep)] = beep[: max(0, len(sound) - at)]
    raw = folder / "sound.raw"
    raw.write_bytes(sound[round(source.late_sound_s * SOUND_RATE) :].tobytes())
    target = folder / source.file
    picture = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="gray", r=str(source.rate), s=f"{SIZE_PX}x{SIZE_PX}"
    )
    audio = ffmpeg.input(str(raw), format="s16le", ar=SOUND_RATE, ac=1)
    if source.late_sound_s:
        audio = audio.filter("asetpts", f"PTS+{source.late_sound_s}/TB")
    command = ffmpeg.output(
        picture, audio, str(target), vcodec="libx264", pix_fmt="yuv420p", crf=12, **source.options
    ).overwrite_output()
    _run(command.compile(cmd=_tool()), frames.tobytes())
    if not target.is_file():
        raise ToolError(f"ffmpeg ended well and wrote nothing; {REMEDY}")
    return target


class ToolError(RuntimeError):
    """What is wrong with ffmpeg, as a sentence with a remedy."""


def _tool() -> str:
    try:
        return ffmpeg_path()
    except SetupError as error:
        raise ToolError(f"{NO_TOOL}there is none ({error})") from None


def _run(command: Sequence[str], content: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(
            [command[0], "-loglevel", "error", *command[1:]],
            input=content,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{NO_TOOL}it gave no answer within {TIMEOUT_S:g} s; {REMEDY}") from None
    except OSError as error:
        raise ToolError(f"{NO_TOOL}it does not start: {sentence(error)}; {REMEDY}") from None
    if done.returncode < 0:
        raise ToolError(
            f"ffmpeg was killed by {_signal(-done.returncode)}; another release may "
            f"not be: {REMEDY}"
        )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = f", saying: {lines[-1][:160]}" if lines else " without a word"
        raise ToolError(f"ffmpeg failed (exit code {done.returncode}){said}; {REMEDY}")
    return done.stdout


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def by_clock(path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Our reading: canonical frames and samples."""
    video = open_video(path)
    light = [float(p.luma().mean()) for _, p in iter_pictures(video)]
    return changes(light, float(FRAME_RATE)), onsets(read_audio(video))


def by_shell(path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The common recipe: `-r 25` into AVI, its sound into WAV, both counted from zero."""
    avi, tool = folder / "recipe.avi", _tool()
    _run([tool, "-y", "-i", str(path), "-qscale:v", "2", "-async", "1", "-r", "25", str(avi)])
    return changes(_light(avi), 25.0), onsets(_samples(avi))


def by_index(path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frames counted at the stated rate (as OpenCV's users do), sound decoded from its start."""
    import cv2

    reader = cv2.VideoCapture(str(path))
    rate, light = reader.get(cv2.CAP_PROP_FPS), []
    while True:
        good, frame = reader.read()
        if not good:
            break
        light.append(float(frame.mean()))
    reader.release()
    return changes(light, rate), onsets(_samples(path))


def _light(path: Path) -> list[float]:
    raw = _run(
        [
            _tool(),
            "-i",
            str(path),
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-fps_mode",
            "passthrough",
            "-",
        ]
    )
    return list(np.frombuffer(raw, np.uint8).reshape(-1, SIZE_PX * SIZE_PX).mean(1))


def _samples(path: Path) -> np.ndarray:
    return np.frombuffer(
        _run(
            [
                _tool(),
                "-i",
                str(path),
                "-vn",
                "-ac",
                "1",
                "-ar",
                str(SAMPLE_RATE),
                "-f",
                "s16le",
                "-",
            ]
        ),
        np.int16,
    )


def changes(light: Sequence[float], rate: float) -> np.ndarray:
    """Times in s of frames that differ from the one before."""
    return np.flatnonzero(np.abs(np.diff(light)) > 60) / rate + 1 / rate


def onsets(pcm: np.ndarray) -> np.ndarray:
    """Times in s at which a beep begins: where its running energy first reaches half."""
    power = np.convolve(pcm.astype(np.float64) ** 2, np.ones(32) / 32, "same")
    loud = power > 0.25 * power.max()
    starts = np.flatnonzero(np.diff(loud.astype(int)) > 0)
    kept = [s for i, s in enumerate(starts) if i == 0 or s - starts[i - 1] > 0.2 * SAMPLE_RATE]
    return np.array(kept) / SAMPLE_RATE


OURS = "yld's clock"
PATHS = {
    OURS: by_clock,
    "shell recipe: -r 25, AVI, WAV": by_shell,
    "frames by index, sound from its start": by_index,
}


def _row(source: str, path: str, flashes: np.ndarray, beeps: np.ndarray) -> dict[str, Any]:
    times = event_times_s()
    reference = float(np.mean(np.ceil(times * 25 - 1e-9) / 25 - times))
    # Each event by the nearest in time: a path may lose the first or the last.
    lags = (
        [flashes[int(np.argmin(np.abs(flashes - b)))] - b for b in beeps]
        if (len(flashes) and len(beeps))
        else []
    )
    if len(lags) < NUM_EVENTS // 2:
        return {
            "source": source,
            "path": path,
            "events": len(lags),
            "bias_ms": None,
            "spread_ms": None,
            "verdict": "too few events were seen",
        }
    bias = 1000 * (float(np.mean(lags)) - reference)
    return {
        "source": source,
        "path": path,
        "events": len(lags),
        "bias_ms": round(bias, 1),
        "spread_ms": round(1000 * float(np.std(lags)), 1),
        "verdict": "in sync"
        if abs(bias) <= GOOD_MS
        else f"picture {'late' if bias > 0 else 'early'}",
    }
