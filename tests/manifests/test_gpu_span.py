"""Frames by torchcodec are those of PyAV; where it cannot decode, that is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest

from manifests.media import gpu_span
from manifests.media.encode import encode_video

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def video() -> bytes:
    y, x = np.mgrid[:256, :256]
    waves = [128 + 90 * np.sin((x + 5 * k) / 17) * np.cos((y - 2 * k) / 23) for k in range(30)]
    return encode_video([np.stack([w, 255 - w, w / 2], 2).astype(np.uint8) for w in waves])[0]


def linked(folder: Path) -> Path:
    """PyAV's own FFmpeg under the names that torchcodec looks for."""
    libraries = Path(av.__file__).parents[1] / "av.libs"
    for library in libraries.glob("lib*.so.*"):
        name, _, version = library.name.partition(".so.")
        link = folder / f"{name.partition('-')[0]}.so.{version.partition('.')[0]}"
        if not link.exists():
            link.symlink_to(library)
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries are found as on Linux")
def test_they_are_the_frames_of_pyav(video, tmp_path):
    pytest.importorskip("torchcodec")
    (tmp_path / "face.mp4").write_bytes(video)
    program = """
        import sys
        import numpy as np
        from manifests.media import gpu_span, span
        if gpu_span.why_not() is not None:
            sys.exit(77)
        gpu_span.use("torchcodec", "cpu")
        content = open(sys.argv[1], "rb").read()
        lip = (slice(130, 226), slice(80, 176))
        for first, count, window in ((0, None, span.WHOLE), (3, 9, lip), (24, 6, lip)):
            wanted = span.decode_rgb(content, first, count, window)
            assert np.array_equal(gpu_span.decode_rgb(content, first, count, window), wanted)
        try:
            gpu_span.decode_rgb(content, 25, 6, lip)
        except ValueError as error:
            assert "there are 30" in str(error)
        else:
            raise AssertionError("frames that are not there")
        """
    paths = [str(linked(tmp_path)), str(Path(av.__file__).parents[1] / "av.libs")]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "face.mp4")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": os.pathsep.join(paths)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode == 77:
        pytest.skip("torchcodec does not load with PyAV's FFmpeg on this machine")
    assert done.returncode == 0, done.stderr[-2000:]


def test_where_it_cannot_decode_there_is_one_sentence_before_any_sample(monkeypatch):
    monkeypatch.setattr(gpu_span, "why_not", lambda: "torchcodec is not installed")
    with pytest.raises(gpu_span.NoDecoderError, match="torchcodec is not installed: leave"):
        gpu_span.use("torchcodec")
    assert gpu_span.device() is None


def test_other_colours_than_pyavs_are_not_believed():
    true = np.full((2, 4, 4, 3), 100, np.uint8)
    gpu_span._believe(true + 1, true, "a device")
    with pytest.raises(gpu_span.NoDecoderError, match="other colours than PyAV"):
        gpu_span._believe(true + 4, true, "another device")
    gpu_span._believed.clear()
