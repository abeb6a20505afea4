"""Our own identity network as it ships: who is alike on pictures that no training saw."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import WEIGHTS
from facegraft.faces.recognisers import CROP_SIZE, OnnxRecogniser, cut, normalised

PAIRS = 60


@pytest.fixture(scope="module")
def recogniser() -> OnnxRecogniser:
    return OnnxRecogniser(WEIGHTS / "identity.onnx")


def embedded(recogniser: OnnxRecogniser, analyser: Analyser, frame: Frame) -> np.ndarray:
    """Of the largest face; a picture without one fails here."""
    face = analyser.analyse(frame)[0]
    crop = cut(frame, face.points5, face.dense, recogniser.size_px)
    both = recogniser.embed(np.stack([crop, crop[:, ::-1]])).sum(0)
    return np.asarray(both / np.linalg.norm(both))


def test_it_is_asked_as_ours_and_gives_unit_vectors(recogniser: OnnxRecogniser) -> None:
    assert (recogniser.size_px, recogniser.by_distance) == (CROP_SIZE, False)
    crops = np.random.default_rng(0).integers(0, 256, (2, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
    vectors = recogniser.embed(crops)
    assert vectors.shape == (2, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(recogniser.embed(crops[1:])[0], vectors[1], atol=1e-6)  # neighbours do not matter


def test_a_rendered_person_from_the_side_is_most_like_herself(recogniser: OnnxRecogniser, root: Path) -> None:
    names = ("identity_1.jpg", "identity_1_side.jpg", "identity_2.jpg", "identity_3.jpg")
    frames = [read_picture(root / "examples" / name).frame for name in names]
    z = np.stack([embedded(recogniser, Analyser(), frame) for frame in frames])
    alike = z[1] @ z.T
    assert alike[0] > max(alike[2:]) + 0.05


def test_photographs_of_one_person_are_more_alike_than_those_of_two(
    recogniser: OnnxRecogniser, face_data: Path
) -> None:
    """Every pair of one person beside every pair of two, of the first pairs of LFW: in most the first is more alike."""
    with (face_data / "eval" / "lfw_pairs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    analyser = Analyser()
    cosines = {}
    for same in ("1", "0"):
        chosen = [row for row in rows if row["same"] == same][: PAIRS // 2]
        pairs = [
            [read_picture(face_data / "eval" / "lfw" / row[side]).frame for side in ("first", "second")]
            for row in chosen
        ]
        cosines[same] = [float(np.dot(*(embedded(recogniser, analyser, frame) for frame in pair))) for pair in pairs]
    wins = np.mean(np.array(cosines["1"])[:, None] > np.array(cosines["0"])[None])
    assert wins > 0.85


def test_colours_are_normalised_red_first() -> None:
    """As ImageNet's: a wholly red crop is far above red's mean and below those of green and blue."""
    red = np.zeros((1, 2, 2, 3), np.float32)
    red[..., 0] = 1
    found = normalised(red)
    assert found.shape == (1, 3, 2, 2)
    np.testing.assert_allclose(found[0, :, 0, 0], [0.515 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)
