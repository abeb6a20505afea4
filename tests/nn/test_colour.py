"""Distortions of colour: strong, alike at all places, each picture its own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.nn.colour import _matrices, _saturated, _turned, distort  # noqa: E402


def flat(count: int) -> torch.Tensor:
    """One skin colour at all places."""
    return torch.tensor([0.5, 0.1, -0.1])[:, None, None].expand(count, 3, 4, 4).contiguous()


def test_a_places_colour_is_all_that_counts() -> None:
    torch.manual_seed(0)
    made = distort(flat(32), 1.0)
    assert (made.amax((2, 3)) - made.amin((2, 3))).max() < 1e-6
    assert made.min() >= -1
    assert made.max() <= 1
    assert made[:, :, 0, 0].std(0).min() > 0.2


def test_chance_says_how_many() -> None:
    torch.manual_seed(0)
    images = flat(200)
    assert torch.equal(distort(images, 0.0), images)
    share = (distort(images, 0.5) != images).flatten(1).any(1).float().mean()
    assert 0.4 < share < 0.6


def test_draws_come_from_torch() -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(distort(flat(2), 1.0))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_hues_turn_and_brightness_stays() -> None:
    colour = torch.tensor([0.8, 0.4, 0.3])
    luma = torch.tensor([0.299, 0.587, 0.114])
    turned = _turned(torch.tensor([0.0, 0.25, 1.0])) @ colour
    torch.testing.assert_close(turned[0], colour, atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[2], colour, atol=1e-4, rtol=0)
    assert (turned[1] - colour).abs().max() > 0.1
    torch.testing.assert_close(turned @ luma, (colour @ luma).expand(3), atol=1e-4, rtol=0)


def test_no_saturation_is_grey() -> None:
    grey = _saturated(torch.tensor([0.0, 1.0])) @ torch.tensor([0.8, 0.4, 0.3])
    torch.testing.assert_close(grey[0], torch.full((3,), 0.8 * 0.299 + 0.4 * 0.587 + 0.3 * 0.114))
    torch.testing.assert_close(grey[1], torch.tensor([0.8, 0.4, 0.3]))


def test_steps_stand_on_their_side_of_the_exponent() -> None:
    """With the exponent last everything is done before it, with it first everything after; in the order drawn."""
    u = torch.rand(1, 13)
    u[:, 0] = 0.9
    early = _matrices(u, torch.tensor([[0, 1, 2, 3, 4, 5]]))
    late = _matrices(u, torch.tensor([[5, 0, 1, 2, 3, 4]]))
    same = torch.eye(3)[None]
    assert torch.equal(early[1], same)
    assert torch.equal(late[0], same)
    torch.testing.assert_close(early[0], late[1])
    gains = torch.diag(0.4 + 1.2 * u[0, 1:4])
    expected = _saturated(2 * u[:, 5])[0] @ _turned(u[:, 4] - 0.5)[0] @ gains * (0.5 + 0.8 * u[0, 10])
    torch.testing.assert_close(early[0][0], expected)
