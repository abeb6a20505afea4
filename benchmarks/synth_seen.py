"""Do a face detector and a face mesh that never saw renders find rendered faces, and where do they put the points?

    python benchmarks/synth_seen.py --pictures 1000 --size 256 --cache pictures

MediaPipe's networks (faces/mediapipe.py) look at pictures of five strata, a new person each. Reported per stratum: the
share found, whole and by how much of the face something hides, and the distance between the points the mesh finds and
the projected vertices. Pixels, and shares of the distance of the outer eye corners in space (it does not shrink as the
head turns). Every interval is 95 %, by bootstrap over pictures, for shares after Wilson. Assets: FACEGRAFT_MAKEHUMAN.
Writes benchmarks/history/<version>/synth_seen--<machine>--<device>.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from synth_pictures import Arrays, Shot, bootstrap, facts, history, pictures, rounded, this_machine, wilson

from facegraft.core.image import picture_from_frame, write_picture
from facegraft.core.types import Frame
from facegraft.data.synth.people import sample_person
from facegraft.faces.analyse import MIN_SCORE, Analyser, whole_view
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.topology import LANDMARKS_68, OVAL

STRATA = ("ordinary", "large pose", "extreme expression", "occluded", "hard light")
FIRST_SEED = 910_000
SAME_FACE = 0.4
"""Least overlap (intersection over union) of the boxes around found and true points."""
SAME_PLACE = 0.2
"""The same for a detector's box, which leaves out forehead and chin."""
HALF = 0.5
GROUPS = {
    "eye corners": (36, 39, 42, 45),
    "mouth corners": (48, 54),
    "inner lips, middle": (62, 66),
    "nose tip": (30,),
    "under the nose": (33,),
}
"""Rows of the 68 landmarks that both conventions define alike. The mesh of these networks has no irises."""
EDGES_DEGREES = (0, 15, 30, 45, 60, 76)


def shots(count: int) -> list[Shot]:
    each = count // len(STRATA)
    return [
        Shot(sample_person(FIRST_SEED + number), FIRST_SEED + number, STRATA[number // each])
        for number in range(each * len(STRATA))
    ]


def overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    inner = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner))


def look(images: Iterable[Frame], dense: Float[np.ndarray, "n 468 2"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of the face that is there (NaN: not found), how many other faces were seen, what detectors say.

    The third is true where a detector alone marks the face, whether the mesh then believes it or not.
    """
    analyser = Analyser(MediaPipeNetworks())
    detected = np.zeros(len(dense), bool)
    found = np.full(dense.shape, np.nan, np.float32)
    others = np.zeros(len(dense), np.int64)
    for number, (image, points) in enumerate(zip(images, dense, strict=True)):
        faces = analyser.analyse(image)
        box = np.concatenate([points.min(0), points.max(0)])
        detected[number] = any(overlap(seen, box) >= SAME_PLACE for seen in marked(analyser, image))
        overlaps = [overlap(seen, box) for seen in faces.boxes_xyxy]
        best = int(np.argmax(overlaps)) if overlaps else -1
        there = best >= 0 and overlaps[best] >= SAME_FACE
        others[number] = len(faces) - there
        if there:
            found[number] = faces.dense[best, :, :2]
    return found, others, detected


def marked(analyser: Analyser, image: Frame) -> list[np.ndarray]:
    """Boxes of both detectors on the whole picture."""
    view, side = whole_view(image, 0)
    looks = [analyser.networks.detect(image, view, side, near=near, min_score=MIN_SCORE) for near in (False, True)]
    return [box for boxes, _, _ in looks for box in boxes]


def share(found: Bool[np.ndarray, "n"], rows: Bool[np.ndarray, "n"]) -> dict[str, float | int] | None:
    return wilson(int(found[rows].sum()), int(rows.sum())) if rows.any() else None


def distances(
    errors: Float[np.ndarray, "n k"], unit: Float[np.ndarray, "n"], rows: Bool[np.ndarray, "n"]
) -> dict[str, Any] | None:
    """Mean and median over points, in pixels and in outer-eye distances; NaN where a point is hidden."""
    kept = errors[rows & np.isfinite(errors).any(1)]
    units = unit[rows & np.isfinite(errors).any(1)]
    if not len(kept):
        return None
    relative = kept / units[:, None]

    def of(values: np.ndarray, what: Any) -> dict[str, float]:
        return bootstrap(len(values), lambda chosen: float(what(values[chosen])), rounds=400)

    return {
        "pictures": len(kept),
        "px_mean": of(kept, np.nanmean),
        "px_median": of(kept, np.nanmedian),
        "relative_mean": of(relative, np.nanmean),
        "relative_median": of(relative, np.nanmedian),
    }


def report(
    made: Arrays, strata: Sequence[str], found: np.ndarray, others: np.ndarray, detected: np.ndarray
) -> dict[str, Any]:
    seen, little = np.isfinite(found[:, 0, 0]), made["hidden"] <= HALF
    in_view = made["visible_dense"].mean(1) >= HALF
    error68 = np.linalg.norm(found[:, list(LANDMARKS_68)] - made["landmarks68"], axis=2)
    error68[~made["visible68"]] = np.nan
    dense = np.linalg.norm(found - made["dense"], axis=2)
    dense[~made["visible_dense"]] = np.nan
    inside = np.setdiff1d(np.arange(dense.shape[1]), OVAL)
    sharp = error68[:, [row for rows in GROUPS.values() for row in rows]]
    names = np.array(strata)
    result: dict[str, Any] = {}
    which = {name: names == name for name in STRATA}
    which |= {"all but large pose": names != "large pose", "all": np.ones(len(names), bool)}
    for name, rows in which.items():
        result[name] = {
            "found": share(seen, rows),
            "found_where_at_most_half_is_hidden": share(seen, rows & little),
            "found_where_at_most_half_is_hidden_or_turned_away": share(seen, rows & in_view),
            "found_where_more_is_hidden": share(seen, rows & ~little),
            "detected": share(detected, rows),
            "false_faces": int(others[rows].sum()),
            "hidden_median": rounded(np.median(made["hidden"][rows])),
            "points_alike": distances(sharp, made["unit"], rows),
            "dense_without_outline": distances(dense[:, inside], made["unit"], rows),
        }
    yaw = np.abs(made["pose_degrees"][:, 0])
    result["points"] = {
        name: distances(error68[:, list(rows)], made["unit"], np.ones(len(names), bool))
        for name, rows in GROUPS.items()
    }
    result["found_by_yaw_where_at_most_half_is_hidden"] = {
        f"{low} to {high}": share(seen, little & (yaw >= low) & (yaw < high))
        for low, high in itertools.pairwise(EDGES_DEGREES)
    }
    result["bias_px_mean_xy"] = bias(found, made)
    return result


def bias(found: np.ndarray, made: Arrays) -> dict[str, list[float]]:
    """Mean of found less true, in pixels, of nearly frontal faces: shows a difference in what a point means."""
    gap = found[:, list(LANDMARKS_68)] - made["landmarks68"]
    gap[~made["visible68"]] = np.nan
    front = np.abs(made["pose_degrees"][:, :2]).max(1) < 15
    return {
        f"{name} ({row})": [rounded(v) for v in np.nanmean(gap[front, row], axis=0)]
        for name, rows in GROUPS.items()
        for row in rows
    }


def write_misses(folder: Path, made: Arrays, strata: Sequence[str], found: np.ndarray) -> list[str]:
    """Each missed face at twice its size, its true points drawn beside it; what it was, by line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in np.flatnonzero(~np.isfinite(found[:, 0, 0])).tolist():
        image = made["image"][number]
        drawn = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        for (x, y), visible in zip(made["dense"][number] * 2, made["visible_dense"][number], strict=True):
            cv2.circle(drawn, (int(x), int(y)), 1, (0, 255, 0) if visible else (255, 0, 0), -1)
        plain = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        write_picture(folder / f"{number:04d}.png", picture_from_frame(np.concatenate([plain, drawn], 1)), [])
        yaw, pitch, roll = made["pose_degrees"][number]
        lines.append(
            f"{number:04d} {strata[number]}: {100 * made['hidden'][number]:.0f} % hidden, "
            f"yaw {yaw:.0f}, pitch {pitch:.0f}, roll {roll:.0f}"
        )
    (folder / "misses.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the pictures; a new one to redo")
    parser.add_argument("--misses", type=Path, help="folder for pictures of the faces that were missed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machine", default=this_machine())
    args = parser.parse_args()
    wanted = shots(args.pictures)
    options = {"backgrounds": args.backgrounds, "environments": args.environments, "device": args.device}
    made = pictures(wanted, args.cache, args.size, processes=args.processes, **options)
    strata = [shot.stratum for shot in wanted]
    found, others, detected = look(made["image"], made["dense"])
    missed = write_misses(args.misses, made, strata, found) if args.misses else []
    result = {
        **facts(args.device),
        "rendered_at": (args.cache / "commit.txt").read_text(encoding="utf-8").strip(),
        "pictures": len(wanted),
        "size_px": args.size,
        "backgrounds": "photographs" if args.backgrounds else "procedural",
        "environments": "photographs" if args.environments else "procedural",
        "networks": "MediaPipe 0.10.21: short and full range detector, face mesh",
        **report(made, strata, found, others, detected),
    }
    history("synth_seen", args.machine, args.device).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    print("\n".join(missed))


if __name__ == "__main__":
    main()
