"""Diversity report: what a dataset holds, and above all what it lacks, as one HTML page and as JSON.

Every figure counts pictures by a proxy (measure.py) or by what the dataset states. None says anything of a person.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, read_bytes
from facegraft.data.dataset import Dataset, Item
from facegraft.data.item import Row
from facegraft.data.measure import hull_share, measure
from facegraft.data.report_page import page, thumbnail_uri
from facegraft.data.skin_tone import ITA_BANDS, ita_band

MIN_SHARE = 0.02
"""Share of the pictures under which a bin counts as missing."""
MOST_ITEMS = 20_000
"""Larger sets are sampled evenly, and the report says so."""
THUMBNAILS = 8
MEASURED = frozenset(("sharpness", "exposure", "mouth_open", "eyes_open", "smile"))
"""What an item that was measured by `measure` has in its facts, at the least; see `values_of`."""


@dataclass(frozen=True)
class Question:
    """One histogram.

    Attributes:
        name: Of the value.
        title: For people.
        edges: Of the bins, growing; values outside the outer ones belong to the outer bins.
        labels: Of the bins.
        note: How to read it.
        wanted: Whether an empty bin is worth a line among what is missing.
    """

    name: str
    title: str
    edges: tuple[float | int, ...]
    labels: tuple[str, ...]
    note: str = ""
    wanted: bool = True


def _ranges(edges: Sequence[float | int], unit: str) -> tuple[str, ...]:
    return tuple(f"{low:g}..{high:g}{unit}" for low, high in itertools.pairwise(edges))


_YAW = (-90.0, -60.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0, 60.0, 90.0)
_PITCH = (-60.0, -30.0, -15.0, 15.0, 30.0, 60.0)
_TONE_NOTE = (
    "Nearest of the ten Monk swatches in CIELAB. Light and camera move it by several tones; few photographs are lit "
    "brightly enough to reach tones 1 to 4."
)
QUESTIONS = (
    Question("yaw", "Head turned (yaw)", _YAW, _ranges(_YAW, "°"), "Positive: to the right of the picture."),
    Question("pitch", "Head raised (pitch)", _PITCH, _ranges(_PITCH, "°"), "Positive: up."),
    Question(
        "mouth_open", "Mouth", (0, 0.03, 0.15, 1), ("closed", "parted", "open"), "Height of the opening over its width."
    ),
    Question("eyes_open", "Eyes", (0, 0.12, 0.17, 1), ("closed or nearly", "narrow", "open"), "Height over width."),
    Question(
        "smile", "Corners of the mouth", (-1, 0.0, 0.08, 0.14, 1), ("down", "level", "up", "far up"), "A smile's proxy."
    ),
    Question(
        "age",
        "Age",
        (0, 18, 25, 35, 50, 65, 120),
        ("under 18", "18-24", "25-34", "35-49", "50-64", "65 and over"),
        "Where the dataset states it.",
    ),
    Question(
        "monk", "Skin tone, Monk scale", tuple(n + 0.5 for n in range(11)), tuple(map(str, range(1, 11))), _TONE_NOTE
    ),
    Question(
        "ita_band",
        "Skin tone, typology angle",
        tuple(n - 0.5 for n in range(len(ITA_BANDS) + 1)),
        tuple(name for name, _ in ITA_BANDS),
        "Bands of Chardon et al.; the same warning.",
        wanted=False,
    ),
    Question(
        "occluded_share",
        "Share of the face that is hidden",
        (0, 0.05, 0.15, 0.3, 0.5, 1),
        ("under 5 %", "5-15 %", "15-30 %", "30-50 %", "over 50 %"),
        "Hair, glasses, hands, shadow that looks like no skin.",
    ),
    Question(
        "light_x",
        "Light from the side",
        (-1, -0.5, -0.2, 0.2, 0.5, 1),
        ("far left", "left", "even", "right", "far right"),
        "Brightness of one cheek against the other.",
    ),
    Question(
        "light_y",
        "Light from above",
        (-1, -0.2, 0.2, 0.5, 1),
        ("from below", "even", "above", "high above"),
        "Forehead against chin; beards count as shade.",
    ),
    Question(
        "light_hardness",
        "Hardness of the light",
        (0, 3, 6, 1000),
        ("soft", "medium", "hard"),
        "Steepness of shades on the skin.",
    ),
    Question(
        "exposure",
        "Brightness of the face",
        (0, 0.2, 0.35, 0.5, 0.65, 1),
        ("dark", "dim", "middle", "bright", "very bright"),
        wanted=False,
    ),
    Question(
        "sharpness",
        "Sharpness",
        (0, 0.12, 0.2, 0.3, 0.45, 10),
        ("blurred", "soft", "fair", "sharp", "very sharp"),
        "Fine detail at the stored size; noise counts.",
        wanted=False,
    ),
    Question(
        "face_px",
        "Face in its picture",
        (0, 96, 160, 256, 512, 1e5),
        ("under 96 px", "96-160", "160-256", "256-512", "over 512"),
        "Before it was brought to the stored size.",
        wanted=False,
    ),
)
PER_PERSON = (("1", 1), ("2", 2), ("3-5", 5), ("6-10", 10), ("11-50", 50), ("over 50", 10**9))


def write_report(
    dataset: Dataset,
    out: Path,
    thumbnails: bool = False,
    *,
    min_share: float | int = MIN_SHARE,
    most_items: int = MOST_ITEMS,
) -> dict[str, Any]:
    """Writes the page to `out` and the same figures beside it with the suffix .json.

    Args:
        dataset: Of any kind; pictures with the role "truth" are not counted.
        out: An .html file.
        thumbnails: Show samples of bins with real people too. Without it only bins are shown whose pictures are all
            synthetic.
        min_share: A bin with a smaller share is listed as missing.
        most_items: More pictures than this are sampled.

    Returns:
        The figures: "items", "people", "missing", "histograms" ... all plain JSON.

    Raises:
        BadInputError: No pictures; a name that is no .html; the .json beside it is there and no such report.
        OutputError: The files cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise BadInputError(f"{out}: expected a name that ends in .html; its figures are written beside it as .json")
    _check_beside(out.with_suffix(".json"))
    if not 0 <= min_share <= 1:
        raise BadInputError(f"min share: expected 0 to 1, found {min_share}")
    rows = [row for row in dataset.rows if row.role == "picture"]
    if not rows:
        raise BadInputError(f"dataset {dataset.card.name!r}: no pictures to report on")
    sample = [rows[number] for number in np.linspace(0, len(rows) - 1, min(len(rows), most_items)).astype(int)]
    values = [values_of(dataset, row) for row in sample]
    facts = _facts(dataset, rows, sample, values, float(min_share))
    shown = _thumbnails(dataset, sample, values, anybody=thumbnails)
    for path, text in ((out, page(facts, shown)), (out.with_suffix(".json"), json.dumps(facts, indent=2) + "\n")):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return facts


def _check_beside(figures: Path) -> None:
    """Nobody named that file, so only an earlier report of ours is replaced."""
    if not figures.exists():
        return
    try:
        found = json.loads(read_bytes(figures))
    except (ValueError, RecursionError):
        found = None
    if not (isinstance(found, dict) and found.keys() >= {"items", "missing", "histograms"}):
        raise BadInputError(f"{figures}: is there and is no report; move it, or name another by -o")


def values_of(dataset: Dataset, row: Row) -> dict[str, float]:
    """Every value that a `Question` asks for and that is known of a picture.

    What `ingest` measured is taken from the index. Any other picture is measured now, by the same code, so that sets of
    every origin compare; only age, skin tone and what is hidden are taken as stated.
    """
    stated = {name: float(value) for name, value in row.facts.items() if isinstance(value, int | float)}
    if "hash" in row.facts and stated.keys() >= MEASURED:
        values = stated
    else:
        values = _measured(dataset.read(row)) | {n: stated[n] for n in ("age", "monk", "occluded_share") if n in stated}
    if row.pose_degrees is not None:
        values |= {"yaw": row.pose_degrees[0], "pitch": row.pose_degrees[1]}
    if "ita" in values:
        names = [name for name, _ in ITA_BANDS]
        values["ita_band"] = float(names.index(ita_band(values["ita"])))
    return values


def _measured(item: Item) -> dict[str, float]:
    landmarks = item.arrays.get("landmarks68")
    if landmarks is None or not np.isfinite(landmarks).all():
        return {}
    frame = item.frame()
    visible = item.plane("visible").astype(np.float32) / 255 if "visible" in item.planes else None
    found: dict[str, float] = {}
    if "occluder" in item.planes:
        covered = item.plane("occluder").astype(np.float32) / 255
        visible = 1 - covered if visible is None else visible
        found["occluded_share"] = hull_share(covered, landmarks)
    return found | {name: float(value) for name, value in measure(frame, landmarks, visible).items()}


def _facts(
    dataset: Dataset, rows: Sequence[Row], sample: Sequence[Row], values: Sequence[dict[str, float]], min_share: float
) -> dict[str, Any]:
    histograms = [_histogram(question, values, min_share) for question in QUESTIONS]
    yaw, pitch = (next(q for q in QUESTIONS if q.name == name) for name in ("yaw", "pitch"))
    pose = np.zeros((len(pitch.labels), len(yaw.labels)), int)
    for value in values:
        if "yaw" in value and "pitch" in value:
            pose[bin_of(pitch, value["pitch"]), bin_of(yaw, value["yaw"])] += 1
    per_person = Counter(row.person for row in rows if row.person)
    return {
        "name": dataset.card.name,
        "items": len(rows),
        "measured": len(sample),
        "people": len(per_person),
        "without_person": sum(not row.person for row in rows),
        "synthetic": sum(row.synthetic for row in rows),
        "min_share": min_share,
        "missing": [line for histogram in histograms for line in histogram["missing"]],
        "pose": {"yaw": list(yaw.labels), "pitch": list(pitch.labels), "counts": pose.tolist()},
        "histograms": histograms,
        "pictures_per_person": _per_person(per_person),
        "licences": _counted(row.licence or "unknown" for row in rows),
        "consents": _counted(row.consent or "not stated" for row in rows),
        "splits": _counted(row.split for row in rows),
        "kinds": _counted("synthetic" if row.synthetic else "real" for row in rows),
    }


def bin_of(question: Question, value: float | int) -> int:
    """The number of the bin that a value falls into."""
    found = int(np.searchsorted(question.edges, value, side="right")) - 1
    return min(max(found, 0), len(question.labels) - 1)


def _histogram(question: Question, values: Sequence[dict[str, float]], min_share: float) -> dict[str, Any]:
    known = [value[question.name] for value in values if question.name in value]
    counts = np.bincount([bin_of(question, value) for value in known], minlength=len(question.labels)).tolist()
    missing: list[str] = []
    if question.wanted and not known:
        missing = [f"{question.title}: not known of any picture"]
    elif question.wanted:
        missing = [
            f"{question.title}: {label} is {count / len(known):.1%} ({count} of {len(known)})"
            for label, count in zip(question.labels, counts, strict=True)
            if count < min_share * len(known)
        ]
    return {
        "name": question.name,
        "title": question.title,
        "note": question.note,
        "labels": list(question.labels),
        "counts": counts,
        "known": len(known),
        "median": round(float(np.median(known)), 4) if known else None,
        "missing": missing,
    }


def _per_person(per_person: Counter[str]) -> dict[str, int]:
    found = dict.fromkeys((label for label, _ in PER_PERSON), 0)
    for count in per_person.values():
        found[next(label for label, most in PER_PERSON if count <= most)] += 1
    return found


def _counted(texts: Any) -> dict[str, int]:
    return dict(Counter(texts).most_common())


def _thumbnails(
    dataset: Dataset, sample: Sequence[Row], values: Sequence[dict[str, float]], *, anybody: bool
) -> dict[tuple[str, int], list[str]]:
    """(question, bin) -> a few pictures as data addresses; only of bins without real people, unless `anybody`."""
    members: dict[tuple[str, int], list[Row]] = {}
    for row, value in zip(sample, values, strict=True):
        for question in QUESTIONS:
            if question.name in value:
                members.setdefault((question.name, bin_of(question, value[question.name])), []).append(row)
    shown = {}
    for place, rows in members.items():
        if anybody or all(row.synthetic for row in rows):
            few = [rows[number] for number in np.linspace(0, len(rows) - 1, min(len(rows), THUMBNAILS)).astype(int)]
            shown[place] = [thumbnail_uri(dataset.read(row).frame()) for row in few]
    return shown
