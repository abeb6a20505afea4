"""ONNX Runtime sessions that run where they were told to run, or say why not.

ONNX Runtime moves to the CPU with little more than a warning when a device's libraries are missing, and
again when a device fails during a run. Both are errors here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from pathlib import Path

import numpy as np
import onnxruntime

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.machine import physical_cores
from facegraft.core.session import session_options

LOG = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
DEVICES = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Name of a device as a user writes it -> ONNX Runtime's provider."""
AUTO = ("cuda", "migraphx", "directml")
"""What "auto" tries before the CPU: never slower than the CPU, and no minutes of compiling at the start."""
PACKAGES = {
    "cuda": "onnxruntime-gpu[cuda,cudnn]",
    "tensorrt": "onnxruntime-gpu[cuda,cudnn]",
    "migraphx": "onnxruntime-migraphx",
    "directml": "onnxruntime-directml",
    "coreml": "onnxruntime",
    "openvino": "onnxruntime-openvino",
}
"""Device -> the package that brings its provider; these replace the package `onnxruntime`."""


def available_providers() -> list[str]:
    """ONNX Runtime's providers of the installed package, its favourite first; a listed one may still not work."""
    return list(onnxruntime.get_available_providers())


def make_session(
    model: Path | bytes, *, device: str = "auto", threads: int | None = None, strict: bool = False
) -> onnxruntime.InferenceSession:
    """Builds a session on a device and runs it once with zeros, so that the first frame is no slower than the others.

    The run with zeros is left out where a dimension other than the batch has no fixed size.

    Args:
        model: The file, or its content.
        device: A key of `DEVICES`, a provider's own name, or "auto": the first of `AUTO` that works, else the
            CPU. A device that is installed but does not work is an error, but for "auto" only a warning.
        threads: For operators on the CPU; None: one per physical core.
        strict: Refuse a graph of which the device leaves even one operator to the CPU.

    Raises:
        BadInputError: The device's name is unknown, or the model is no ONNX graph that this runtime can read.
        MissingPartError: There is no such file, or the device is not installed or does not work.
    """
    if device not in ("auto", *DEVICES, *available_providers()):
        raise BadInputError(f"device {device!r} is unknown; choose from auto, {', '.join(DEVICES)}")
    if isinstance(model, Path) and not model.is_file():
        raise MissingPartError(f"{model}: no such model file; `facegraft doctor` lists what is missing")
    if device != "auto":
        return _build(model, device, threads, strict)
    for candidate in AUTO:
        if DEVICES[candidate] in available_providers():
            try:
                return _build(model, candidate, threads, strict)
            except MissingPartError as error:
                LOG.warning("%s; going on with the next device", error)
    return _build(model, "cpu", threads, strict)


def warm_up(session: onnxruntime.InferenceSession) -> bool:
    """Runs the session once with zeros; False where a dimension other than the first has no fixed size."""
    feeds = {}
    for entry in session.get_inputs():
        first, *others = entry.shape or [1]
        if not all(isinstance(size, int) for size in others):
            return False
        shape = (first if isinstance(first, int) else 1, *others) if entry.shape else ()
        feeds[entry.name] = np.zeros(shape, _numpy_type(entry.type))
    session.run(None, feeds)
    return True


def _build(model: Path | bytes, device: str, threads: int | None, strict: bool) -> onnxruntime.InferenceSession:
    provider = DEVICES.get(device, device)
    on_cpu = provider == CPU
    if provider not in available_providers():
        raise MissingPartError(
            f"device {device}: the installed onnxruntime has only {', '.join(available_providers())}; "
            f"put '{PACKAGES[device]}' in its place (pip uninstall onnxruntime first)"
        )
    reason = _preload_cuda() if provider in (DEVICES["cuda"], DEVICES["tensorrt"]) else ""
    try:
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            _options(threads, strict=strict and not on_cpu),
            providers=[provider] if on_cpu or strict else [provider, CPU],
            enable_fallback=0,
        )
        in_use = session.get_providers()[0]
        if in_use == provider:
            warm_up(session)
    except BadInputError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise _explained(error, model, device, reason) from error
    if in_use != provider:
        raise MissingPartError(
            f"device {device} does not work: ONNX Runtime fell back to {in_use}. "
            f"{reason or 'Its libraries are missing or of another version'}; `facegraft doctor` tries every device"
        )
    LOG.info("session on %s", device)
    return session


def _options(threads: int | None, *, strict: bool) -> onnxruntime.SessionOptions:
    options: onnxruntime.SessionOptions = session_options(threads or physical_cores())
    options.log_severity_level = 4  # what goes wrong comes as an exception too
    if strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _explained(error: Exception, model: Path | bytes, device: str, reason: str) -> BadInputError | MissingPartError:
    line = " ".join(str(error).split())[:300]
    if type(error).__name__ in ("InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NoModel", "NotImplemented"):
        name = model if isinstance(model, Path) else "model"
        return BadInputError(f"{name}: not an ONNX graph that ONNX Runtime {onnxruntime.__version__} can run: {line}")
    if "disable" in line and "fallback to CPU EP" in line:
        line = "it leaves the graph to the CPU"
    return MissingPartError(f"device {device} does not work: {line}{'. ' if reason else ''}{reason}")


def _preload_cuda() -> str:
    """Loads CUDA's libraries from NVIDIA's wheels, so that nobody has to install CUDA; says what it cannot load."""
    preload = getattr(onnxruntime, "preload_dlls", None)  # since ONNX Runtime 1.21
    said = io.StringIO()
    if preload is not None:
        with contextlib.redirect_stdout(said):  # it prints what it cannot load; standard output is not its place
            preload()
    lost = re.findall(r"Failed to load (\S+?):", said.getvalue())
    return f"Missing libraries: {', '.join(lost)}" if lost else " ".join(said.getvalue().split())


def _numpy_type(onnx_type: str) -> type[np.generic]:
    kinds: dict[str, type[np.generic]] = {
        "tensor(float)": np.float32,
        "tensor(float16)": np.float16,
        "tensor(double)": np.float64,
        "tensor(uint8)": np.uint8,
        "tensor(int8)": np.int8,
        "tensor(int32)": np.int32,
        "tensor(int64)": np.int64,
        "tensor(bool)": np.bool_,
    }
    if onnx_type not in kinds:
        raise BadInputError(f"an input of the model is {onnx_type}; expected one of {', '.join(kinds)}")
    return kinds[onnx_type]
