"""The bundles that ship: whole, told by their cards, and nearer to the person than the frame was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import WEIGHTS
from facegraft.faces.recognisers import OnnxRecogniser, cut
from facegraft.runtime.engine import installed_bundles
from facegraft.runtime.swapper import load_swapper

EXAMPLES = Path(__file__).parents[2] / "examples"
SHIPPED = sorted(path.parent for path in WEIGHTS.glob("*/card.json"))


def test_fastswap_at_128_pixels_ships() -> None:
    assert [folder.name for folder in SHIPPED] == ["fastswap-128"]
    assert installed_bundles([WEIGHTS])["fastswap-128"] == WEIGHTS / "fastswap-128"


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: str(folder.name))
def test_a_card_tells_its_files_data_and_scores(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    for name, told in card["files"].items():
        content = (folder / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (told["sha256"], told["bytes"])
    assert {"identity_cosine_dlib", "psnr_toned", "pose_degrees"} <= set(card["scores"])
    words = (folder / "CARD.md").read_text(encoding="utf-8")
    assert all(part in words for part in ("## Data", "## Scores", "licences", "trained by"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: str(folder.name))
@pytest.mark.parametrize(("who", "where"), [("identity_1", "attribute_1"), ("identity_3", "attribute_1")])
def test_a_swap_shows_more_of_the_person(folder: Path, who: str, where: str) -> None:
    identity, attribute = (read_picture(EXAMPLES / f"{name}.jpg").frame for name in (who, where))
    swapped = load_swapper(folder.name).swap_pair(identity, attribute)
    assert swapped.shape == attribute.shape
    assert alike(swapped, identity) > alike(attribute, identity) + 0.2
    assert float((np.abs(swapped.astype(int) - attribute).max(axis=2) > 0).mean()) < 0.35


def alike(first: Frame, second: Frame) -> float:
    """Cosine by our own recogniser."""
    analyser, recogniser = Analyser(), OnnxRecogniser(WEIGHTS / "identity.onnx")
    faces = [analyser.analyse(frame)[0] for frame in (first, second)]
    crops = [
        cut(frame, face.points5, face.dense, recogniser.size_px)
        for frame, face in zip((first, second), faces, strict=True)
    ]
    one, other = recogniser.embed(np.stack(crops))
    return float(one @ other)
