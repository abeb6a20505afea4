"""Makes facegraft/data/synth/complexion.safetensors: how portraits differ in colour from each other and from renders.

    python tools/complexion.py ../faces ASSETS --out facegraft/data/synth

Every face is unrolled onto the head rectangle through the 468 points of the face mesh, its light taken out (nine
smooth functions of the normal, fitted to skin), made symmetric. What differs between people is what is left of the
spread of all people after the spread of one person's photographs (in two pictures, or rendered in many scenes) is
subtracted; directions that renders spread along already are reduced by what they have. Takes about ten minutes.
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

from facegraft.core.image import read_picture
from facegraft.data.synth.complexion import FILE, SCALE
from facegraft.data.synth.dense import dense_points
from facegraft.data.synth.people import sample_person
from facegraft.data.synth.render import Renderer
from facegraft.data.synth.scene import sample_scene
from facegraft.data.synth.skin_space import read_base, read_space
from facegraft.faces.analyse import Analyser
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.topology import load_topology

SIZE = 256
TURNED = 20.0
"""Faces turned farther than this, degrees, are left out."""
PEOPLE, BLAND_PEOPLE, BLAND_PICTURES = 250, 4, 160
PARTS, WORKING = 32, 120
MEAN_SHARE = 0.7
"""Of the mean difference: portraits smile more than our scenes, which draws folds beside the nose."""
OWN_SHARE = 0.7
"""How much of what renders vary by themselves is taken off."""
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


class Reader:
    def __init__(self, sheet: Sheet) -> None:
        self.sheet, self.analyser = sheet, Analyser(MediaPipeNetworks())

    def read(self, frame: np.ndarray) -> np.ndarray | None:
        faces = self.analyser.analyse(frame)
        if not len(faces) or np.abs(faces.pose_degrees[0][:2]).max() > TURNED:
            return None
        return unroll(self.sheet, frame, faces.dense[0])


def read_real(data: Path, reader: Reader) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """Everybody's first picture; the spread of people with several around their own mean; pictures per set."""
    by_person: dict[str, list[np.ndarray]] = {}
    sets: Counter[str] = Counter()
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    for row in tqdm(rows, desc="portraits", unit="picture"):
        frame = cv2.resize(read_picture(data / row["file"]).frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        found = reader.read(frame)
        if found is not None:
            by_person.setdefault(row["person"], []).append(found)
            sets[f"{row['set']} ({row['licence']})"] += 1
    several = [np.stack(pictures) for pictures in by_person.values() if len(pictures) > 1]
    return np.stack([pictures[0] for pictures in by_person.values()]), within(several), sets


def within(groups: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([(g - g.mean(0)) * np.sqrt(len(g) / (len(g) - 1)) for g in groups])


def read_renders(assets: Path, reader: Reader) -> tuple[np.ndarray, np.ndarray]:
    """Different people in different scenes, and the spread of a few people over many scenes; plain complexions."""
    renderer, faces, groups = Renderer(assets, SIZE), [], [[] for _ in range(BLAND_PEOPLE)]
    jobs = [(3000 + i, 70_000 + i, False) for i in range(PEOPLE)]
    jobs += [(3000 + i % BLAND_PEOPLE, 90_000 + i, True) for i in range(BLAND_PICTURES)]
    for start in tqdm(range(0, len(jobs), 10), desc="renders", unit="batch"):
        part = jobs[start : start + 10]
        people = [sample_person(who) for who, _, _ in part]
        plain = [replace(p, skin=replace(p.skin, complexion=())) for p in people]
        scenes = [sample_scene(scene, "ordinary") for _, scene, _ in part]
        scenes = [replace(s, worn=(), props=()) if bare else s for s, (_, _, bare) in zip(scenes, part, strict=True)]
        images = renderer.render(plain, scenes, labels=False).image.permute(0, 2, 3, 1).contiguous().numpy()
        for frame, (who, _, bare) in zip(images, part, strict=True):
            if (found := reader.read(frame)) is not None:
                (groups[who % BLAND_PEOPLE] if bare else faces).append(found)
    return np.stack(faces), within([np.stack(group) for group in groups])


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


def learn(sheet: Sheet, data: Path, assets: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    reader = Reader(sheet)
    renders, scenes = read_renders(assets, reader)
    real, photographs, sets = read_real(data, reader)
    left = np.flatnonzero(sheet.places[:, 0] >= 0)
    flat = lambda faces: (faces * sheet.mask[None, :, None])[:, left].reshape(len(faces), -1).astype(np.float32)  # noqa: E731
    mean = (MEAN_SHARE * (real.mean(0) - renders.mean(0)) * sheet.mask[:, None])[left]
    people = clean(flat(real - real.mean(0)))
    people -= people.mean(0)
    axes, variances = directions(people, WORKING)
    one = flat(photographs) @ axes.T
    values, turn = np.linalg.eigh(np.diag(variances) - one.T @ one / len(one))
    values, axes = values[::-1][:PARTS].clip(0), (turn[:, ::-1][:, :PARTS].T @ axes)
    own = (flat(renders - renders.mean(0)) @ axes.T).var(0) - ((flat(scenes) @ axes.T) ** 2).mean(0)
    missing = np.maximum(values - OWN_SHARE * own.clip(0), 0.15 * values)
    parts = (axes * np.sqrt(missing)[:, None]).reshape(PARTS, len(left), 3)
    facts = {
        "parts": PARTS,
        "portraits": len(real),
        "sets": "; ".join(f"{name}: {number}" for name, number in sorted(sets.items())),
        "share_of_spread_between_people": round(float(values.sum() / variances.sum()), 3),
    }
    return pack(sheet.texels[left], mean, parts), facts


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
    parser.add_argument("data", type=Path, help="folder with manifest.csv and the portraits")
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
