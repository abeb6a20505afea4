"""Whether glasses are worn, on drawn looks of the parser."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.faces.analyse import SEEN_MARGIN, Analyser
from facegraft.faces.glasses import CELLS, WEARS, Look, pattern, score, worn
from facegraft.faces.own import OwnNetworks

LABELS = Path(__file__).parents[2] / "tools" / "glasses_labels.csv"
PATTERNS = Path(__file__).with_name("glasses_patterns.json")
SIDE = 256
EYES = ((0.34, 0.38), (0.66, 0.38))
"""Where they lie in the crop."""


def places() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
    return x, y


def ring(radius: float, width: float) -> np.ndarray:
    x, y = places()
    away = [np.abs(np.hypot(x - left, y - top) - radius) for left, top in EYES]
    return (np.minimum(*away) < width).astype(np.float32)


def brows(width: float = 0.02) -> np.ndarray:
    x, y = places()
    return np.maximum.reduce(
        [((np.abs(x - left) < 0.11) & (np.abs(y - 0.29) < width)).astype(np.float32) for left, _ in EYES]
    )


def eyes() -> np.ndarray:
    x, y = places()
    return np.maximum.reduce([(np.hypot((x - left) / 2, y - top) < 0.02).astype(np.float32) for left, top in EYES])


def looks(glasses: np.ndarray) -> Look:
    return Look(glasses, brows() * (1 - glasses), eyes(), (1 - glasses).astype(np.float32))


def test_a_ring_around_each_eye_is_a_pair_of_glasses() -> None:
    assert worn(looks(ring(0.13, 0.015))) == 1


def test_portraits_are_told_as_they_were_labelled(face_data: Path) -> None:
    """Some of those that the weights were fitted to; how many held-out ones are told right, the tool prints."""
    with LABELS.open(encoding="utf-8") as file:
        labels = {row["file"]: row["glasses"] == "1" for row in csv.DictReader(file)}
    chosen = [
        name for sort in (True, False) for name in sorted(n for n, is_so in labels.items() if is_so is sort)[::20]
    ]
    networks = OwnNetworks()
    analyser = Analyser(networks)
    right = []
    for name in chosen:
        frame = read_picture(face_data / name).frame
        face = analyser.analyse(frame, thorough=False)[0]
        look, clear = networks.looked_again(frame, analyser.crop_around(face.dense, SEEN_MARGIN))
        assert clear > 0.5
        right.append((worn(look) > 0.5) == labels[name])
    assert len(right) > 40
    assert np.mean(right) > 0.9


@pytest.mark.parametrize(("sort", "wears"), [("worn", True), ("dark brows", False)])
def test_what_the_parser_said_of_portraits_is_told_apart(sort: str, wears: bool) -> None:
    """Cells of four pairs of glasses, and of the six portraits without any on which it saw most, in fiftieths."""
    for cells in json.loads(PATTERNS.read_text(encoding="utf-8"))[sort]:
        found = score(np.array(cells, np.float32).reshape(4, 8, CELLS) / 50)
        assert (found > 1) if wears else (found < -0.5)


def test_nothing_is_no_pair_either() -> None:
    assert worn(looks(np.zeros((SIDE, SIDE), np.float32))) == 0


def test_left_and_right_are_alike() -> None:
    look = looks((ring(0.13, 0.015) * (places()[0] > 0.5)).astype(np.float32))
    turned = Look(*(np.ascontiguousarray(part[:, ::-1]) for part in (look.glasses, look.brow, look.eye, look.visible)))
    assert abs(score(pattern(look)) - score(pattern(turned))) < 0.05
    assert score(pattern(look)) < 0.9 * score(pattern(looks(ring(0.13, 0.015))))  # half a pair is less of one


def test_a_pattern_is_the_mean_of_each_cell_from_forehead_to_lips() -> None:
    x, y = places()
    half = (x < 0.5).astype(np.float32)
    found = pattern(Look(half, (y < 0.25).astype(np.float32), 1 - half, half * 0))
    assert found.shape == (4, 8, CELLS)
    np.testing.assert_allclose(found[0, :, :8], 1)
    np.testing.assert_allclose(found[0, :, 8:], 0)
    np.testing.assert_allclose(found[1, :2], 1)  # the two rows above are not counted
    np.testing.assert_allclose(found[1, 2:], 0)
    np.testing.assert_allclose(found[2], 1 - found[0])
    assert WEARS[0] < WEARS[1]
