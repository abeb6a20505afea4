"""Makes facegraft/data/synth/complexion.safetensors: how portraits differ in colour from each other and from renders.

    facegraft ingest ../faces/train -o REAL --size 256 --points mediapipe --manifest MANIFEST --people none
    python tools/complexion.py REAL ASSETS --out facegraft/data/synth

Every face is unrolled onto the head rectangle through the 468 points of the face mesh, its light taken out (nine
smooth functions of the normal, fitted to skin), made symmetric. Sex and age, and what both do together, are fitted to
portraits and to renders without complexions; the difference is what renders lack. What else differs between people is
what is left of the spread of all people after the spread of one person's photographs is subtracted; directions that
renders spread along already are reduced by what they have. Of what is painted, renders show a part (`SHOWN`), so
more is painted.

Sexes are those that file names state and those of `complexion_labels.csv`, where ages are by eye; all other portraits
get theirs from a linear fit of the embeddings of the ingested set. Takes three minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.spatial import cKDTree
from tqdm import tqdm

from facegraft.data.dataset import open_dataset
from facegraft.data.synth.complexion import AGE_RANGE, AGE_UNIT, CENTRE, FILE, MIDDLE_AGE, SCALE, TIED
from facegraft.data.synth.dense import dense_points
from facegraft.data.synth.people import sample_person
from facegraft.data.synth.render import Renderer
from facegraft.data.synth.scene import sample_scene
from facegraft.data.synth.skin_space import read_base, read_space
from facegraft.faces.analyse import Analyser
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.topology import load_topology

LABELS = Path(__file__).with_name("complexion_labels.csv")
SIZE = 256
RENDERED_SIZE = 128
TURNED = 0.17
"""Faces whose nose tip lies farther than this, in widths of the face, from its middle are left out."""
PEOPLE, FIRST_PERSON, FIRST_SCENE = 200, 920_000, 5_000_000
"""Rendered, two pictures each: the first of those whom `benchmarks/synth_variety.py` looks at."""
PARTS, WORKING = 32, 200
MEAN_SHARE = 0.7
"""Of the mean difference: portraits smile more than our scenes, which draws folds beside the nose."""
SHOWN = 0.57
"""Of painted differences between sexes and ages, this share is found again in unrolled renders: they shine and blur."""
PARTS_SHOWN = 0.85
TINT = 0.6
"""How much of the difference between red, green and blue is kept: with all of it, some faces look painted."""
SPLITS = 14


@dataclass(frozen=True)
class Sheet:
    """Where each texel of the face lies on the mesh: three points and weights, its twin, place, how much it counts."""

    texels: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    mirror: np.ndarray
    places: np.ndarray
    light: np.ndarray
    skin: np.ndarray
    mask: np.ndarray


def make_sheet(assets: Path) -> Sheet:
    space, (_, vertices) = read_space(assets, SCALE), read_base(assets)
    points, triangles = dense_points(vertices), load_topology().triangles
    grid = [(i, j, SPLITS - i - j) for i in range(SPLITS + 1) for j in range(SPLITS + 1 - i)]
    inside = np.array(grid) / SPLITS
    tree = cKDTree(np.einsum("kc,tcd->tkd", inside, points[triangles]).reshape(-1, 3))
    all_places = space.places.reshape(3, -1).T
    distance, nearest = tree.query(all_places)
    texels = np.flatnonzero((distance < 0.06) & space.head.reshape(-1))
    corners = triangles[nearest[texels] // len(inside)]
    weights, places = inside[nearest[texels] % len(inside)], all_places[texels]
    normals = np.zeros_like(points)
    for a, b, c in triangles:
        normals[[a, b, c]] += np.cross(points[b] - points[a], points[c] - points[a])
    normals *= np.sign(normals[:, 2].mean())
    own = np.einsum("nc,ncd->nd", weights, normals[corners])
    x, y, z = (own / np.linalg.norm(own, axis=1, keepdims=True)).T
    light = np.stack([np.ones_like(x), x, y, z, x * x, y * y, x * y, x * z, y * z], 1)
    across, up = np.abs(places[:, 0]), places[:, 1]
    eyes, mouth = (np.abs(up - 0.07) < 0.17) & (across < 0.62), (np.abs(up + 0.675) < 0.175) & (across < 0.32)
    skin = (up > -0.95) & (up < 0.35) & ~eyes & ~mouth
    mask = ramp((up + 1.0) / 0.14) * ramp((0.36 - up) / 0.14) * ramp((0.58 - across) / 0.14)
    _, mirror = cKDTree(places).query(places * (-1, 1, 1))
    return Sheet(texels, corners, weights, mirror, places, light, skin.astype(np.float64), mask)


def ramp(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 1)


def unroll(sheet: Sheet, frame: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """(t, 3): log colour without light, median of the skin 0, both halves alike."""
    value = cv2.GaussianBlur(frame, (0, 0), 0.7).astype(np.float32) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    log = np.log(np.clip(linear, 0.006, 1)).astype(np.float32)
    at = np.einsum("nc,ncd->nd", sheet.weights, dense[sheet.corners][..., :2]) - 0.5
    x, y = (at[None, :, axis].astype(np.float32) for axis in (0, 1))
    seen = cv2.remap(log, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    grey, trust = seen.mean(1), sheet.skin.copy()
    for _ in range(4):
        weighted = sheet.light * trust[:, None]
        fit = np.linalg.solve(sheet.light.T @ weighted + 0.01 * np.eye(9), weighted.T @ grey)
        rest = grey - sheet.light @ fit
        spread = np.sqrt((trust * rest**2).sum() / trust.sum())
        trust = sheet.skin * np.exp(-0.5 * (rest / (1.5 * spread)) ** 2)
    seen = seen - (sheet.light @ fit)[:, None]
    seen = seen - np.median(seen[sheet.skin > 0], axis=0)
    return np.clip((seen + seen[sheet.mirror]) / 2, -2, 1).astype(np.float32)


@dataclass(frozen=True)
class Crowd:
    """Unrolled faces of known people: (n, t, 3) on the left half, who it is, share of female, age in units, AI-made."""

    faces: np.ndarray
    who: np.ndarray
    female: np.ndarray
    old: np.ndarray
    made: np.ndarray


def turned(dense: np.ndarray) -> float:
    """How far the nose tip lies from the middle between the cheeks, in widths of the face."""
    middle, width = (dense[234, 0] + dense[454, 0]) / 2, abs(dense[454, 0] - dense[234, 0])
    return float(abs(dense[4, 0] - middle) / width)


def age_units(years: np.ndarray) -> np.ndarray:
    return np.clip((years - MIDDLE_AGE) / AGE_UNIT, *AGE_RANGE)


def left_half(sheet: Sheet) -> np.ndarray:
    return np.flatnonzero(sheet.places[:, 0] >= 0)


def read_real(data: Path, sheet: Sheet) -> tuple[Crowd, Counter[str]]:
    """All nearly frontal portraits of the training split; pictures per licence."""
    dataset, left = open_dataset(data), left_half(sheet)
    faces, who, made, files, vectors = [], [], [], [], []
    licences: Counter[str] = Counter()
    for row in tqdm([row for row in dataset.rows if row.split == "train"], desc="portraits", unit="picture"):
        item = dataset.read(row)
        dense = item.arrays["dense"]
        if turned(dense) >= TURNED:
            continue
        faces.append(unroll(sheet, item.frame(), dense)[left])
        who.append(row.person)
        made.append(row.synthetic)
        files.append(str(item.facts["file"]))
        vectors.append(item.arrays["embedding"])
        licences[row.licence] += 1
    female, years = labels(files, np.stack(vectors))
    return Crowd(np.stack(faces), np.array(who), female, age_units(years), np.array(made, float)), licences


def labels(files: list[str], vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Female or not, and age in years, of all: a ridge fit of the embeddings to those whose label is known."""
    with LABELS.open(newline="", encoding="utf-8") as file:
        known = {row["file"]: (row["sex"] == "f", row["age"]) for row in csv.DictReader(file)}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    _, _, axes = np.linalg.svd(unit - unit.mean(0), full_matrices=False)
    inputs = (unit - unit.mean(0)) @ axes[:60].T
    inputs = np.c_[inputs / np.sqrt((inputs**2).mean(0)).mean(), np.ones(len(inputs))]
    rows = np.array([i for i, name in enumerate(files) if name in known])
    aged = np.array([i for i in rows if known[files[i]][1]])
    female = ridge(inputs[rows], np.array([float(known[files[i]][0]) for i in rows]), 40.0)
    years = ridge(inputs[aged], np.array([float(known[files[i]][1]) for i in aged]), 25.0)
    return (inputs @ female > 0.5).astype(float), inputs @ years


def ridge(inputs: np.ndarray, answers: np.ndarray, weight: float) -> np.ndarray:
    """Coefficients; the last input is constant and goes free."""
    penalty = weight * np.diag(np.r_[np.ones(inputs.shape[1] - 1), 0])
    return np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ answers)


def within(groups: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([(g - g.mean(0)) * np.sqrt(len(g) / (len(g) - 1)) for g in groups])


def read_renders(assets: Path, sheet: Sheet) -> Crowd:
    """People in two ordinary scenes each, without complexions."""
    renderer, analyser, left = Renderer(assets, RENDERED_SIZE), Analyser(MediaPipeNetworks()), left_half(sheet)
    people = [sample_person(FIRST_PERSON + number) for number in range(PEOPLE)]
    faces, found = [], []
    for start in tqdm(range(0, 2 * PEOPLE, 4), desc="renders", unit="batch"):
        numbers = range(start, min(start + 4, 2 * PEOPLE))
        plain = [replace(people[n // 2], skin=replace(people[n // 2].skin, complexion=())) for n in numbers]
        scenes = [sample_scene(FIRST_SCENE + number, "ordinary") for number in numbers]
        images = renderer.render(plain, scenes, labels=False).image.permute(0, 2, 3, 1).contiguous().numpy()
        for number, frame in zip(numbers, images, strict=True):
            seen = analyser.analyse(frame)
            if len(seen) and turned(seen.dense[0]) < TURNED:
                large = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
                faces.append(unroll(sheet, large, seen.dense[0] * (SIZE / RENDERED_SIZE))[left])
                found.append(number // 2)
    who = np.array(found)
    female = np.array([people[n].female for n in who])
    years = np.array([people[n].age for n in who])
    return Crowd(np.stack(faces), who, female, age_units(years), np.zeros(len(who)))


def design(crowd: Crowd, *, kinds: bool) -> np.ndarray:
    """Constant, sex, age, their product; with `kinds`, whether the picture is AI-made."""
    columns = [np.ones(len(crowd.who)), crowd.female, crowd.old, crowd.female * crowd.old]
    return np.stack([*columns, crowd.made] if kinds else columns, 1)


def effects(faces: np.ndarray, given: np.ndarray, weight: float) -> np.ndarray:
    """(columns, t x 3) by ridge; the constant goes free."""
    penalty = weight * np.diag(np.r_[0, np.ones(given.shape[1] - 1)])
    return np.linalg.solve(given.T @ given + penalty, given.T @ faces)


def clean(faces: np.ndarray) -> np.ndarray:
    """What few faces have (glasses, strands, glare) is replaced by what forty directions say; odd faces go."""
    for _ in range(3):
        centre = faces.mean(0)
        low = low_rank(faces - centre, 40) + centre
        rest = faces - low
        spread = np.sqrt((rest**2).mean(0) + 1e-6)
        faces = np.where(np.abs(rest) > 2.5 * spread, low + np.clip(rest, -spread, spread) * 0.5, faces)
    error = ((faces - centre - low_rank(faces - centre, 40)) ** 2).sum(1)
    return faces[error < np.quantile(error, 0.85)]


def directions(faces: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions (rank, d) and their variances; by the small matrix of inner products."""
    values, vectors = np.linalg.eigh(faces @ faces.T / len(faces))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    axes = vectors.T @ faces
    return axes / np.linalg.norm(axes, axis=1, keepdims=True), values


def low_rank(faces: np.ndarray, rank: int) -> np.ndarray:
    axes, _ = directions(faces, rank)
    return faces @ axes.T @ axes


def between(faces: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Directions in which people differ, the variances between people, and their share of the whole."""
    _, first = np.unique(who, return_index=True)
    people = clean(faces[first])
    people -= people.mean(0)
    axes, variances = directions(people, WORKING)
    several = [faces[who == name] for name in np.unique(np.delete(who, first))]
    one = within(several) @ axes.T
    values, turn = np.linalg.eigh(np.diag(variances) - one.T @ one / len(one))
    values, axes = values[::-1][:PARTS].clip(0), turn[:, ::-1][:, :PARTS].T @ axes
    return axes, values, float(values.sum() / variances.sum())


def own_spread(rest: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Variance between rendered people along each column: covariance of their two pictures."""
    pairs = [np.flatnonzero(who == name) for name in np.unique(who)]
    first, second = np.array([pair for pair in pairs if len(pair) == 2]).T
    return (rest[first] * rest[second]).mean(0).clip(0)


def faded(colours: np.ndarray) -> np.ndarray:
    """The same brightness, less tint."""
    grey = colours.mean(-1, keepdims=True)
    return grey + TINT * (colours - grey)


def learn(sheet: Sheet, data: Path, assets: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    renders, (real, licences) = read_renders(assets, sheet), read_real(data, sheet)
    left = left_half(sheet)
    flat = lambda crowd: (crowd.faces * sheet.mask[left][:, None]).reshape(len(crowd.who), -1).astype(np.float32)  # noqa: E731
    theirs, ours = flat(real), flat(renders)
    given, own_given = design(real, kinds=True), design(renders, kinds=False)
    wanted, had = effects(theirs, given, 3.0), effects(ours, own_given, 8.0)
    lacking = wanted[:4] - had
    female, old = CENTRE
    mean = MEAN_SHARE * (np.array([1, female, old, female * old]) @ lacking + real.made.mean() * wanted[4])
    axes, values, share = between((theirs - given @ wanted).astype(np.float32), real.who)
    own = own_spread((ours - own_given @ had).astype(np.float32) @ axes.T, renders.who)
    missing = np.maximum(values - own, 0.15 * values)
    parts = np.concatenate([lacking[1:] / SHOWN, axes * np.sqrt(missing)[:, None] / PARTS_SHOWN])
    parts = faded(parts.reshape(len(parts), -1, 3))
    facts = {
        "parts": len(parts),
        "tied": TIED,
        "portraits": len(np.unique(real.who)),
        "sets": "; ".join(f"{name}: {number}" for name, number in sorted(licences.items())),
        "share_of_spread_between_people": round(share, 3),
    }
    return pack(sheet.texels[left], mean.reshape(-1, 3), parts), facts


def pack(texels: np.ndarray, mean: np.ndarray, parts: np.ndarray) -> dict[str, np.ndarray]:
    scales = np.abs(parts).max((1, 2)) / 127
    mean_scale = np.abs(mean).max() / 127
    return {
        "texels": texels.astype(np.int32),
        "mean": np.rint(mean / mean_scale).astype(np.int8),
        "mean_scale": np.array([mean_scale], np.float32),
        "parts": np.rint(parts / scales[:, None, None]).astype(np.int8),
        "part_scales": scales.astype(np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that `facegraft ingest` made of the portraits")
    parser.add_argument("assets", type=Path, help="MakeHuman's assets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    args = parser.parse_args()
    torch.set_num_threads(1)  # more threads lose against anything else that runs
    tensors, facts = learn(make_sheet(args.assets), args.data, args.assets)
    save_file(tensors, args.out / FILE)
    (args.out / "complexion.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts))  # noqa: T201


if __name__ == "__main__":
    main()
