"""The detector's places lie where they should, and its graph decodes what was encoded by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.frozen.detector import Detector, DetectorConfig, load  # noqa: E402
from facegraft.nn.weights import save_weights  # noqa: E402

TINY = DetectorConfig(widths=(4, 4, 8, 8, 8, 8), depths=(1, 1, 1, 1, 1), neck=8, head_depth=1)


def detector(config: DetectorConfig = TINY) -> Detector:
    torch.manual_seed(0)
    return Detector(config).eval()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (32, 32)])
def test_one_place_per_step_of_every_map(height: int, width: int) -> None:
    places = detector().places(torch.rand(2, 3, height, width))
    expected = [(-(-height // step), -(-width // step), step) for step in (8, 16, 32, 64)]
    assert places.logits.shape == (2, sum(rows * columns for rows, columns, _ in expected))
    at = 0
    for rows, columns, step in expected:
        part = places.centres[at : at + rows * columns].reshape(rows, columns, 2)
        assert part[0, 0].tolist() == [step / 2, step / 2]
        assert part[-1, -1].tolist() == [(columns - 0.5) * step, (rows - 0.5) * step]
        at += rows * columns


def test_what_is_encoded_is_decoded() -> None:
    """The head is made to say the same everywhere: the sides and points that a face around each place has."""
    net = detector()
    step_units = torch.tensor([1.0, 2.0, 0.5, 4.0])
    points = torch.tensor([[-0.5, -1.0], [0.5, -1.0], [0.0, 0.0], [-0.4, 1.0], [0.4, 1.0]])
    with torch.no_grad():
        net.out.weight.zero_()
        net.out.bias.copy_(torch.cat([torch.tensor([0.0]), step_units.log(), points.flatten()]))  # type: ignore[union-attr]  # it has one
        boxes, scores, five = net(torch.rand(1, 3, 64, 96))
        centres = net.places(torch.rand(1, 3, 64, 96)).centres
    steps = torch.cat([torch.full((n,), float(s)) for n, s in ((96, 8), (24, 16), (6, 32), (2, 64))])[:, None]
    sides = steps * step_units * torch.tensor([-1.0, -1, 1, 1])
    assert torch.allclose(boxes[0], torch.cat([centres, centres], 1) + sides, atol=1e-3)
    assert torch.allclose(five[0], centres[:, None] + points * steps[:, None], atol=1e-3)
    assert torch.allclose(scores, torch.full_like(scores, 0.5))


def test_a_picture_is_answered_alone_as_in_a_batch() -> None:
    net, images = detector(), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        whole, alone = net(images), net(images[1:2])
    for one, other in zip(whole, alone, strict=True):
        assert torch.allclose(one[1:2], other, atol=1e-4)


def test_padding_at_the_right_and_below_moves_nothing() -> None:
    net, image = detector(), torch.rand(1, 3, 64, 64)
    small, large = net.places(image), net.places(torch.nn.functional.pad(image, (0, 64, 0, 64)))
    assert torch.allclose(small.centres[:8], large.centres[:8])
    assert torch.allclose(small.centres[8:16], large.centres[16:24])  # rows are twice as long


def test_the_network_as_configured_is_within_its_budget() -> None:
    net = Detector(DetectorConfig()).eval()
    assert 100_000 < sum(weight.numel() for weight in net.parameters()) < 400_000
    assert net.places(torch.rand(1, 3, 32, 32)).logits.sigmoid().mean() < 0.05  # faces are rare


def test_weights_come_back_and_those_of_another_size_do_not(tmp_path: Path) -> None:
    net = detector()
    save_weights(tmp_path / "w.safetensors", net, {})
    again, image = load(tmp_path / "w.safetensors", TINY), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(image)[0], net(image)[0])
    with pytest.raises(BadInputError, match="check"):
        load(tmp_path / "w.safetensors")


def test_a_config_that_fits_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="widths"):
        DetectorConfig(widths=(8, 8, 8))
