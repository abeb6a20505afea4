"""The recogniser on LFW's development folds and on renders, beside our judge, dlib's and MobileFaceNet; their times."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eye_networks.held_out import Renders, Setup, watched
from eye_networks.measures import Figure, alternating, chosen, mean_error
from eye_networks.shared_tools import lfw
from eye_networks.table import OURS, Line, Result, time_lines
from facegraft.core.errors import MissingPartError
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import missing_models, recogniser_path
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.own import OwnNetworks
from facegraft.faces.recognisers import OnnxRecogniser, cut
from facegraft.faces.topology import five_points, load_topology
from facegraft.train.eyes.verification import best_threshold

NAME, JUDGE = "identity", "judge"
"""Files: that by which methods know people, and the older one, which judges only where no other was fetched."""
DLIB, MOBILE, OUR_JUDGE = "dlib", "MobileFaceNet", "our judge"
PUBLISHED = "dlib's own figure"
PUBLISHED_PERCENT = 99.38
NOTE = (
    f"dlib publishes {PUBLISHED_PERCENT} % on all ten folds of LFW (dlib.net, face recognition); here are folds 1 to 3."
)
FIRST_NAMES = Path(__file__).parents[2] / "tools" / "lfw_first_names.csv"
KINDS = ("age", "monk", "women", "men")
"""How groups begin whose strangers are alike."""


def measure(setup: Setup, renders: Renders | None) -> Result:
    """All figures of the recogniser. Nothing is looked at where ours is missing: its rivals take minutes."""
    result = Result(notes=[NOTE])
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
            labels=FIRST_NAMES,
            worst=setup.sheets,
        )
        if setup.sheets is not None:
            setup.sheets.mkdir(parents=True, exist_ok=True)
        told = lfw.measure(asked, analyser)
    result.notes.append(f"LFW: {told['pairs']} pairs; {told['no_face']} pictures without a face found are kept.")
    result.lines.extend(lines_of(told, list(models)))
    if renders is not None:
        result.lines.extend(on_renders(models, renders))
    result.lines.extend(times(setup, models))
    return result


def rivals(setup: Setup, result: Result) -> dict[str, Path]:
    """The recognisers that are there."""
    judge = setup.network(JUDGE)
    found = {OUR_JUDGE: judge} if judge else {}
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
        if key == "accuracy":
            figures[PUBLISHED] = Figure(PUBLISHED_PERCENT, None, None, 0)
        lines.append(Line(NAME, f"LFW: {name}", "all", figures, aim))
    for group in told[models[0]]["groups"]:
        some = {model: told[model]["groups"].get(group) for model in models}
        figures = {m: _percent(one["accuracy"], one["interval"], one["pairs"]) for m, one in some.items() if one}
        lines.append(Line(NAME, "LFW: % right over the folds, with the mirror image", group, figures))
    return lines


def on_renders(models: dict[str, Path], renders: Renders) -> list[Line]:
    """Pairs of rendered people told right, per group: of one person, and of strangers of one age, sex and tone."""
    alike = ["/".join(one for one in labels if one.startswith(KINDS)) for labels in renders.labels()]
    right: dict[str, np.ndarray] = {}
    for name, path in models.items():
        vectors = vectors_of(OnnxRecogniser(path), renders, name)
        right[name] = 100 * told_right(vectors, renders.people, alike)
    measure_name = "renders: % right, one person's pairs and those of strangers alike"
    return [
        Line(
            NAME,
            measure_name,
            group,
            {who: mean_error(own[mask], chosen(renders.people, mask), looked=False) for who, own in right.items()},
        )
        for group, mask in renders.groups().items()
        if mask.any()
    ]


def vectors_of(net: OnnxRecogniser, renders: Renders, name: str) -> np.ndarray:
    """Unit vector of each picture's face, cut by exact points: the sum of those of its crop and of its mirror image."""
    rows = []
    for frame, dense in watched(list(zip(renders.frames, renders.dense, strict=True)), f"people of renders, {name}"):
        points = dense.astype(np.float32)
        crop = cut(frame, five_points(load_topology(), points), points, net.size_px)
        rows.append(net.raw(np.stack([crop, crop[:, ::-1]])).sum(axis=0))
    vectors = np.stack(rows)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def told_right(vectors: np.ndarray, people: list[str], alike: list[str]) -> np.ndarray:
    """Of each picture: mean of the shares of its person's other pictures accepted and of strangers alike refused.

    The threshold for the pictures of half of the people is the best one for pairs of the other half. NaN where a
    picture has no other of its person, or no stranger alike.
    """
    names, numbers = np.unique(people, return_inverse=True)
    kinds = np.unique(alike, return_inverse=True)[1]
    scores = vectors @ vectors.T
    one = (numbers[:, None] == numbers) & ~np.eye(len(people), dtype=bool)
    strangers = (kinds[:, None] == kinds) & (numbers[:, None] != numbers)
    half = np.random.default_rng(0).permutation(len(names))[numbers] % 2
    found = np.full(len(people), np.nan)
    for side in (0, 1):
        here, there = half == side, half != side
        pairs = np.ix_(there, there)
        same, other = scores[pairs][one[pairs]], scores[pairs][strangers[pairs]]
        threshold = balanced_threshold(same, other)
        accepted = scores > threshold
        for row in np.flatnonzero(here):
            if one[row].any() and strangers[row].any():
                found[row] = (accepted[row][one[row]].mean() + (~accepted[row])[strangers[row]].mean()) / 2
    return found


def balanced_threshold(same: np.ndarray, other: np.ndarray) -> float:
    """The best one where both kinds of pairs count as much: the rarer kind is repeated."""
    times = max(1, round(len(other) / max(len(same), 1)))
    scores = np.concatenate([np.repeat(same, times), other])
    return best_threshold(scores, np.arange(len(scores)) < len(same) * times)


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
