"""Normalisations that keep samples apart, and discriminators of patches and of frozen maps."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.discriminators import (  # noqa: E402
    MultiScaleDiscriminator,
    PatchDiscriminator,
    ProjectedDiscriminator,
    RandomMixing,
    check_places,
)
from facegraft.nn.norm import group_norm, instance_norm, pixel_norm  # noqa: E402
from facegraft.nn.weights import load_weights, save_weights  # noqa: E402

CHANNELS = (3, 5, 7)


def test_instance_norm_is_torchs_own_and_takes_single_places() -> None:
    x = torch.randn(3, 4, 5, 6) * 3 + 2
    torch.testing.assert_close(instance_norm(x), F.instance_norm(x, eps=1e-5), atol=1e-5, rtol=1e-5)
    assert instance_norm(torch.randn(2, 4, 1, 1)).abs().max() == 0


@pytest.mark.parametrize("half", [False, True])
def test_instance_norm_goes_back_as_torchs_own(half: bool) -> None:
    given, above = (torch.randn(2, 4, 5, 6) for _ in range(2))
    gradients = []
    for norm in (instance_norm, lambda x: F.instance_norm(x, eps=1e-5)):
        x = (given.bfloat16() if half and norm is instance_norm else given).clone().requires_grad_()
        norm(x).backward(above.to(x.dtype))
        assert x.grad is not None
        assert x.grad.dtype == x.dtype
        gradients.append(x.grad.float())
    torch.testing.assert_close(*gradients, atol=0.05 if half else 1e-5, rtol=0.02 if half else 1e-5)


def test_instance_norm_can_be_asked_for_the_gradient_of_its_gradient() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float32).requires_grad_()
    seconds = []
    for norm in (instance_norm, lambda x: F.instance_norm(x, eps=1e-5)):
        (first,) = torch.autograd.grad(norm(x).pow(3).sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*seconds, atol=1e-3, rtol=1e-3)


def test_single_places_have_no_gradient() -> None:
    x = torch.randn(2, 4, 1, 1).requires_grad_()
    instance_norm(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() < 1e-3


@pytest.mark.parametrize(("channels", "groups"), [(12, 12), (24, 12), (40, 10), (7, 7), (34, 2)])
def test_group_norm_takes_the_most_groups_that_divide(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_pixel_norm_brings_each_place_to_a_mean_square_of_1() -> None:
    x = torch.randn(2, 8, 3, 3) * 5
    assert torch.allclose(pixel_norm(x).square().mean(1), torch.ones(2, 3, 3), atol=1e-4)


def test_patches_answer_for_their_own_place_and_maps_shrink() -> None:
    net = PatchDiscriminator(4, 3, normalised=False)
    image = torch.rand(1, 3, 64, 64)
    answer, maps = net(image)
    assert answer.shape == (1, 1, 8, 8)
    assert [tuple(found.shape[1:]) for found in maps] == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 8, 8)]
    changed = image.clone()
    changed[:, :, :4, :4] = 0
    apart = (net(changed)[0] - answer).abs()
    assert apart[0, 0, 0, 0] > 0
    assert apart[0, 0, 6:, 6:].max() == 0


def test_the_second_scale_sees_half_the_picture_and_has_weights_of_its_own() -> None:
    net = MultiScaleDiscriminator(2, 4, 2, spectral=True, normalised=False)
    image = torch.rand(2, 3, 32, 32)
    answers, maps = net(image)
    assert [tuple(answer.shape[-2:]) for answer in answers] == [(8, 8), (4, 4)]
    alone, _ = net.scales[1].eval()(F.avg_pool2d(image, 2))
    torch.testing.assert_close(net.eval()(image)[0][1], alone)
    assert len(maps) == 2
    assert net.scales[0] is not net.scales[1]


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (4, 1), (4, 2)])
def test_kernels_and_padding_make_the_maps_that_they_say(kernel: Literal[3, 4], padding: Literal[1, 2]) -> None:
    net = PatchDiscriminator(4, 3, most=16, kernel=kernel, padding=padding, normalised=False)
    answer, maps = net(torch.rand(1, 3, 64, 64))
    expected = {(3, 1): [32, 16, 8, 8, 8], (4, 1): [32, 16, 8, 7, 6], (4, 2): [33, 17, 9, 10, 11]}[kernel, padding]
    assert [found.shape[-1] for found in (*maps, answer)] == expected
    assert [found.shape[1] for found in maps] == [4, 8, 16, 16]
    sizes = [weight.shape[-1] for weight in net.parameters() if weight.ndim == 4]
    assert sizes == [4, 4, 4, kernel, kernel]


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (4, 1), (4, 2)])
def test_single_places_are_refused_and_nothing_else(kernel: Literal[3, 4], padding: Literal[1, 2]) -> None:
    """Whatever the network itself makes of a picture says which configs are right."""
    refusals = 0
    for size_px, scales, halvings in itertools.product((8, 14, 32), (1, 2, 3), (1, 2, 3, 4)):
        net = MultiScaleDiscriminator(scales, 2, halvings, kernel=kernel, padding=padding)
        try:
            seen = net(torch.rand(1, 3, size_px, size_px))[1][-1][1:]
            right = min(found.shape[-1] for found in seen) > 1
        except RuntimeError:  # nothing is left for a kernel
            right = False
        if right:
            check_places(size_px, scales, halvings, kernel, padding)
        else:
            refusals += 1
            with pytest.raises(ValueError, match=f"discriminator_halvings: expected less than {halvings}"):
                check_places(size_px, scales, halvings, kernel, padding)
    assert refusals < 36
    assert bool(refusals) is (padding == 1)  # with 2 even a single pixel becomes two


def maps(seed: int = 1) -> list[torch.Tensor]:
    """Three maps of a frozen network: 16, 8 and 4 places wide."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, channels, 16 >> level, 16 >> level, generator=generator)
        for level, channels in enumerate(CHANNELS)
    ]


def projected(seed: int = 0) -> ProjectedDiscriminator:
    torch.manual_seed(seed)
    return ProjectedDiscriminator(CHANNELS, 4).eval()


def test_the_projected_ones_size_is_that_of_the_released_code() -> None:
    """10.3 M on the four stages of an EfficientNet-lite0; what is mixed has 64, 64, 128 and 256 channels."""
    with torch.device("meta"):
        net = ProjectedDiscriminator((24, 40, 112, 320), 64)
    assert [mixing.weight.shape[0] for mixing in net.across_channels] == [64, 128, 256, 512]
    assert [mixing.weight.shape[0] for mixing in net.across_scales] == [64, 64, 128, 256]
    assert count_parameters(net) == pytest.approx(10.3e6, rel=5e-3)


def test_maps_are_mixed_as_published() -> None:
    """From the coarsest up: add, enlarge, mix; each comes out twice as large as it went in."""
    net, seen = projected(), maps()
    across = [F.conv2d(each, mixing.weight) for each, mixing in zip(seen, net.across_channels, strict=True)]
    expected, risen = [], torch.zeros(1)
    for level in (2, 1, 0):
        risen = F.interpolate(across[level] + risen, scale_factor=2.0, mode="bilinear", align_corners=False)
        risen = F.conv2d(risen, net.across_scales[level].weight)
        expected.insert(0, risen)
    net.heads = torch.nn.ModuleList(torch.nn.Identity() for _ in CHANNELS)
    for found, wanted in zip(net(seen), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert [found.shape[1:] for found in expected] == [(4, 32, 32), (4, 16, 16), (8, 8, 8)]


def test_coarse_maps_reach_all_heads_and_fine_ones_only_their_own() -> None:
    net, seen = projected(), maps()
    answers = net(seen)
    assert [answer.shape for answer in answers] == [(2, 1, 1, 1)] * 3
    for level in range(3):
        changed = [each * (2 if number == level else 1) + (number == level) for number, each in enumerate(seen)]
        moved = [bool((a - b).abs().max() > 1e-4) for a, b in zip(net(changed), answers, strict=True)]
        assert moved == [number <= level for number in range(3)]


def test_mixing_keeps_the_mean_square() -> None:
    torch.manual_seed(0)
    assert RandomMixing(64, 256)(torch.randn(2, 64, 8, 8)).square().mean() == pytest.approx(1, abs=0.1)


def test_what_mixes_is_drawn_once_saved_and_no_weight(tmp_path: Path) -> None:
    net, other = projected(0), projected(1)
    mixing = {name for name in net.state_dict() if name.startswith("across_")}
    assert len(mixing) == 6
    assert not mixing & {name for name, _ in net.named_parameters()}
    assert not any(torch.equal(net.state_dict()[name], other.state_dict()[name]) for name in mixing)
    save_weights(tmp_path / "net.safetensors", net, {})
    load_weights(tmp_path / "net.safetensors", other)
    assert all(torch.equal(a, b) for a, b in zip(net(maps()), other(maps()), strict=True))


def test_the_gradient_reaches_every_map_and_every_weight() -> None:
    net, seen = projected().train(), [each.requires_grad_() for each in maps()]
    torch.stack([answer.mean() for answer in net(seen)]).sum().backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in seen)
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.parameters())


def test_heads_are_bounded_by_spectral_normalisation() -> None:
    """Whatever their length, convolutions of the heads stretch no input by more than 1."""
    net = projected().train()
    bounded = [part for part in net.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(bounded) == 4 + 3 + 2
    for part in bounded:
        with torch.no_grad():
            part.parametrizations.weight.original.mul_(10)
        for _ in range(100):  # each look brings the estimate nearer
            weight = part.weight
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
