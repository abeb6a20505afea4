"""Normalisations that keep samples apart, and patch discriminators."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from facegraft.nn.discriminators import MultiScaleDiscriminator, PatchDiscriminator  # noqa: E402
from facegraft.nn.norm import group_norm, instance_norm, pixel_norm  # noqa: E402


def test_instance_norm_is_torchs_own_and_takes_single_places() -> None:
    x = torch.randn(3, 4, 5, 6) * 3 + 2
    torch.testing.assert_close(instance_norm(x), F.instance_norm(x, eps=1e-5), atol=1e-5, rtol=1e-5)
    assert instance_norm(torch.randn(2, 4, 1, 1)).abs().max() == 0


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
