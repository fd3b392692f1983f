"""Where a backend runs. A device that is asked for and not active is an error, never a CPU run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from manifests.weights.cache import ModelFileError, unusable
from stages.base import SetupError

DEVICES = ("cpu", "cuda")


def need(module: str, extra: str) -> ModuleType:
    """Import a library of an extra. Raises SetupError that names the extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SetupError(missing(module.partition(".")[0], extra, str(error))) from error


def missing(library: str, extra: str, why: str) -> str:
    """What to say of a library that a backend needs."""
    return (
        f"{library} is needed for this backend and cannot be imported ({why}); in the "
        f"checkout: .venv/bin/uv pip install -e '.[{extra}]'"
    )


def cpu_only(device: str, backend: str) -> None:
    """Raises SetupError where a backend that knows no GPU is asked to use one."""
    _known(device)
    if device != "cpu":
        raise SetupError(
            f"{backend} runs on the CPU alone; set its device to cpu, or choose "
            "another backend (docs/backends.md lists those for GPUs)"
        )


def torch_device(device: str) -> Any:
    """The torch device. Raises SetupError where it is not active."""
    _known(device)
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise SetupError(
            "the device cuda was asked for and no GPU is active here; set the device "
            "to cpu, or run where `yld doctor` shows a GPU"
        )
    if device == "cuda":
        # Not `benchmark`: it chooses kernels by how fast they ran, so that two workers, or a run
        # and its repetition, would differ in the last bits.
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    else:
        torch.set_num_threads(1)  # one worker per core; more threads would also move the bytes
    return torch.device(device)


def is_lost(error: BaseException) -> bool:
    """Whether the GPU is lost to this process: after such a fault every later call fails too.

    A GPU that is merely out of memory is not lost.
    """
    text = str(error)
    return (
        isinstance(error, RuntimeError)
        and "out of memory" not in text
        and (text.startswith("CUDA error") or "CUBLAS_STATUS" in text or "CUDNN_STATUS" in text)
    )


def onnx_options(device: str) -> dict[str, Any]:
    """Arguments of an onnxruntime session. Raises SetupError where the GPU cannot be used."""
    _known(device)
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if device == "cpu":
        return {"providers": ["CPUExecutionProvider"], "sess_options": options}
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise SetupError(
            "the device cuda was asked for and this onnxruntime has no GPU part; put "
            "onnxruntime-gpu in its place, or set the device to cpu"
        )
    return {"providers": ["CUDAExecutionProvider"], "sess_options": options}


def check_active(session: Any, device: str) -> None:
    """onnxruntime falls back to the CPU with a mere log line. Raises SetupError if it did."""
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise SetupError(
            "the device cuda was asked for and onnxruntime fell back to "
            f"{session.get_providers()[0]}; its CUDA libraries are wanting, or set "
            "the device to cpu"
        )


def onnx_session(model: bytes | Path, device: str) -> Any:
    """An onnxruntime session of one thread, from a file or the bytes of one. Raises SetupError
    where the GPU cannot be used; onnxruntime's own errors for what is no network."""
    import onnxruntime

    options = onnx_options(device)
    session = onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), **options
    )
    check_active(session, device)
    return session


def open_insightface(find: Callable[[], Path], kind: str, device: str, **more: Any) -> Any:
    """The network in an ONNX file, opened by insightface's model zoo as its class `kind`.

    `find` gives the file, and may fetch it: device and library are looked at first. Raises
    SetupError (library, GPU or file wanting, or another kind of file).
    """
    options = onnx_options(device)
    zoo = need("insightface.model_zoo", "insightface")
    path = find()
    try:
        network = zoo.get_model(str(path), **more, **options)
    except Exception as error:  # onnxruntime has no common base for what a bad file raises
        raise SetupError(f"{path} cannot be opened: {error}") from error
    if not isinstance(network, getattr(zoo, kind)):
        raise SetupError(f"{path} is not an {kind} network")
    check_active(network.session, device)
    return network


def load_state(network: Any, path: Path, device: Any) -> Any:
    """A torch network with the weights of `path`, ready to run on `device`.

    Nothing in the file is executed. Names may begin with `module.`, as DataParallel writes
    them. Raises SetupError for a file that does not fit.
    """
    from stages.networks.released import read_state

    try:
        state = read_state(path)
        state = {name.removeprefix("module."): value for name, value in state.items()}
        network.load_state_dict(state, strict=True)
    except ModelFileError as error:
        raise SetupError(str(error)) from error
    except (RuntimeError, AttributeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        fault = f"it does not hold the weights of {type(network).__name__}: {reason}"
        raise SetupError(str(unusable(path, fault))) from error
    return network.eval().requires_grad_(False).to(device)


def _known(device: str) -> None:
    if device not in DEVICES:
        raise SetupError(f"no device is named {device!r}; there are: {', '.join(DEVICES)}")
