"""Attribute encoders: their maps, and what each of them can know."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.nn.attribute_encoders import ResNetAttributes, UNetAttributes, halvings  # noqa: E402
from facegraft.nn.conv import count_parameters  # noqa: E402

ENCODERS = {
    "unet": lambda: UNetAttributes(32, 4, 16),
    "linknet": lambda: UNetAttributes(32, 4, 16, join="add"),
    "resnet": lambda: ResNetAttributes(32, 4, 16),
}


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    return ENCODERS[request.param]()


def test_maps_grow_from_two_pixels_to_the_picture(encoder: torch.nn.Module) -> None:
    maps = encoder(torch.rand(3, 3, 32, 32))
    assert [tuple(each.shape[2:]) for each in maps] == [(side, side) for side in (2, 4, 8, 16, 32)]
    assert [each.shape[1] for each in maps] == list(encoder.channels)


def test_every_map_hears_of_the_picture(encoder: torch.nn.Module) -> None:
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    for each in encoder(images):
        (gradient,) = torch.autograd.grad(each.square().sum(), images, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_maps_keep_their_scale_when_weights_shrink(encoder: torch.nn.Module) -> None:
    """Else small maps would be the cheapest way to keep them alike."""
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = [each.square().mean() for each in encoder(images)]
        for weight in encoder.parameters():
            if weight.ndim > 1:
                weight.mul_(0.2)
        after = [each.square().mean() for each in encoder(images)]
    for old, new in zip(before, after, strict=True):
        assert new > 0.8 * old


def test_channels_are_those_of_the_papers() -> None:
    """The tables of FaceShifter's and GHOST's encoders at 256 px."""
    with torch.device("meta"):
        unet, linknet = UNetAttributes(256, 32, 1024), UNetAttributes(256, 32, 1024, join="add")
        resnet = ResNetAttributes(256, 64, 2048)
    assert unet.channels == [1024, 2048, 1024, 512, 256, 128, 64, 64]
    assert linknet.channels == [1024, 1024, 512, 256, 128, 64, 32, 32]
    assert resnet.channels == [1024, 2048, 1024, 512, 256, 128, 64, 64]
    assert count_parameters(unet) == pytest.approx(67.1e6, rel=0.005)
    assert count_parameters(resnet) == pytest.approx(18.8e6, rel=0.005)


def test_linknet_adds_where_the_unet_concatenates() -> None:
    """With a silent way up its maps are those of the way down."""
    encoder = UNetAttributes(16, 4, 8, join="add")
    with torch.no_grad():
        for layer in encoder.up:
            layer[1].weight.zero_()
            layer[1].bias.zero_()
        images = torch.rand(1, 3, 16, 16)
        finest, middle = encoder.down[0](images), encoder.down[1](encoder.down[0](images))
        maps = encoder(images)
    torch.testing.assert_close(maps[1], middle)
    torch.testing.assert_close(maps[2], finest)


def test_only_the_residual_network_sees_full_size() -> None:
    """A chequerboard of single pixels that averages to nothing in 2 x 2 still changes its last map."""
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    resnet = ResNetAttributes(32, 4, 16)
    with torch.no_grad():
        flat, drawn = (resnet(torch.zeros(1, 3, 32, 32) + change)[-1] for change in (0.0, board))
        assert (flat - drawn).abs().max() > 1e-3
        last, before = UNetAttributes(32, 4, 16)(torch.rand(1, 3, 32, 32))[-1:-3:-1]
    expected = torch.nn.functional.interpolate(before, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert torch.equal(last, expected)


def test_odd_sizes_are_told() -> None:
    assert halvings(256) == 7
    assert halvings(128, 8) == 4
    for size_px in (4, 96, 100):
        with pytest.raises(ValueError, match="power of two"):
            halvings(size_px)
