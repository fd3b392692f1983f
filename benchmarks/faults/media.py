"""Damaged media through a real build: flipped bytes, cut ends, exchanged pieces, odd headers."""

from __future__ import annotations

import random
from pathlib import Path

import av

from benchmarks.faults.inputs import talks
from benchmarks.faults.runs import Bench, failures
from benchmarks.faults.tally import Tally

CONTAINERS = {
    "mp4": ("h264", "aac"),
    "mkv": ("h264", "flac"),
    "avi": ("mpeg4", "pcm_s16le"),
    "ts": ("h264", "aac"),
    "webm": ("libvpx", "libopus"),
    "mpg": ("mpeg1video", "mp2"),
    "mov": ("mjpeg", "pcm_s16le"),
}
ODD_SIZES = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1")
BATCH = 250
SECONDS_A_FILE = 12.0
START_S = 240.0


def run(bench: Bench, count: int, rng: random.Random, say=print) -> Tally:
    """Build `count` mutated files; each of them must be accepted, rejected or failed."""
    tally = Tally("damaged media")
    if not count:
        return tally
    with tally.timed():
        whole = _originals(bench.folder / "originals")
        for first in range(0, count, BATCH):
            number = min(BATCH, count - first)
            say(f"damaged media {first} to {first + number - 1}")
            folder = bench.folder / f"damaged{first}"
            made: set[bytes] = set()
            folder.mkdir()
            while len(made) < number:  # equal bytes would be one video
                original = rng.choice(whole)
                content, how = mutated(original.read_bytes(), rng)
                if content and content not in made:
                    path = folder / f"{len(made):04d}-{how}{original.suffix}"
                    path.write_bytes(content)
                    made.add(content)
            out = bench.folder / f"from{first}" / "corpus"
            bench.build(
                tally,
                f"batch {first}",
                START_S + SECONDS_A_FILE * number,
                folder,
                "--out",
                out,
                "--set",
                "workers.max_failure_rate=1",
                "--set",
                "workers.timeout_s={probe: 60, shots: 120}",
            )
            tally.cases += number
            bench.check_after(tally, f"batch {first}", out, number)
            for row in failures(out):
                if row["reason"] == "crash":
                    tally.crashes.append(f"{row['stage']} {row['item_id']}: {row['exception']}")
                else:
                    tally.notes.append(
                        f"failed in {row['stage']}, {row['reason']}: "
                        f"{(row['exception'] or '')[:160]}"
                    )
    return tally


def _originals(folder: Path) -> list[Path]:
    (talk,) = talks(folder / "source", 1.6, 1)
    return [
        _transcoded(talk, folder / f"talk.{suffix}", *codecs)
        for suffix, codecs in CONTAINERS.items()
    ]


def _transcoded(source: Path, target: Path, video_codec: str, audio_codec: str) -> Path:
    """The talk, small, in another container and with other codecs."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        rate = 48000
        video = made.add_stream(video_codec, rate=25)
        audio = made.add_stream(audio_codec, rate=rate, layout="stereo")
        if not (isinstance(video, av.VideoStream) and isinstance(audio, av.AudioStream)):
            raise ValueError(f"{video_codec} and {audio_codec}: no codecs of picture and sound")
        video.width, video.height = 320, 240
        video.pix_fmt = "yuvj420p" if video_codec == "mjpeg" else "yuv420p"
        resampler = av.AudioResampler(audio.codec_context.format or "s16", "stereo", rate)
        for frame in given.decode(video=0):
            picture = frame.reformat(320, 240, video.pix_fmt)
            picture.pict_type = 0
            made.mux(video.encode(picture))
        made.mux(video.encode(None))
        given.seek(0)
        fifo = av.AudioFifo()
        for block in given.decode(audio=0):
            for piece in resampler.resample(block):
                fifo.write(piece)
        if not audio.codec_context.is_open:
            audio.codec_context.open()
        size = audio.codec_context.frame_size or 1024
        while (full := fifo.read(size) or fifo.read(size, partial=True)) is not None:
            made.mux(audio.encode(full))
        made.mux(audio.encode(None))
    return target


def mutated(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Damaged bytes and the kind of damage."""
    how = rng.choice(["flips", "cut", "swap", "head", "zeros", "doubled", "hole", "tail"])
    data, size = bytearray(content), len(content)
    if how == "flips":
        for _ in range(rng.choice([1, 10, 100, 1000])):
            data[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[rng.randrange(1, size) :]
    elif how == "swap":
        length = rng.randrange(1, size // 4)
        a, b = rng.randrange(size - length), rng.randrange(size - length)
        data[a : a + length], data[b : b + length] = data[b : b + length], data[a : a + length]
    elif how == "head":  # sizes, brands, counts, time bases
        for _ in range(rng.choice([1, 4, 16])):
            place = rng.randrange(min(size - 4, 2000))
            data[place : place + 4] = rng.choice([*ODD_SIZES, rng.randbytes(4)])
    elif how == "zeros":
        place, length = rng.randrange(size), rng.choice([16, 512, 8192])
        data[place : place + length] = bytes(min(length, size - place))
    elif how == "doubled":
        place, length = rng.randrange(size), rng.randrange(1, size // 2)
        data[place:place] = data[place : place + length]
    elif how == "hole":
        place = rng.randrange(size)
        del data[place : place + rng.choice([1, 3, 188, 4096])]
    else:  # what is seldom looked at: tables at the end
        for _ in range(rng.choice([1, 8, 64])):
            data[size - 1 - rng.randrange(min(size, 3000))] = rng.randrange(256)
    return bytes(data), how
