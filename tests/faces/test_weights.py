"""The networks in the repository, on portraits that they never saw; and their cards."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facegraft
from facegraft.core.geometry import transform, warp
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.export.card import as_markdown, bundle_markdown
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import SHIPPED
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.own import OwnNetworks, as_input, open_network
from facegraft.faces.topology import OVAL

WEIGHTS = Path(facegraft.__file__).parent / "faces" / "weights"
MOST_BYTES = 11_000_000
"""Of all face networks together."""


@pytest.fixture(scope="module")
def portraits(face_data: Path) -> list[Frame]:
    """Laboratory portraits without glasses, of the validation split."""
    with (face_data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val" and row["set"] == "london"]
    return [read_picture(face_data / row["file"]).frame for row in rows]


def test_every_network_has_its_card_and_is_what_the_card_says() -> None:
    files = sorted(WEIGHTS.glob("*.onnx"))
    assert {path.stem for path in files} >= set(SHIPPED)
    for path in files:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert card["run"]["data"]
        assert card["sha256"] in path.with_suffix(".md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


def shipped_cards() -> list[tuple[dict[str, Any], str]]:
    """Facts and text of every card in the package, networks' and bundles'."""
    package = WEIGHTS.parents[1]
    files = [*package.rglob("weights/*.json"), *package.rglob("weights/*/card.json")]
    texts = [path.with_name("CARD.md") if path.name == "card.json" else path.with_suffix(".md") for path in files]
    return [
        (json.loads(path.read_text(encoding="utf-8")), text.read_text(encoding="utf-8"))
        for path, text in zip(files, texts, strict=True)
    ]


def test_cards_for_people_say_what_those_for_programs_say() -> None:
    cards = shipped_cards()
    assert len(cards) >= len(SHIPPED) + 4  # two identity networks, the robust one, a bundle
    for facts, text in cards:
        assert text == (bundle_markdown if "facegraft_bundle" in facts else as_markdown)(facts)


def test_cards_name_whose_pictures_taught_the_weights() -> None:
    """All but the shading network saw photographs."""
    silent = {facts.get("network") for facts, text in shipped_cards() if "**Attribution.**" not in text}
    assert silent == {"shading"}
    for facts, _ in shipped_cards():
        if facts.get("network") != "shading":
            for name in ("Lisa DeBruine and Benedict Jones (CC-BY 4.0", "David Beniaguev (MIT)"):
                assert name in " ".join(facts["notes"].split())


@pytest.mark.usefixtures("face_models")
def test_our_landmarks_lie_where_the_teachers_do(portraits: list[Frame]) -> None:
    analyser, own, errors = Analyser(MediaPipeNetworks()), OwnNetworks(WEIGHTS), []
    for frame in portraits:
        (face,) = list(analyser.analyse(frame))[:1]
        crop = analyser._candidate_of(face.dense).crop()
        points, presence = own.mesh(frame, crop)
        assert presence > 0.8
        wide = np.linalg.norm(face.dense[33, :2] - face.dense[263, :2])
        errors.append(np.linalg.norm(points[:, :2] - face.dense[:, :2], axis=1).mean() / wide)
    assert len(errors) >= 10
    assert np.mean(errors) < 0.045
    empty = np.full((200, 200, 3), 128, np.uint8)
    nothing = own.landmarks(empty, np.array([[0.005, 0, 0], [0, 0.005, 0]], np.float32))
    assert nothing.presence < 0.2


@pytest.mark.usefixtures("face_models")
def test_our_parser_sees_the_inner_face(portraits: list[Frame]) -> None:
    import cv2

    analyser, parser, overlaps = Analyser(MediaPipeNetworks()), open_network(WEIGHTS / "parser.onnx", 1), []
    for frame in portraits:
        (face,) = list(analyser.analyse(frame))[:1]
        middle = np.array([[0, 0, 0.5], [0, 0, 0.5]])
        wider = (analyser._candidate_of(face.dense).crop() - middle) * 1.5 / 1.9 + middle
        to_input = (wider * 256).astype(np.float32)
        (visible,) = parser.run(["visible"], {"crop": as_input(warp(frame, to_input, (256, 256)))})
        oval = np.zeros((256, 256), np.uint8)
        cv2.fillPoly(oval, [np.rint(transform(to_input, face.dense[list(OVAL), :2])).astype(np.int32)], 1)
        seen = visible[0, 0] > 0.5
        overlaps.append((seen & (oval > 0)).sum() / (seen | (oval > 0)).sum())
    assert np.mean(overlaps) > 0.8
