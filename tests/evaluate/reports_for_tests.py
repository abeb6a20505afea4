"""What tests of reports share: a report of made-up numbers, and a small dataset of example people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facegraft.core.image_bytes import encode_frame
from facegraft.data.dataset import DatasetCard, Item, Pair, write_card, write_shard
from facegraft.evaluate.protocol import PROTOCOL, Metric, Scores
from facegraft.evaluate.results import Kind, Network, Report, Result, Strip, summarise
from tests.evaluate.cases_for_tests import example, flat

GAP = Metric("identity_gap", "", "high", -2.0, "Likeness to one minus likeness to the other", primary=True)
LIKENESS = Metric("realism_distance", "x 1000", "low", 99.0, "Distance from real faces <of the set>", primary=True)
POSE = Metric("pose_degrees", "degrees", "low", 180.0, "Angle between the heads", primary=True)
LIGHT = Metric("light", "stops", "low", 3.0, "Light on the face apart")
METRICS = {metric.name: metric for metric in (GAP, LIKENESS, POSE, LIGHT)}
STRATA = ("ordinary", "large pose")


def scores(name: str, level: float, cases: int = 24, *, failed: int = 0) -> Scores:
    """Every metric of case k is the level plus k / 100; two cases per person; the last `failed` cases failed."""
    values = {metric: level + np.arange(cases) / 100 for metric in METRICS}
    for metric in METRICS.values():
        values[metric.name][cases - failed :] = metric.worst
    return Scores(
        method=name,
        keys=tuple(f"case {k:02d}" for k in range(cases)),
        people=tuple(f"person {k // 2}" for k in range(cases)),
        strata=tuple(STRATA[k % 2] for k in range(cases)),
        groups={"skin": tuple("Monk 1-3" if k < cases // 3 else "Monk 4-6" for k in range(cases))},
        values=values,
        failed=np.arange(cases) >= cases - failed,
        milliseconds=np.linspace(10, 20, cases),
        features={},
    )


def report_of(methods: Mapping[str, tuple[Kind, float]] | None = None, *, cases: int = 24, failed: int = 2) -> Report:
    """A report whose figures are known: method -> kind and level; the first method fails on the last cases."""
    chosen = methods or {"mine": ("method", 1.0), "paste": ("floor", 2.0), "true-swap": ("ceiling", 5.0)}
    all_scores = {
        name: scores(name, level, cases, failed=failed if number == 0 else 0)
        for number, (name, (_, level)) in enumerate(chosen.items())
    }
    results: dict[str, Result] = {
        name: summarise(all_scores[name], kind, f"about {name}", {}, timed=kind == "method")
        for name, (kind, _) in chosen.items()
    }
    any_scores = next(iter(all_scores.values()))
    jpeg = encode_frame(flat(90, (16, 16)), 80)
    strips = {key: Strip(jpeg, jpeg, jpeg, dict.fromkeys(chosen, jpeg)) for key in any_scores.keys}
    return Report(
        protocol=PROTOCOL,
        name="made <up>",
        set_facts={"seed": "3"},
        made={"date": "2026-01-02 03:04 UTC", "facegraft": "0.1.0", "commit": "abc", "machine": "one"},
        networks=(Network("dlib", "judge of identity", "recogniser.onnx", "ab" * 32), Network("given", "no file")),
        suites={"identity": (GAP.name,), "realism": (LIKENESS.name,), "attributes": (POSE.name, LIGHT.name)},
        metrics=dict(METRICS),
        of=cases,
        keys=any_scores.keys,
        people=any_scores.people,
        groups={"stratum": any_scores.strata, **dict(any_scores.groups)},
        methods=results,
        seconds={"looking and judging": 12.5},
        left_out=("realism: nothing to <compare> with",),
        strips=strips,
    )


def write_tiny_set(folder: Path) -> Path:
    """Two swaps of example people; the "truth" is the picture of another, and one stratum each."""
    names = ("identity_1", "identity_2", "identity_3", "attribute_1")

    def item(name: str, role: str = "picture") -> Item:
        picture = encode_frame(example(name, 128))
        key = name if role == "picture" else f"{name}-truth"
        return Item(key, name, picture, "CC0-1.0", "", "", synthetic=True, role=role, facts={"age": 30, "monk": 5})

    pairs = [
        Pair("identity_1", "identity_2", {"inner": "identity_2-truth"}, "ordinary"),
        Pair("identity_3", "identity_2", {"inner": "identity_2-truth"}, "ordinary"),
        Pair("identity_3", "attribute_1", {"inner": "attribute_1-truth"}, "large pose"),
    ]
    items = [item(name) for name in names] + [item(name, "truth") for name in ("identity_2", "attribute_1")]
    write_shard(folder, 0, items, pairs)
    write_card(folder, DatasetCard("tiny", seed=7, options={"labels_sha256": "0123"}))
    return folder


def write_tiny_clips(folder: Path, frames: int = 4) -> Path:
    """One clip of an example person who slides to the right, and another example person to put into it."""

    def item(key: str, person: str, picture: np.ndarray, number: int = -1) -> Item:
        clip = "c" if number >= 0 else ""
        data = encode_frame(np.ascontiguousarray(picture))
        return Item(key, person, data, "CC0-1.0", "", "", synthetic=True, clip=clip, frame_number=number)

    moving = [
        item(f"f{number}", "identity_2", np.roll(example("identity_2", 128), 2 * number, axis=1), number)
        for number in range(frames)
    ]
    pairs = [Pair("who", one.key, {}, "ordinary") for one in moving]
    write_shard(folder, 0, [item("who", "identity_1", example("identity_1", 128)), *moving], pairs)
    write_card(folder, DatasetCard("tiny-clips"))
    return folder
