"""The discriminators that the configs of the repository build: sizes, maps, and that each of them teaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import nn

from facegraft.core.config import load_config
from facegraft.core.errors import BadInputError
from facegraft.methods._method import Method, build_method, find_method
from facegraft.nn.conv import count_parameters
from facegraft.nn.discriminators import MultiScaleDiscriminator, PatchDiscriminator

FOLDER = Path(__file__).parents[2] / "configs"
METHODS = ("faceshifter", "ghost", "mobilefaceswap", "mobilefsgan", "simswap")
CONFIGS = sorted(path for path in FOLDER.glob("*.toml") if load_config(path).get("method") in METHODS)


def planned(path: Path, **model: Any) -> Method:
    """The config's method without weights, other numbers in `[model]`."""
    config = load_config(path)
    with torch.device("meta"):
        return build_method({"method": config["method"], "model": config["model"] | model})


def judges(method: Method) -> list[PatchDiscriminator]:
    """Those of all scales, the one that sees the most first."""
    return [part for part in method.modules() if isinstance(part, PatchDiscriminator)]


def looked_at(method: Method, number: int) -> int:
    """Side of what one of them sees."""
    return int(method.config.size_px) >> number


def test_every_config_is_here() -> None:
    """Three of each method, two second stages of FaceShifter and of GHOST each."""
    assert len(CONFIGS) >= 19


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_scale_answers_and_teaches(path: Path) -> None:
    """Places of a picture get answers of their own, and each answer reaches the picture."""
    method = planned(path, discriminator_width=2)
    torch.manual_seed(0)
    for number, judge in enumerate(judges(method)):
        judge.to_empty(device="cpu")
        for part in judge.modules():
            if isinstance(part, nn.Conv2d):
                for name, weight in part.named_parameters():
                    nn.init.normal_(weight, std=0.2 if "weight" in name else 0.0)
        for buffer in judge.buffers():  # estimates of spectral normalisation
            buffer.copy_(F.normalize(torch.randn_like(buffer), dim=0))
        side = looked_at(method, number)
        image = torch.rand(1, 3, side, side).requires_grad_()
        answer, _ = judge(image)
        assert answer.std() > 1e-4, number
        (answer * torch.randn_like(answer)).sum().backward()
        assert image.grad is not None
        assert image.grad.abs().max() > 1e-6, number


@pytest.mark.parametrize(
    ("name", "millions", "sides"),
    [
        ("faceshifter_paper", 46.0, [7, 5, 4]),
        ("faceshifter_paper_hear", 46.0, [7, 5, 4]),
        ("ghost_paper", 33.5, [11, 7, 5]),
        ("ghost_paper_eyes", 33.5, [11, 7, 5]),
        ("simswap_paper", 13.9, [12, 5]),
        ("mobilefsgan_paper", 2.108, [19, 11, 7]),
        # As trained and shipped: other sizes would refuse the weights.
        ("faceshifter", 2.563650, [8, 4]),
        ("faceshifter_small", 0.521906, [8, 4]),
        ("ghost", 2.563650, [8, 4]),
        ("ghost_small", 0.521906, [8, 4]),
        ("simswap", 0.925250, [16, 8]),
        ("simswap_small", 0.131930, [8, 4]),
        ("mobilefsgan", 0.555475, [8, 8, 4]),
        ("mobilefsgan_small", 0.261779, [8, 4, 4]),
    ],
)
def test_sizes_are_those_published_or_trained(name: str, millions: float, sides: list[int]) -> None:
    """MobileFSGAN's leave out the weights of batch normalisations, a thousandth."""
    method = planned(FOLDER / f"{name}.toml")
    found = judges(method)
    assert sum(map(count_parameters, found)) == pytest.approx(millions * 1e6, rel=2e-3 if "_paper" in name else 1e-9)
    seen = [
        judge(torch.zeros(1, 3, looked_at(method, number), looked_at(method, number), device="meta"))[0]
        for number, judge in enumerate(found)
    ]
    assert [answer.shape[-1] for answer in seen] == sides


def test_the_published_layers_of_mobilefsgan() -> None:
    (first, *others) = judges(planned(FOLDER / "mobilefsgan_paper.toml"))
    assert len(others) == 2
    weights = [weight for weight in first.parameters() if weight.ndim == 4]
    assert [tuple(weight.shape[:2]) for weight in weights] == [
        (16, 3),
        (32, 16),
        (64, 32),
        (128, 64),
        (256, 128),
        (1, 256),
    ]
    assert {tuple(weight.shape[2:]) for weight in weights} == {(4, 4)}


@pytest.mark.parametrize("name", [name for name in METHODS if name != "mobilefsgan"])
def test_a_scale_that_ends_in_one_place_is_refused(name: str) -> None:
    """In one line that names the key."""
    with pytest.raises(BadInputError, match="discriminator_halvings: expected less than 6") as refusal:
        planned(FOLDER / f"{name}.toml", scales=3, discriminator_halvings=6)
    assert "\n" not in str(refusal.value)
    method = planned(FOLDER / f"{name}.toml", scales=2, discriminator_halvings=4)
    assert isinstance(method.discriminator, MultiScaleDiscriminator)


def test_the_projected_discriminator_knows_no_scales() -> None:
    config = find_method("simswap").config
    config(discriminator="projected", scales=9)
    with pytest.raises(ValueError, match="discriminator_halvings"):
        config(scales=9)
