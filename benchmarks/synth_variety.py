"""Are rendered people as different from each other as real ones? Asked of a face recogniser that never saw renders.

    python benchmarks/synth_variety.py --people 1000 --data ../faces --cache pictures

dlib's embeddings (faces/embed.py), at MediaPipe's points, of rendered people, two pictures each in different ordinary
scenes, against real people (`manifest.csv` of the folder; two pictures each where there are two) and against AI-made
portraits, all brought to one size first. Cosines of one person's two pictures, of two people's first pictures, and of
everybody to the nearest other person; intervals are 95 %, by bootstrap over people. Assets: FACEGRAFT_MAKEHUMAN.
Writes benchmarks/history/<version>/synth_variety--<machine>--<device>.json, and histograms with --plot. With
--rendered-only neither the photographs nor the knobs are looked at again: synth_variety_rendered--... is written.
With --judge FILE (`facegraft models fetch --judge`) that recogniser looks instead, at the same pictures; "taken for
one" is then above what 1 % of real people's pairs exceed (about dlib's line): synth_variety_second--... is written.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from synth_pictures import Shot, bootstrap, facts, history, pictures, rounded, this_machine
from variety_plot import plot

from facegraft.core.files import atomic_path
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.data.measure import skin_tone
from facegraft.data.synth.people import Person, sample_person
from facegraft.faces.analyse import Analyser
from facegraft.faces.embed import SAME_PERSON, Recogniser
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.recognisers import OnnxRecogniser, cut
from facegraft.faces.topology import landmarks68

FIRST_SEED = 920_000
SCENE_SEED = 5_000_000
DIALS = (0.0, 0.35, 0.7, 1.0)
DEFAULT_DIAL = 0.35
EDGES = np.arange(0.60, 1.0001, 0.01)
TONES = (("light", 28.0, 180.0), ("medium", -10.0, 28.0), ("dark", -180.0, -10.0))
"""Name, least and greatest individual typology angle of the cheeks as lit: coarse, but the same for all sets."""
GROUP_SIZE = 100
"""People per group: the nearest of many is nearer than the nearest of few, so groups are compared at one size."""


@dataclass(frozen=True)
class Crowd:
    """Embeddings of people.

    Attributes:
        first: One picture each.
        second: Another picture of the same people; NaN where there is none.
        tone: Individual typology angle in the first picture, degrees; NaN where it cannot be measured.
        who: Which of those asked for: those without a face in the first picture are missing.
        lost: Pictures without a face.
    """

    first: Float[np.ndarray, "n d"]
    second: Float[np.ndarray, "n d"]
    tone: Float[np.ndarray, "n"]
    who: Int[np.ndarray, "n"]
    lost: int

    def take(self, rows: np.ndarray) -> Crowd:
        return Crowd(self.first[rows], self.second[rows], self.tone[rows], self.who[rows], self.lost)


def remembered(path: Path, make: Callable[[], Crowd]) -> Crowd:
    """What `make` gives, kept in a file: embedding thousands of pictures takes minutes."""
    if not path.exists():
        made = make()
        arrays: Any = dataclasses.asdict(made)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(path) as kept:
        return Crowd(kept["first"], kept["second"], kept["tone"], kept["who"], int(kept["lost"]))


class Eye:
    """Embeds pictures: by dlib's network, or by a judge's file."""

    def __init__(self, judge: Path | None = None) -> None:
        self.analyser = Analyser(MediaPipeNetworks())
        self.recogniser = Recogniser() if judge is None else None
        self.judge = None if judge is None else OnnxRecogniser(judge)
        self.name = "" if judge is None else f"-{judge.stem}"

    def crowd(self, pairs: Sequence[tuple[Frame, Frame | None]]) -> Crowd:
        first, second, tone, who, lost = [], [], [], [], 0
        for number, (one, other) in enumerate(pairs):
            vector, angle = self.look(one)
            if vector is None:
                lost += 1
                continue
            twin = None if other is None else self.look(other)[0]
            lost += other is not None and twin is None
            first.append(vector)
            second.append(np.full_like(vector, np.nan) if twin is None else twin)
            tone.append(angle)
            who.append(number)
        return Crowd(np.stack(first), np.stack(second), np.array(tone), np.array(who), lost)

    def look(self, frame: Frame) -> tuple[np.ndarray | None, float]:
        """Embedding and skin tone of the largest face."""
        faces = self.analyser.analyse(frame)
        if not len(faces):
            return None, float("nan")
        faces = faces.take([0])
        vectors = self.recogniser.embed(frame, faces).embeddings if self.recogniser is not None else None
        if self.judge is not None:
            crop = cut(frame, faces.points5[0], faces.dense[0], self.judge.size_px)
            both = self.judge.embed(np.stack([crop, crop[:, ::-1]])).sum(0)
            vectors = (both / np.linalg.norm(both))[None]
        seen = np.ones(frame.shape[:2], bool)
        tone = skin_tone(frame, landmarks68(faces.dense[0]).astype(np.float64), seen)
        return (None if vectors is None else vectors[0]), float(tone.get("ita", np.nan))


def figures(crowd: Crowd, *, rounds: int = 200, least: float = SAME_PERSON) -> dict[str, Any]:
    """What is reported of a crowd; every value with its interval. Above `least` two are taken for one person."""
    count = len(crowd.first)
    alike = (crowd.first @ crowd.first.T).astype(np.float64)
    same = (crowd.first * crowd.second).sum(1).astype(np.float64)
    np.fill_diagonal(alike, np.nan)

    def different(what: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], float]:
        def of(rows: np.ndarray) -> float:
            chosen = alike[np.ix_(rows, rows)]  # one person drawn twice gives NaN, as on the diagonal
            return what(chosen[np.triu_indices(len(rows), 1)])

        return of

    nearest = np.nanmax(alike, axis=1)
    paired = np.flatnonzero(np.isfinite(same))
    out: dict[str, Any] = {"people": count, "people_with_two_pictures": len(paired), "lost": crowd.lost}
    asked: dict[str, Callable[[np.ndarray], float]] = {
        "different_mean": different(np.nanmean),
        "different_sd": different(np.nanstd),
        "different_99th_percentile": different(lambda values: float(np.nanpercentile(values, 99))),
        "different_taken_for_one_person": different(lambda values: above(values, least)),
        "nearest_median": lambda rows: float(np.median(nearest[rows])),
        "nearest_95th_percentile": lambda rows: float(np.percentile(nearest[rows], 95)),
    }
    for name, statistic in asked.items():
        out[name] = bootstrap(count, statistic, rounds=rounds)
    if len(paired):
        own, others = same[paired], np.sort(alike[np.triu_indices(count, 1)])
        asked = {
            "same_mean": lambda rows: float(own[rows].mean()),
            "same_5th_percentile": lambda rows: float(np.percentile(own[rows], 5)),
            "same_taken_for_one_person": lambda rows: above(own[rows], least),
            "same_above_different": lambda rows: float(np.searchsorted(others, own[rows]).mean() / len(others)),
        }
        for name, statistic in asked.items():
            out[name] = bootstrap(len(own), statistic, rounds=rounds)
    out["dimensions"] = rounded(dimensions(crowd.first))
    return out


def above(values: np.ndarray, least: float) -> float:
    """Share of the finite values above `least`."""
    finite = values[np.isfinite(values)]
    return float((finite > least).mean()) if len(finite) else float("nan")


def dimensions(vectors: Float[np.ndarray, "n d"]) -> float:
    """How many directions the crowd spreads over: (sum of variances) squared over the sum of their squares."""
    spread = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False) ** 2
    return float(spread.sum() ** 2 / (spread**2).sum())


def histogram(values: np.ndarray) -> list[float]:
    """Shares per bin of `EDGES`, the tails in the outer bins."""
    finite = np.clip(values[np.isfinite(values)], EDGES[0], EDGES[-1] - 1e-6)
    return [round(float(v), 5) for v in np.histogram(finite, EDGES)[0] / max(len(finite), 1)]


def histograms(crowd: Crowd) -> dict[str, list[float]]:
    alike = crowd.first @ crowd.first.T
    np.fill_diagonal(alike, -1)
    return {
        "different": histogram(alike[np.triu_indices(len(alike), 1)]),
        "nearest": histogram(alike.max(1)),
        "same": histogram((crowd.first * crowd.second).sum(1)),
    }


def real_people(data: Path, count: int, kind: str) -> list[list[Path]]:
    """Pictures of people of one kind of the training split, those with two first, in an order fixed by seed."""
    by_person: dict[str, list[Path]] = defaultdict(list)
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train" and row["kind"] == kind:
                by_person[row["person"]].append(data / row["file"])
    names = sorted(by_person)
    np.random.default_rng(0).shuffle(names)
    names.sort(key=lambda name: len(by_person[name]) < 2)
    return [by_person[name] for name in names[:count]]


def read(path: Path, size_px: int) -> Frame:
    frame = read_picture(path).frame
    scale = size_px / max(frame.shape[:2])
    return cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def groups(crowd: Crowd, member: dict[str, Bool[np.ndarray, "n"]]) -> dict[str, Any]:
    """Figures of each group at one size; groups with fewer people are left out, with their number."""
    out: dict[str, Any] = {}
    for name, rows in member.items():
        chosen = np.flatnonzero(rows)
        if len(chosen) < GROUP_SIZE:
            out[name] = {"people": len(chosen)}
            continue
        chosen = np.random.default_rng(0).choice(chosen, GROUP_SIZE, replace=False)
        out[name] = {"of": int(rows.sum()), **figures(crowd.take(chosen))}
    return out


def tones(crowd: Crowd) -> dict[str, Bool[np.ndarray, "n"]]:
    return {name: (crowd.tone >= low) & (crowd.tone < high) for name, low, high in TONES}


def kinds_of(people: Sequence[Person]) -> dict[str, Bool[np.ndarray, "n"]]:
    women = np.array([person.female > 0.5 for person in people])
    pale_old = np.array([person.race[2] > 0.6 and person.age > 40 for person in people])
    return {"women": women, "men": ~women, "men over 40, mostly caucasian": ~women & pale_old}


def parts_of(crowd: Crowd) -> dict[str, float]:
    """Variance of the embeddings, summed over directions: within people and, the rest, between them.

    Within: half the mean squared difference of two pictures of one person.
    """
    within = float(np.nanmean(((crowd.first - crowd.second) ** 2).sum(1)) / 2)
    whole = float(((crowd.first - crowd.first.mean(0)) ** 2).sum(1).mean())
    return {"within": rounded(within), "between": rounded(whole - within)}


def explained(crowd: Crowd, people: Sequence[Person]) -> dict[str, float]:
    """Share of the embeddings' variance that one trait explains by a linear fit: how much of it a recogniser sees."""
    traits = {
        "sex": [person.female for person in people],
        "age": [person.age for person in people],
        "race, three shares": [person.race[:2] for person in people],
        "melanin": [person.skin.melanin for person in people],
        "weight": [person.weight for person in people],
        "beard": [person.beard.density * (person.beard.style != "none") for person in people],
    }
    centred = (crowd.first - crowd.first.mean(0)).astype(np.float64)
    out = {}
    for name, values in traits.items():
        given = np.array(values, np.float64).reshape(len(people), -1)
        given = given - given.mean(0)
        fitted = given @ np.linalg.lstsq(given, centred, rcond=None)[0]
        out[name] = rounded((fitted**2).sum() / (centred**2).sum())
    return out


def variants(people: Sequence[Person]) -> dict[str, list[Person]]:
    """The same people with only some of their traits; the rest is the first one's."""
    base = people[0]
    shape = ("female", "age", "weight", "muscle", "race", "morphs")
    details = ("brow", "eyes", "lashes", "teeth", "beard", "hair_colour")

    def only(*names: str) -> list[Person]:
        return [dataclasses.replace(base, **{name: getattr(one, name) for name in names}) for one in people]

    return {
        "nothing: one person": [base] * len(people),
        "shape: macros and sliders": only(*shape),
        "macros alone": only(*shape[:-1]),
        "sliders alone": only("morphs"),
        "skin alone": only("skin"),
        "brows, eyes, lashes, teeth, beard": only(*details),
        "all but shape": only("skin", *details),
    }


def rendered(eye: Eye, people: Sequence[Person], name: str, args: argparse.Namespace, takes: int) -> Crowd:
    """People in ordinary scenes, each scene once."""
    shots = [
        Shot(person, SCENE_SEED + takes * row + take, "ordinary")
        for row, person in enumerate(people)
        for take in range(takes)
    ]
    options = {"backgrounds": args.backgrounds, "environments": args.environments, "device": args.device}
    made = pictures(shots, args.cache / name, args.size, processes=args.processes, labels=False, **options)
    images = made["image"]
    pairs = [(images[i], images[i + 1] if takes > 1 else None) for i in range(0, len(images), takes)]
    return remembered(args.cache / name / f"crowd{eye.name}.npz", lambda: eye.crowd(pairs))


def photographed(eye: Eye, name: str, kind: str, args: argparse.Namespace) -> Crowd:
    """People of the manifest."""

    def make() -> Crowd:
        files = real_people(args.data, args.people, kind)
        return eye.crowd(
            [(read(own[0], args.size), read(own[1], args.size) if len(own) > 1 else None) for own in files]
        )

    args.cache.mkdir(parents=True, exist_ok=True)
    return remembered(args.cache / f"{name}-{args.people}-{args.size}{eye.name}.npz", make)


def crowds_of(eye: Eye, people: Sequence[Person], args: argparse.Namespace) -> dict[str, Crowd]:
    """Rendered people, and, if they are asked for, those of the manifest."""
    crowds = {"rendered": rendered(eye, people, "people", args, 2)}
    kinds = {"real": "real", "AI-made": "synthetic"}
    for name, kind in kinds.items() if not args.rendered_only else ():
        crowds[name] = photographed(eye, name, kind, args)
    return crowds


def judged(eye: Eye, args: argparse.Namespace) -> dict[str, Any]:
    """By another recogniser, which has no line of its own: what 1 % of real people's pairs exceed is taken for one."""
    crowds = crowds_of(eye, [sample_person(FIRST_SEED + number) for number in range(args.people)], args)
    alike = crowds["real"].first @ crowds["real"].first.T
    least = float(np.percentile(alike[np.triu_indices(len(alike), 1)], 99))
    found = {name: figures(crowd, least=least) for name, crowd in crowds.items()}
    return {"recogniser": args.judge.name, "same_person_above": rounded(least), **found}


def compare(eye: Eye, args: argparse.Namespace) -> dict[str, Any]:
    people = [sample_person(FIRST_SEED + number) for number in range(args.people)]
    crowds = crowds_of(eye, people, args)
    result: dict[str, Any] = {name: figures(crowd) for name, crowd in crowds.items()}
    result["edges"] = [round(float(edge), 2) for edge in EDGES]
    result["histograms"] = {name: histograms(crowd) for name, crowd in crowds.items()}
    result["tones"] = {name: groups(crowd, tones(crowd)) for name, crowd in crowds.items()}
    result["rendered_groups"] = groups(crowds["rendered"], kinds_of([people[n] for n in crowds["rendered"].who]))
    result["parts"] = {name: parts_of(crowd) for name, crowd in crowds.items() if np.isfinite(crowd.second).any()}
    result["rendered_explained"] = explained(crowds["rendered"], [people[n] for n in crowds["rendered"].who])
    if args.plot:
        plot(args.plot, result["histograms"], EDGES)
    return result


def knobs(eye: Eye, args: argparse.Namespace) -> dict[str, Any]:
    """Dials and single traits: different people, one picture each, the same scenes for all."""
    out: dict[str, Any] = {"dials": {}, "traits": {}}
    for dial in DIALS:
        people = [sample_person(FIRST_SEED + number, dial) for number in range(args.dial_people)]
        crowd = rendered(eye, people, f"dial{dial}", args, 1)
        out["dials"][str(dial)] = figures(crowd)
        if dial == DEFAULT_DIAL:
            out["traits"]["everything"] = figures(crowd.take(np.arange(min(args.trait_people, len(crowd.first)))))
    people = [sample_person(FIRST_SEED + number) for number in range(args.trait_people)]
    for number, (name, some) in enumerate(variants(people).items()):
        out["traits"][name] = figures(rendered(eye, some, f"trait{number}", args, 1))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--dial-people", type=int, default=200)
    parser.add_argument("--trait-people", type=int, default=100)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rendered-only", action="store_true", help="only the rendered people")
    parser.add_argument("--judge", type=Path, metavar="ONNX", help="look through this recogniser, and not at the knobs")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the pictures; a new one to redo")
    parser.add_argument("--plot", type=Path, help="PNG of the histograms")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machine", default=this_machine())
    args = parser.parse_args()
    args.rendered_only &= args.judge is None  # its line is measured on photographs
    began, eye = facts(args.device), Eye(args.judge)
    seen = {} if args.rendered_only or args.judge else knobs(eye, args)
    found = {**(judged if args.judge else compare)(eye, args), **seen}
    result = {
        **began,
        "rendered_at": (args.cache / "people" / "commit.txt").read_text(encoding="utf-8").strip(),
        "size_px": args.size,
        "recogniser": "dlib ResNet, 150 px chips, mirrored twin added",
        "same_person_above": SAME_PERSON,
        **found,
    }
    kind = "_second" if args.judge else "_rendered" if args.rendered_only else ""
    path = history(f"synth_variety{kind}", args.machine, args.device)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "histograms"}))


if __name__ == "__main__":
    main()
