"""The recogniser on LFW's development folds, beside dlib's and MobileFaceNet, and their times."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eye_networks.held_out import Setup
from eye_networks.measures import Figure, alternating
from eye_networks.shared_tools import lfw
from eye_networks.table import OURS, Line, Result, time_lines
from facegraft.core.errors import MissingPartError
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import missing_models, recogniser_path
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.own import OwnNetworks
from facegraft.faces.recognisers import OnnxRecogniser

NAME = "identity"
DLIB, MOBILE = "dlib", "MobileFaceNet"
PUBLISHED = "dlib publishes 99.38 % on all ten folds of LFW; here are folds 1 to 3."


def measure(setup: Setup) -> Result:
    """All figures of the recogniser. Nothing is looked at where ours is missing: its rivals take minutes."""
    result = Result(notes=[PUBLISHED])
    ours = setup.network(NAME)
    folder = setup.data / "eval" if setup.data else None
    if ours is None:
        return Result(missing=[f"identity: no {NAME}.onnx among the weights; the recognisers beside it are not run"])
    if folder is None or not (folder / "lfw_pairs.csv").is_file():
        return Result(missing=["identity: no eval/lfw_pairs.csv in FACEGRAFT_DATA"])
    models = {OURS: ours} | rivals(setup, result)
    analyser = analyser_of(setup, result)
    if setup.most:
        result.notes.append("identity: --most does not shorten the folds of LFW.")
    with tempfile.TemporaryDirectory() as scratch:
        asked = argparse.Namespace(
            folder=folder,
            model=[f"{name}={path}" for name, path in models.items()],
            cache=setup.cache or Path(scratch),
            labels=None,
            worst=setup.sheets,
        )
        if setup.sheets is not None:
            setup.sheets.mkdir(parents=True, exist_ok=True)
        told = lfw.measure(asked, analyser)
    result.notes.append(f"LFW: {told['pairs']} pairs; {told['no_face']} pictures without a face found are kept.")
    result.lines.extend(lines_of(told, list(models)))
    result.lines.extend(times(setup, models))
    return result


def rivals(setup: Setup, result: Result) -> dict[str, Path]:
    """The recognisers that are there."""
    found: dict[str, Path] = {}
    try:
        found[DLIB] = recogniser_path()
    except MissingPartError as error:
        result.missing.append(f"dlib beside identity: {error}")
    mobile = setup.teacher("MobileFaceNet.onnx")
    if mobile is None:
        result.missing.append("MobileFaceNet beside identity: not among the teachers of FACEGRAFT_DATA")
    return found | ({MOBILE: mobile} if mobile else {})


def analyser_of(setup: Setup, result: Result) -> Analyser:
    """Our own analysis where both its networks are there, MediaPipe's else.

    Raises:
        MissingPartError: Neither is there.
    """
    if setup.network("detector") and setup.network("landmarks"):
        return Analyser(OwnNetworks(setup.weights, threads=1))
    if missing_models():
        raise MissingPartError("identity: neither our detector and landmarks nor MediaPipe's models are here")
    result.notes.append("Faces of LFW are placed by MediaPipe, for there is no detector.onnx yet.")
    return Analyser(MediaPipeNetworks(threads=1))


def lines_of(told: dict[str, Any], models: list[str]) -> list[Line]:
    """Accuracy over the folds, true accepts at 1 % false ones, and accuracy of groups of pairs."""
    lines = []
    for name, key, ends, aim in (
        ("% right over the folds, with the mirror image", "accuracy", "interval", "98.5 %, or clean 97.5 %"),
        ("% of one person's pairs accepted at 1 % false accepts", "tar", "tar_interval", ""),
    ):
        figures = {model: _percent(told[model][key], told[model][ends], told[model]["pairs"]) for model in models}
        lines.append(Line(NAME, f"LFW: {name}", "all", figures, aim))
    for group in told[models[0]]["groups"]:
        some = {model: told[model]["groups"].get(group) for model in models}
        figures = {m: _percent(one["accuracy"], one["interval"], one["pairs"]) for m, one in some.items() if one}
        lines.append(Line(NAME, "LFW: % right over the folds, with the mirror image", group, figures))
    return lines


def times(setup: Setup, models: dict[str, Path]) -> list[Line]:
    """One crop of noise, cut beforehand."""
    calls = {}
    for name, path in models.items():
        net = OnnxRecogniser(path, threads=1)
        noise = np.random.default_rng(0).integers(0, 256, (1, net.size_px, net.size_px, 3), dtype=np.uint8)
        calls[name] = partial(net.raw, noise)
    return time_lines(NAME, "one crop", alternating(calls, setup.rounds), "8 ms (2 threads)")


def _percent(value: float, ends: tuple[float, float], count: int) -> Figure:
    return Figure(100 * value, 100 * ends[0], 100 * ends[1], count)
