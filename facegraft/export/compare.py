"""The exported graph against torch, and its speed: figures that go onto the card."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.core.session import session_options
from facegraft.export.to_onnx import Ports, answers

ROUNDS = 30
LARGEST = {False: 1e-3, True: 2e-2}
"""Weights in float16 or not -> the largest difference to torch that is let pass, as a share of the largest output."""


def largest_differences(
    net: nn.Module, path: Path, samples: Sequence[tuple[Tensor, ...]], ports: Ports
) -> dict[str, float]:
    """Output -> largest absolute difference to torch in float32, over all samples.

    Raises:
        BadInputError: The file cannot be run, or gives other shapes or something that is no number.
    """
    session = open_session(path, 1)
    largest = dict.fromkeys(ports.output_names, 0.0)
    for sample in samples:
        with torch.no_grad():
            expected = answers(net.eval(), sample)
        feeds = {name: tensor.numpy() for name, tensor in zip(ports.input_names, sample, strict=True)}
        found = session.run(list(ports.output_names), feeds)
        for name, ours, theirs in zip(ports.output_names, found, expected, strict=True):
            if ours.shape != tuple(theirs.shape):
                raise BadInputError(f"{shown(path)}: {name} is {ours.shape}, but {tuple(theirs.shape)} in torch")
            difference = np.abs(ours.astype(np.float64) - theirs.double().numpy())
            if not np.isfinite(difference).all():
                raise BadInputError(f"{shown(path)}: {name} is no number in places, in torch or in the file")
            largest[name] = max(largest[name], float(difference.max(initial=0)))
    return largest


def check_differences(
    net: nn.Module, samples: Sequence[tuple[Tensor, ...]], differences: Mapping[str, float], path: Path, *, half: bool
) -> None:
    """Takes the file away again where it does not do what torch does.

    Args:
        net: What was exported.
        samples: Inputs that `largest_differences` compared.
        differences: What it found; in the order of the outputs.
        path: The file.
        half: Whether weights were stored in float16.

    Raises:
        BadInputError: A difference is larger than `LARGEST` lets pass.
    """
    with torch.no_grad():
        outputs = [answers(net, sample) for sample in samples]
    for number, (name, difference) in enumerate(differences.items()):
        allowed = LARGEST[half] * max(1.0, *(float(output[number].abs().max()) for output in outputs))
        if difference > allowed:
            path.unlink()
            found = f"{name} differs from torch by {difference:.2g}, at most {allowed:.2g} is let pass"
            raise BadInputError(f"{shown(path)}: not written: {found}; export without --half, or mend the network")


def milliseconds(path: Path, sample: tuple[Tensor, ...], ports: Ports, threads: int) -> float:
    """Median time of one run on the CPU, after three to warm up."""
    session = open_session(path, threads)
    feeds = {name: tensor.numpy() for name, tensor in zip(ports.input_names, sample, strict=True)}
    times = []
    for _ in range(ROUNDS + 3):
        began = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[3:])


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """On the CPU.

    Raises:
        BadInputError: ONNX Runtime cannot read the file.
    """
    options = session_options(threads)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class but this one
        reason = " ".join(str(error).split())
        raise BadInputError(f"{shown(path)}: ONNX Runtime cannot read it ({reason})") from error
