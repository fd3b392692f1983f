"""What this machine has, what is missing and what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import subprocess
import sys
from typing import Any

from manifests.plain_words import SAYINGS

MODULES = (
    # (import name, distribution, what needs it)
    ("av", "av", "all media"),
    ("cv2", "opencv-python-headless", "shots, registration"),
    ("dlib", "dlib-bin", "faces"),
    ("ray", "ray", "every run"),
    ("onnxruntime", "onnxruntime", "identity, speech"),
    ("torch", "torch", "synchrony, training"),
    ("silero_vad", "silero-vad", "speech"),
    ("scenedetect", "scenedetect", "shots"),
    ("yt_dlp", "yt-dlp", "downloads"),
    ("pyarrow", "pyarrow", "manifests"),
    ("webdataset", "webdataset", "reading shards"),
    ("ffmpeg", "ffmpeg-python", "the demo"),
    ("fsspec", "fsspec", "remote folders"),
)


def examine() -> list[dict[str, Any]]:
    """Rows of part, state (ok | missing | optional), found, remedy."""
    rows = [_python()]
    for module, distribution, purpose in MODULES:
        try:
            importlib.import_module(module)
            rows.append(
                _row(f"{distribution} ({purpose})", "ok", importlib.metadata.version(distribution))
            )
        except Exception as error:  # a broken wheel can raise anything on import
            rows.append(
                _row(
                    f"{distribution} ({purpose})",
                    "missing",
                    f"{type(error).__name__}: {error}"[:80],
                    "make setup",
                )
            )
    return [
        *rows,
        _weights(),
        _ffmpeg(),
        _runtime(),
        _gpu(),
        _space(),
        _metrics(),
        _backends(),
        _torchcodec(),
        _fetched(),
    ]


def _row(part: str, state: str, found: str, remedy: str = "") -> dict[str, Any]:
    return {"part": part, "state": state, "found": found, "remedy": remedy}


def _python() -> dict[str, Any]:
    version = sys.version_info[:2]
    good = (3, 11) <= version <= (3, 13)
    return _row(
        "Python",
        "ok" if good else "missing",
        sys.version.split()[0],
        "" if good else "use Python 3.11, 3.12 or 3.13",
    )


def _weights() -> dict[str, Any]:
    from stages.backends.dlib_faces import model_file
    from stages.base import SetupError

    try:
        model_file("shape_predictor_68_face_landmarks.dat")
    except SetupError as error:
        return _row("68-point model", "missing", str(error)[:80], "make setup")
    return _row("68-point model (iBUG 300-W, research use only)", "ok", "embedded")


def _ffmpeg() -> dict[str, Any]:
    from stages.base import SetupError
    from stages.sources.download.site import ffmpeg_path

    try:
        path = ffmpeg_path()
        line = subprocess.run(
            [path, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=True,
        ).stdout.splitlines()[0]
    except SetupError:
        return _row("ffmpeg (merging downloads)", "missing", "none", "make setup")
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        return _row(
            "ffmpeg (merging downloads)",
            "missing",
            f"{path} {_why(error)}",
            "put a working one first in PATH, or take it out and run make setup",
        )
    return _row("ffmpeg (merging downloads)", "ok", " ".join(line.split()[:3]))


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"gives no answer within {error.timeout:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        return f"fails (exit code {error.returncode})"
    if isinstance(error, IndexError):
        return "does not tell its version"
    return SAYINGS.get(getattr(error, "errno", None) or 0, "does not start")


def _runtime() -> dict[str, Any]:
    try:
        import deno

        return _row("JavaScript runtime (YouTube)", "ok", deno.find_deno_bin().split("/")[-1])
    except (ImportError, FileNotFoundError):
        other = shutil.which("node") or shutil.which("deno")
        if other:
            return _row("JavaScript runtime (YouTube)", "ok", other)
        return _row("JavaScript runtime (YouTube)", "missing", "none", "make setup, or deno")


def _gpu() -> dict[str, Any]:
    try:
        import torch

        name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    except Exception as error:  # a driver fault is a finding, not an end
        return _row("GPU", "optional", str(error)[:80])
    return _row("GPU", "ok" if name else "optional", name or "none; everything runs on the CPU")


def _space() -> dict[str, Any]:
    free = shutil.disk_usage(".").free / 1e9
    return _row(
        "free disk space here",
        "ok" if free > 5 else "optional",
        f"{free:.0f} GB",
        "" if free > 5 else "build where there is more room",
    )


def _metrics() -> dict[str, Any]:
    have = [n for n in ("pesq", "pyworld") if importlib.util.find_spec(n)]
    return _row(
        "native-metrics (pesq, pyworld)",
        "ok" if len(have) == 2 else "optional",
        ", ".join(have) or "none",
        "" if len(have) == 2 else "needs a compiler",
    )


def _backends() -> dict[str, Any]:
    names = ("insightface", "facexlib", "face_alignment", "mediapipe")
    have = [n for n in names if importlib.util.find_spec(n)]
    whole = len(have) == len(names)
    return _row(
        "other face backends (docs/backends.md)",
        "ok" if whole else "optional",
        ", ".join(have) or "none",
        "" if whole else "uv pip install -e '.[faces]'",
    )


def _torchcodec() -> dict[str, Any]:
    """Hugging Face `datasets` asks for it, and so may a training (`view.decoder=torchcodec`)."""
    from manifests.media.gpu_span import why_not

    part = "torchcodec (Hugging Face datasets, decoding on a GPU)"
    why = why_not()
    if why is None:
        return _row(part, "ok", importlib.metadata.version("torchcodec"))
    if not importlib.util.find_spec("torchcodec"):
        return _row(part, "optional", "none", "uv pip install torchcodec; nothing of yld needs it")
    return _row(part, "optional", why, "install FFmpeg 4 to 9 with shared libraries")


def _fetched() -> dict[str, Any]:
    """By name alone: `yld models verify` reads the files."""
    from manifests.weights.cache import REGISTRY, cache_folder

    folder = cache_folder()
    have = [name for name in REGISTRY if (folder / name).exists()]
    return _row(
        "fetched weight files",
        "ok" if have else "optional",
        f"{len(have)} of {len(REGISTRY)} in {folder}",
        "" if have else "yld models list",
    )
