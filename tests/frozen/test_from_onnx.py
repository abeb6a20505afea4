"""The networks that ship, back in torch, say the same as their files; and what a loss sees through them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import nn  # noqa: E402

from facegraft.core.errors import BadInputError, MissingPartError  # noqa: E402
from facegraft.faces.align import alignment, template_points  # noqa: E402
from facegraft.faces.own import open_network  # noqa: E402
from facegraft.frozen.from_onnx import load_onnx  # noqa: E402
from facegraft.frozen.identity import Identity, IdentityConfig  # noqa: E402
from facegraft.frozen.landmarks import Landmarks, LandmarksConfig  # noqa: E402
from facegraft.frozen.nets import FrozenNets, IdentityEye, window_of  # noqa: E402
from facegraft.frozen.parser import Parser, ParserConfig  # noqa: E402
from facegraft.train.frozen_nets import IDENTITY_FILE, load_frozen, weights_file  # noqa: E402

NETWORKS = {
    "identity": (lambda: Identity(IdentityConfig()), 112, IDENTITY_FILE),
    "judge": (lambda: Identity(IdentityConfig()), 112, weights_file("identity")),
    "parser": (lambda: Parser(ParserConfig()), 64, weights_file("parser")),
    "landmarks": (lambda: Landmarks(LandmarksConfig()), 128, weights_file("landmarks")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_says_what_the_file_says_and_nothing_is_trained(name: str) -> None:
    make, side, file = NETWORKS[name]
    net = make()
    load_onnx(net, file)
    crop = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    session = open_network(file, 1)
    expected = session.run(None, {session.get_inputs()[0].name: crop.numpy()})[0]
    found = net(crop)
    found = found[0] if isinstance(found, tuple) else found
    assert np.abs(found.numpy() - expected).max() < 2e-4
    assert not any(weight.requires_grad for weight in net.parameters())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in net.modules())  # folded


def test_methods_do_not_know_people_by_the_judge() -> None:
    """What evaluation judges by has no part in training."""
    assert IDENTITY_FILE.read_bytes() != weights_file("identity").read_bytes()
    crops = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    net = Identity(IdentityConfig())
    load_onnx(net, IDENTITY_FILE)
    eye = load_frozen({"identity"}, "arcface_112_v2", 112).identity
    assert isinstance(eye, IdentityEye)
    torch.testing.assert_close(eye.net(crops), net(crops), atol=1e-5, rtol=0)


def test_another_networks_file_is_refused() -> None:
    with pytest.raises(BadInputError, match="expected"):
        load_onnx(Parser(ParserConfig()), weights_file("identity"))


def test_a_windows_corners_lie_where_the_matrix_puts_them() -> None:
    """A crop of 10 px that shows a quarter of a picture of 40 px, from (20, 10) on."""
    window = window_of(torch.tensor([[1.0, 0.0, 20.0], [0.0, 1.0, 10.0]]), 10, 40)
    corner = window @ torch.tensor([[-1.0, 1.0], [-1.0, 1.0], [1.0, 1.0]])
    assert torch.allclose(corner, torch.tensor([[0.0, 0.5], [-0.5, 0.0]]))


def test_points_are_told_in_shares_of_the_picture() -> None:
    """Moved by an eighth of the picture, so are they."""
    frozen = load_frozen({"points"}, "arcface_112_v1", 128)
    at = torch.from_numpy(template_points("arcface_112_v1", 128))
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    face = torch.full((1, 3, 128, 128), 0.2)
    for point in at:
        spot = (-((x + 0.5 - point[0]) ** 2 + (y + 0.5 - point[1]) ** 2) / 60).exp()
        face = face - 0.9 * spot
    first = frozen.points(face).mean(1)
    moved = frozen.points(torch.roll(face, 4, -1)).mean(1)
    assert 0.3 < float(first.mean()) < 0.7
    assert float((moved - first)[0, 0]) > 0.005
    assert abs(float((moved - first)[0, 1])) < abs(float((moved - first)[0, 0]))


def test_remembered_answers_are_of_the_same_pictures_only() -> None:
    eye = load_frozen({"identity"}, "arcface_112_v1", 64).identity
    assert isinstance(eye, IdentityEye)
    first, second = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    told = eye(first)
    assert eye(first) is told
    assert not torch.equal(eye(second), told)
    assert torch.equal(eye(first.clone()), told)
    asks = first.clone().requires_grad_()
    eye(asks).sum().backward()
    assert asks.grad is not None
    assert asks.grad.abs().sum() > 0


def test_colours_in_another_order_are_another_face() -> None:
    eye = load_frozen({"identity"}, "arcface_112_v1", 64).identity
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    picture = nn.functional.interpolate(picture, 64, mode="bilinear")
    assert float((eye(picture) * eye(picture.flip(1))).sum()) < 0.98


def test_what_is_not_loaded_says_so() -> None:
    with pytest.raises(MissingPartError, match="'points' is not loaded"):
        FrozenNets().points(torch.zeros(1, 3, 8, 8))
    with pytest.raises(BadInputError, match=r"data\.teacher: is missing"):
        load_frozen({"teacher"}, "arcface_112_v1", 64)
    assert alignment(template_points("ffhq", 64), "ffhq", 64)[0, 0] == pytest.approx(1, abs=1e-5)
    assert Path(weights_file("parser")).is_file()


def test_what_methods_know_people_by_is_what_its_card_says() -> None:
    card = json.loads(IDENTITY_FILE.with_suffix(".json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(IDENTITY_FILE.read_bytes()).hexdigest()
    assert card["sha256"] == digest
    words = IDENTITY_FILE.with_suffix(".md").read_text(encoding="utf-8")
    assert all(part in words for part in (digest, "## Data", "licences", "MobileFaceNet"))
    assert IDENTITY_FILE.stat().st_size < 3_000_000
