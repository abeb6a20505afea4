"""How well recognisers tell people apart on Labeled Faces in the Wild: any number of ONNX files, one table.

    python tools/lfw.py EVAL --model ours=identity.onnx --model dlib=recogniser.onnx --cache CACHE --json OUT.json

EVAL holds `lfw_pairs.csv` (fold, same, first, second) and the pictures in `lfw/`. The protocol is View 2's (Huang et
al., 2007): ten folds, or as many as the file has; the threshold for a fold is chosen on the others. No pair is dropped:
where no face is found, the median place of the others' faces is taken. A pair's score is the cosine between the sums of
a face's and its mirror image's unit vectors (for dlib's: minus the distance between the means of the raw ones), and is
printed without the mirror too. Measures only; train on none of it.

CACHE keeps what was found, by the analyser's networks (delete it when they change), and each model's vectors, by the
file's content. `--labels CSV` (first column: picture, person, or first name; other columns: groups) adds figures per
group, of the pairs whose two sides are of one group; `tools/lfw_first_names.csv` says how first names are usually
borne, which is no more than a guess of somebody's sex, and leaves out those that are not clear. Head pose and the
photographed skin's tone are always there, as measured: the tone is the light's as well as the skin's.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import sha256, shown
from facegraft.core.geometry import warp
from facegraft.core.image import read_picture, save_frame
from facegraft.data.skin_tone import individual_typology_angle, ita_band, lab_of_linear, to_linear
from facegraft.faces.align import alignment
from facegraft.faces.analyse import Analyser
from facegraft.faces.recognisers import TEMPLATE, OnnxRecogniser, cut
from facegraft.train.eyes.verification import Verification, best_threshold, verify, wilson

logger = logging.getLogger("lfw")

FEWEST_PAIRS = 30
"""Smaller groups get no figure."""
CHEEKS = ((34, 70), (78, 70))
"""Middles x, y of two patches of cheek in the 112 px crop."""


@dataclass(frozen=True)
class Pairs:
    """The protocol's list, as positions in `names`."""

    names: list[str]
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    folds: np.ndarray


def read_pairs(path: Path) -> Pairs:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row[side] for row in rows for side in ("first", "second")})
    places = {name: place for place, name in enumerate(names)}
    return Pairs(
        names=names,
        first=np.array([places[row["first"]] for row in rows]),
        second=np.array([places[row["second"]] for row in rows]),
        same=np.array([row["same"] == "1" for row in rows]),
        folds=np.array([int(row["fold"]) for row in rows]),
    )


def find_faces(names: list[str], folder: Path, cache: Path, analyser: Analyser) -> dict[str, np.ndarray]:
    """`points5`, `dense`, `pose_degrees`, `found`, `tone` (ITA, degrees) of each picture's main face."""
    path = cache / f"faces-{type(analyser.networks).__name__}.npz"
    if path.is_file():
        with np.load(path) as stored:
            if stored["names"].tolist() == names:
                return dict(stored)
    rows = [main_face(analyser, folder / name, number, len(names)) for number, name in enumerate(names)]
    found = np.array([row is not None for row in rows])
    some = [row for row in rows if row is not None]
    if not some:
        raise BadInputError(f"{shown(folder)}: no face found in {len(names)} pictures; check the detector")
    filled = [row or tuple(np.median([one[part] for one in some], axis=0) for part in range(4)) for row in rows]
    points5, dense, pose, tone = (np.stack([row[part] for row in filled]).astype(np.float32) for part in range(4))
    faces = {"names": np.array(names), "points5": points5, "dense": dense, "pose_degrees": pose, "tone": tone}
    faces["found"] = found
    np.savez(path, allow_pickle=False, **faces)
    return faces


def main_face(analyser: Analyser, path: Path, number: int, count: int) -> tuple[np.ndarray, ...] | None:
    """Points of the face nearest to the picture's middle, big ones first: LFW names that one."""
    if number % 100 == 0:
        logger.info("faces: %d of %d", number, count)
    frame = read_picture(path).frame
    faces = analyser.analyse(frame, thorough=False)
    if not len(faces):
        faces = analyser.analyse(frame)
    if not len(faces):
        return None
    low, high = faces.boxes_xyxy[:, :2], faces.boxes_xyxy[:, 2:]
    away = np.linalg.norm((low + high) / 2 - np.array(frame.shape[1::-1]) / 2, axis=1)
    main = int(np.argmax((high - low).max(axis=1) - away))
    refined = analyser.refine(frame, faces.dense[main : main + 1])
    face = refined[0] if refined.scores[0] >= 0.5 else faces[main]
    return face.points5, face.dense, face.pose_degrees, np.array(skin_tone(frame, face.points5))


def skin_tone(frame: np.ndarray, points5: np.ndarray) -> float:
    """Individual typology angle of the cheeks as photographed, in degrees."""
    crop = warp(frame, alignment(points5, TEMPLATE, 112), (112, 112))
    patches = [crop[y - 5 : y + 5, x - 5 : x + 5].reshape(-1, 3) for x, y in CHEEKS]
    return individual_typology_angle(lab_of_linear(to_linear(np.median(np.concatenate(patches), axis=0))))


def embeddings(model: Path, pairs: Pairs, faces: dict[str, np.ndarray], folder: Path, cache: Path) -> np.ndarray:
    """Vectors of each picture's face and of its mirror image, n x 2 x d; of length 1 where cosines compare them."""
    path = cache / f"vectors-{sha256(model)[:16]}.npz"
    if path.is_file():
        with np.load(path) as stored:
            if np.array_equal(stored["points5"], faces["points5"]) and stored["names"].tolist() == pairs.names:
                return np.asarray(stored["vectors"])
    recogniser = OnnxRecogniser(model)
    rows = []
    for name, points5, dense in zip(pairs.names, faces["points5"], faces["dense"], strict=True):
        crop = cut(read_picture(folder / name).frame, points5, dense, recogniser.size_px)
        ask = recogniser.raw if recogniser.by_distance else recogniser.embed
        rows.append(ask(np.stack([crop, crop[:, ::-1]])))
    np.savez(path, vectors=np.stack(rows), points5=faces["points5"], names=np.array(pairs.names))
    return np.stack(rows)


def scores_of(vectors: np.ndarray, pairs: Pairs, *, mirrored: bool) -> np.ndarray:
    """How alike each pair is: cosines of unit vectors, minus the distance of others."""
    both = vectors.mean(axis=1) if mirrored else vectors[:, 0]
    if np.abs(np.linalg.norm(vectors, axis=2) - 1).max() > 1e-3:
        return np.asarray(-np.linalg.norm(both[pairs.first] - both[pairs.second], axis=1), np.float64)
    both = both / np.linalg.norm(both, axis=1, keepdims=True)
    return np.asarray((both[pairs.first] * both[pairs.second]).sum(axis=1))


def groups(pairs: Pairs, faces: dict[str, np.ndarray], labels: Path | None) -> Iterator[tuple[str, np.ndarray]]:
    """Name and mask over pairs of each group."""
    yaw = np.abs(faces["pose_degrees"][:, 0])
    worst = np.maximum(yaw[pairs.first], yaw[pairs.second])
    for low, high in ((0, 15), (15, 30), (30, 90)):
        yield f"yaw {low} to {high} degrees", (worst >= low) & (worst < high)
    bands = [ita_band(float(angle)) for angle in faces["tone"]]
    yield from _agreeing("photographed tone", bands, pairs)
    if labels is not None:
        with labels.open(newline="", encoding="utf-8") as file:
            columns, *rows = list(csv.reader(file))
        known = {row[0]: row[1:] for row in rows}
        blank = [""] * (len(columns) - 1)
        found = [next((known[key] for key in _keys(name) if key in known), blank) for name in pairs.names]
        for number, column in enumerate(columns[1:]):
            yield from _agreeing(column, [values[number] for values in found], pairs)


def _keys(name: str) -> tuple[str, str, str]:
    """Picture, person, first name."""
    return name, name.rsplit("_", 1)[0], name.split("_", 1)[0]


def _agreeing(column: str, values: list[str], pairs: Pairs) -> Iterator[tuple[str, np.ndarray]]:
    array = np.array(values)
    for value in sorted(set(values) - {""}):
        yield f"{column}: {value}", (array[pairs.first] == value) & (array[pairs.second] == value)


def group_figures(
    scores: np.ndarray, pairs: Pairs, masks: list[tuple[str, np.ndarray]]
) -> dict[str, dict[str, object]]:
    """Accuracy, errors of both kinds and pairs of each group, at the folds' thresholds."""
    thresholds = np.zeros(len(scores))
    for number in np.unique(pairs.folds):
        here = pairs.folds == number
        thresholds[here] = best_threshold(scores[~here], pairs.same[~here])
    accepted = scores > thresholds
    found: dict[str, dict[str, object]] = {}
    for name, mask in masks:
        one, strangers = mask & pairs.same, mask & ~pairs.same
        if mask.sum() < FEWEST_PAIRS or not one.any() or not strangers.any():
            continue
        right = int((accepted == pairs.same)[mask].sum())
        found[name] = {
            "pairs": int(mask.sum()),
            "accuracy": right / int(mask.sum()),
            "interval": wilson(right, int(mask.sum())),
            "false_reject": float((~accepted)[one].mean()),
            "false_accept": float(accepted[strangers].mean()),
        }
    return found


def worst_sheet(
    scores: np.ndarray, pairs: Pairs, faces: dict[str, np.ndarray], folder: Path, count: int = 20
) -> np.ndarray:
    """The pairs that lie farthest on the wrong side of the common threshold, two faces each, worst first."""
    signed = (scores - best_threshold(scores, pairs.same)) * np.where(pairs.same, 1, -1)
    tiles = []
    for row in np.argsort(signed)[:count]:
        sides = []
        for place in (pairs.first[row], pairs.second[row]):
            frame = read_picture(folder / pairs.names[place]).frame
            sides.append(warp(frame, alignment(faces["points5"][place], TEMPLATE, 112), (112, 112)))
        bar = np.zeros((112, 6, 3), np.uint8) + np.array((0, 160, 0) if pairs.same[row] else (200, 0, 0), np.uint8)
        tiles.append(np.concatenate([bar, *sides, bar * 0], axis=1))
    rows = [np.concatenate(tiles[at : at + 4], axis=1) for at in range(0, len(tiles) - len(tiles) % 4, 4)]
    return np.concatenate(rows)


def line_of(name: str, found: Verification) -> str:
    low, high = (100 * end for end in found.interval)
    tar = f"{100 * found.tar:6.2f} [{100 * found.tar_interval[0]:.2f}, {100 * found.tar_interval[1]:.2f}]"
    folds = " ".join(f"{100 * fold:.2f}" for fold in found.by_fold)
    return f"{name:24s} {100 * found.accuracy:6.2f} [{low:.2f}, {high:.2f}]   {tar}   {folds}"


def measure(args: argparse.Namespace, analyser: Analyser) -> dict[str, object]:
    pairs = read_pairs(args.folder / "lfw_pairs.csv")
    pictures = args.folder / "lfw"
    args.cache.mkdir(parents=True, exist_ok=True)
    faces = find_faces(pairs.names, pictures, args.cache, analyser)
    lost = int((~faces["found"]).sum())
    logger.info("%d pairs, %d pictures, %d without a face found", len(pairs.same), len(pairs.names), lost)
    logger.info("%-24s accuracy [95 %%]           TAR at FAR 1 %% [95 %%]     by fold", "model")
    report: dict[str, object] = {"pairs": len(pairs.same), "pictures": len(pairs.names), "no_face": lost}
    masks = list(groups(pairs, faces, args.labels))
    for name, path in (given.split("=", 1) for given in args.model):
        vectors = embeddings(Path(path), pairs, faces, pictures, args.cache)
        scores = scores_of(vectors, pairs, mirrored=True)
        found = verify(scores, pairs.same, pairs.folds)
        plain = verify(scores_of(vectors, pairs, mirrored=False), pairs.same, pairs.folds)
        logger.info("%s\n%s", line_of(name, found), line_of(f"{name}, no mirror", plain))
        figures = group_figures(scores, pairs, masks)
        for group, figure in figures.items():
            logger.info("    %-36s %6.2f  of %d", group, 100 * float(str(figure["accuracy"])), figure["pairs"])
        report[name] = {"sha256": sha256(Path(path)), **asdict(found), "no_mirror": asdict(plain), "groups": figures}
        if args.worst is not None:
            save_frame(args.worst / f"worst_{name}.png", worst_sheet(scores, pairs, faces, pictures))
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="EVAL", help="holds lfw_pairs.csv and lfw/")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=FILE.onnx", help="may repeat")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="groups of pictures, people or first names")
    parser.add_argument("--worst", type=Path, metavar="DIR", help="write a sheet of the 20 worst pairs of each model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        report = measure(args, Analyser())
    except FacegraftError as error:
        logger.error("lfw: %s", error)
        return 2
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
