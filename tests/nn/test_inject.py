"""AAD: its equations written out, what the mask chooses, and a generator that sees an identity and attributes only."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
F = pytest.importorskip("torch.nn.functional")

from facegraft.nn.inject import AAD, AADBlock, AADGenerator, AdaIN, heard  # noqa: E402


def test_aad_is_the_papers_equations() -> None:
    torch.manual_seed(0)
    layer = AAD(6, 5, 4).double()
    x, code, attribute = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 6, 8, 8), (2, 5), (2, 4, 8, 8)))
    held = F.instance_norm(x, eps=1e-5)
    gain, shift = layer.of_identity(code)[:, :6], layer.of_identity(code)[:, 6:]
    identity = (1 + gain[..., None, None]) * held + shift[..., None, None]
    gain, shift = layer.of_attribute(attribute)[:, :6], layer.of_attribute(attribute)[:, 6:]
    kept = (1 + gain) * held + shift
    mask = torch.sigmoid(F.conv2d(held, layer.choose.weight, layer.choose.bias))
    assert mask.shape[1] == 1
    torch.testing.assert_close(layer(x, code, attribute), (1 - mask) * kept + mask * identity, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chosen", [-30.0, 30.0])
def test_the_mask_chooses_between_attributes_and_identity(chosen: float) -> None:
    layer = AAD(4, 5, 3)
    with torch.no_grad():
        layer.choose.weight.zero_()
        layer.choose.bias.fill_(chosen)
    x, codes, maps = torch.randn(1, 4, 4, 4), torch.randn(2, 1, 5), torch.randn(2, 1, 3, 4, 4)
    of_codes = (layer(x, codes[0], maps[0]) - layer(x, codes[1], maps[0])).abs().max()
    of_maps = (layer(x, codes[0], maps[0]) - layer(x, codes[0], maps[1])).abs().max()
    assert (of_codes > 1e-2) == (chosen > 0)
    assert (of_maps > 1e-2) == (chosen < 0)


def test_a_mask_is_not_the_same_everywhere() -> None:
    torch.manual_seed(0)
    layer, seen = AAD(8, 5, 3), []
    layer.choose.register_forward_hook(lambda _layer, _given, logits: seen.append(logits.sigmoid()))
    layer(torch.randn(2, 8, 8, 8), torch.randn(2, 5), torch.randn(2, 3, 8, 8))
    assert seen[0].std() > 0.05


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_block_is_as_deep_as_it_is_told(depth: int) -> None:
    same, other = AADBlock(6, 6, 5, 3, depth), AADBlock(6, 4, 5, 3, depth)
    aads = [sum(isinstance(module, AAD) for module in block.modules()) for block in (same, other)]
    assert aads == [depth, depth + 1]
    assert [convolution.out_channels for convolution in other.convolutions] == [6] * (depth - 1) + [4]


def test_a_block_adds_its_input() -> None:
    block = AADBlock(6, 6, 5, 3)
    with torch.no_grad():
        block.convolutions[-1].weight.zero_()
    x = torch.randn(2, 6, 4, 4)
    assert torch.equal(block(x, torch.randn(2, 5), torch.randn(2, 3, 4, 4)), x)


def test_a_generator_needs_code_and_every_map() -> None:
    torch.manual_seed(0)
    generator = AADGenerator(4, 16, 5, [6, 5, 4, 3])
    code = F.normalize(torch.randn(1, 5))
    maps = [torch.randn(1, channels, 2 * 2**level, 2 * 2**level) for level, channels in enumerate((6, 5, 4, 3))]
    first = generator(code, maps)
    assert first.shape == (1, 3, 16, 16)
    assert first.abs().max() <= 1
    assert (first - generator(-code, maps)).abs().max() > 1e-2
    without_start = AADGenerator(4, 16, 5, [6, 5, 4, 3])
    with torch.no_grad():
        without_start.start.weight.zero_()
    assert (without_start(code, maps) - without_start(-code, maps)).abs().max() > 1e-2, "the blocks hear the code too"
    for level in range(4):
        others = [each if number != level else -each for number, each in enumerate(maps)]
        assert (first - generator(code, others)).abs().max() > 1e-2, level


def test_widths_double_towards_the_code() -> None:
    with torch.device("meta"):
        generator = AADGenerator(64, 1024, 512, [1024, 2048, 1024, 512, 256, 128, 64, 64])
    entering = [block.layers[0].choose.in_channels for block in generator.blocks]
    assert entering == [1024, 1024, 1024, 1024, 512, 256, 128, 64]
    assert sum(weight.numel() for weight in generator.parameters()) == pytest.approx(117.3e6, rel=0.001)


def people(count: int, size: int = 512) -> torch.Tensor:
    return F.normalize(torch.randn(count, size, generator=torch.Generator().manual_seed(4)))


def test_a_unit_vector_is_heard() -> None:
    codes = people(8)
    assert torch.allclose(heard(codes).square().mean(1), torch.ones(8), atol=1e-5)
    assert torch.allclose(F.normalize(heard(codes)), codes, atol=1e-6)


def test_adain_is_the_papers_equation() -> None:
    torch.manual_seed(0)
    layer, x, codes = AdaIN(6, 5), torch.randn(2, 6, 8, 8), people(2, 5)
    style = F.linear(codes * 5**0.5, layer.style.weight, layer.style.bias)
    gain, shift = (1 + style[:, :6])[..., None, None], style[:, 6:][..., None, None]
    torch.testing.assert_close(layer(x, codes), gain * F.instance_norm(x, eps=1e-5) + shift, atol=1e-5, rtol=1e-5)


def test_two_people_differ_from_the_first_step_on() -> None:
    """As they come, a unit vector's numbers would move what AdaIN makes by .03 deviations: too little to learn by."""
    torch.manual_seed(0)
    layer, codes = AdaIN(64, 512), people(16)
    made = layer(torch.randn(1, 64, 8, 8).expand(16, -1, -1, -1), codes)
    between = made.detach().std(dim=0).mean()
    assert 0.3 < float(between) < 1.5
