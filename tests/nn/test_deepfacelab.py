"""DeepFaceLab's blocks: sizes as published, and what each letter does."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from facegraft.nn.conv import count_parameters
from facegraft.nn.deepfacelab import (
    CodeDiscriminator,
    Corners,
    Decoder,
    Double,
    Encoder,
    Inter,
    NetworkConfig,
    PatchUNet,
    ResidualPair,
    drawn_in,
    glorot,
    seen_px,
    strides_for,
)

PUBLISHED = NetworkConfig(encoder=64, bottleneck=256, decoder=64, mask=22)
TINY = NetworkConfig(encoder=2, bottleneck=4, decoder=2, mask=2)


def letters(config: NetworkConfig, names: str) -> NetworkConfig:
    return dataclasses.replace(config, pixel_norm="u" in names, half_size="d" in names, deeper="t" in names)


@pytest.mark.parametrize(
    ("kind", "names", "size_px", "parts", "in_all", "gmacs"),
    [
        ("df", "", 128, (4.3, 15.0, 19.1), 57.5, 27.7),
        ("df", "ud", 128, (4.3, 11.8, 19.2), 54.5, 7.6),
        ("liae", "", 128, (4.3, 26.25, 38.2), 95.0, 33.1),
        ("liae", "ud", 128, (4.3, 19.9, 38.2), 82.4, 9.0),
        ("liae", "udt", 128, (15.7, 4.2, 53.5), 77.5, 9.0),
        ("liae", "udt", 256, (15.7, 16.8, 53.5), 102.8, 36.1),
    ],
)
def test_sizes_are_those_of_the_toolkit(
    kind: str, names: str, size_px: int, parts: tuple[float, ...], in_all: float, gmacs: float
) -> None:
    """Millions of weights of encoder, an inter and a decoder, and multiply-adds, counted from the released code."""
    config = letters(PUBLISHED, names)
    channels = config.bottleneck * (1 if kind == "df" else 2)
    with torch.device("meta"):
        encoder = Encoder(config)
        inter = Inter(config, size_px, channels)
        decoder = Decoder(config, channels * (1 if kind == "df" else 2))
        with FlopCounterMode(display=False) as counter:
            code = inter(encoder(torch.zeros(1, 3, size_px, size_px)))
            image, mask = decoder(code if kind == "df" else torch.cat([code, code], 1))
    assert code.shape[-1] == config.code_side(size_px)
    assert image.shape == (1, 3, size_px, size_px)
    assert mask.shape == (1, 1, size_px, size_px)
    found = [count_parameters(part) / 1e6 for part in (encoder, inter, decoder)]
    assert found == pytest.approx(parts, abs=0.051)
    whole = found[0] + found[1] * (1 if kind == "df" else 2) + found[2] * (2 if kind == "df" else 1)
    assert whole == pytest.approx(in_all, abs=0.051)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=0.06)


@pytest.mark.parametrize("names", ["", "u", "d", "t", "ud", "dt", "udt"])
def test_all_letters_fit_together(names: str) -> None:
    config = letters(TINY, names)
    config.check_size(config.multiple)
    code = Inter(config, 64, 4)(Encoder(config)(torch.rand(2, 3, 64, 64)))
    assert code.shape == (2, 4, *[config.code_side(64)] * 2)
    image, mask = Decoder(config, 4)(code)
    assert image.shape == (2, 3, 64, 64)
    assert mask.shape == (2, 1, 64, 64)
    for drawn in (image, mask):
        assert 0 <= drawn.min() < drawn.max() <= 1
    with pytest.raises(ValueError, match="multiple of"):
        config.check_size(config.multiple + 8)


def test_the_encoder_halves_pictures_in_0_to_1() -> None:
    torch.manual_seed(0)
    encoder, images = Encoder(letters(TINY, "")), torch.rand(2, 3, 32, 32) * 2 - 1
    held = (images + 1) / 2
    with torch.no_grad():
        for layer in encoder.layers:
            held = F.leaky_relu(F.conv2d(held, layer[0].weight, layer[0].bias, stride=2, padding=2), 0.1)
        torch.testing.assert_close(encoder(images), held.flatten(1))


def test_u_makes_all_codes_equally_strong() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, 32, 32)
    plain, normal = Encoder(letters(TINY, "")), Encoder(letters(TINY, "u"))
    normal.load_state_dict(plain.state_dict())
    with torch.no_grad():
        flat, even = plain(images), normal(images)
    # Whatever their strength was; 1e-6 is added to it, as in the released code.
    torch.testing.assert_close(even, flat / (flat.square().mean(1, keepdim=True) + 1e-6).sqrt())
    assert even.square().mean(1).tolist() == pytest.approx([1, 1], abs=0.01)


def test_the_bottleneck_is_linear() -> None:
    """Nothing bends between its matrices, and the map behind them has no more freedom than the squeezed numbers."""
    torch.manual_seed(0)
    inter = Inter(letters(TINY, "t"), 64, 3)
    first, second, zero = torch.randn(1, 64), torch.randn(1, 64), torch.zeros(1, 64)
    with torch.no_grad():
        torch.testing.assert_close(inter(first + second) + inter(zero), inter(first) + inter(second))
        codes = inter(torch.randn(40, 64)).flatten(1)
    assert torch.linalg.matrix_rank(codes - codes.mean(0), atol=1e-4) == TINY.bottleneck


def test_double_lays_channels_out_as_pixels() -> None:
    double = Double(1, 1)
    with torch.no_grad():
        double.convolution.weight.zero_()
        double.convolution.bias.copy_(torch.tensor([1.0, 2.0, 3.0, -4.0]))
        laid = double(torch.zeros(1, 1, 1, 1))[0, 0]
    torch.testing.assert_close(laid, torch.tensor([[1.0, 2.0], [3.0, -0.4]]))


def test_each_corner_has_a_convolution_of_its_own() -> None:
    corners = Corners(2)
    for number, convolution in enumerate(corners.convolutions):
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.constant_(convolution.bias, float(number))
    with torch.no_grad():
        laid = corners(torch.zeros(1, 2, 3, 3))
    assert laid.shape == (1, 3, 6, 6)
    assert torch.equal(laid[0, :, :2, :2], torch.tensor([[0.0, 1.0], [2.0, 3.0]]).expand(3, 2, 2))
    assert [convolution.kernel_size for convolution in corners.convolutions] == [(1, 1), (3, 3), (3, 3), (3, 3)]


def test_residual_pair_adds_its_input() -> None:
    pair = ResidualPair(2)
    torch.nn.init.zeros_(pair.second.weight)
    torch.nn.init.zeros_(pair.second.bias)
    x = torch.tensor([2.0, -1.0])[None, :, None, None].expand(1, 2, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(pair(x), torch.where(x > 0, x, 0.2 * x))


@pytest.mark.parametrize(
    ("patch_px", "size_px", "strides", "seen"), [(16, 128, (2, 2, 2), 15), (32, 256, (2, 2, 2, 2), 31)]
)
def test_patch_discriminator_has_the_published_layers(
    patch_px: int, size_px: int, strides: tuple[int, ...], seen: int
) -> None:
    assert strides_for(patch_px, size_px) == strides
    assert seen_px(strides) == seen


def test_a_middle_place_sees_what_it_should() -> None:
    """Counted by gradients, not by the formula."""
    torch.manual_seed(0)
    net, images = PatchUNet(64, 16, 4), torch.rand(1, 3, 64, 64, requires_grad=True)
    net.apply(glorot)
    patches, pixels = net(images)
    assert patches.shape == (1, 1, 8, 8)
    assert pixels.shape == (1, 1, 64, 64)
    patches[0, 0, 4, 4].backward()
    assert images.grad is not None
    touched = images.grad.abs().sum((0, 1)) > 0
    assert touched.any(0).sum() == touched.any(1).sum() == seen_px(strides_for(16, 64)) == 15


def test_what_came_down_lies_beside_what_comes_up() -> None:
    """The published order of layers, written out for two halvings."""
    torch.manual_seed(0)
    net, pictures = PatchUNet(16, 7, 2), torch.rand(2, 3, 16, 16)

    def leaking(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    with torch.no_grad():
        patches, pixels = net(pictures)
        full = leaking(net.stem(pictures))
        half = leaking(net.down[0](full))
        quarter = leaking(net.down[1](half))
        torch.testing.assert_close(patches, net.patches(quarter))
        up = torch.cat([leaking(net.up[0](leaking(net.middle(quarter)))), half], 1)
        up = torch.cat([leaking(net.up[1](up)), full], 1)
        torch.testing.assert_close(pixels, net.pixels(up))


def test_strides_divide_the_picture() -> None:
    strides = strides_for(48, 96)
    assert 96 % 2 ** strides.count(2) == 0
    assert PatchUNet(96, 48, 2)(torch.rand(1, 3, 96, 96))[1].shape[-1] == 96


def test_code_discriminator_has_a_layer_more_for_each_8_places() -> None:
    assert len(CodeDiscriminator(4, 4, 8).layers) == 3
    net = CodeDiscriminator(4, 8, 8)
    assert [layer.kernel_size[0] for layer in net.layers[::2]] == [4, 3, 1]
    assert [layer.out_channels for layer in net.layers[::2]] == [8, 16, 1]
    assert [layer.negative_slope for layer in net.layers[1::2]] == [0.1, 0.1]
    assert net(torch.rand(2, 4, 8, 8)).shape == (2, 1, 2, 2)


def test_first_weights_keep_the_signal_alive() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(16, 32, 3)
    glorot(layer)
    bound = (6 / ((16 + 32) * 9)) ** 0.5
    assert 0.98 * bound < layer.weight.abs().max() <= bound
    assert layer.bias is not None
    assert layer.bias.abs().max() == 0


def test_odd_widths_are_told() -> None:
    with pytest.raises(ValueError, match="bottleneck"):
        NetworkConfig(bottleneck=0)


def test_a_mask_is_drawn_in_from_its_own_border_but_not_from_the_pictures() -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 10:, 10:30] = 1
    least = drawn_in(mask, 0.1)
    assert least[0, 0, :15, 20].count_nonzero() == 2  # softly: four pixels further in, and one of each side
    torch.testing.assert_close(least[0, 0, 13:16, 20], torch.tensor([1 / 3, 2 / 3, 1.0]))
    assert least[0, 0, -1, 20] == 1
    assert least[0, 0, 30].sum() == mask[0, 0, 30].sum() - 8
    assert drawn_in(mask, 0.01) is mask
