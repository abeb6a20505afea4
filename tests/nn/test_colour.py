"""Distortions of colour: strong, alike at all places, each picture its own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.nn.colour import _matrices, _saturated, _turned, calmed, distort  # noqa: E402


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


def luma(images: torch.Tensor) -> torch.Tensor:
    return (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)


def test_calmed_pictures_are_as_bright_and_flat_colours_stay() -> None:
    grey = torch.rand(2, 1, 24, 20, generator=torch.Generator().manual_seed(0)) * 0.8 - 0.4
    tinted = grey + 0.1 * torch.randn(2, 3, 24, 20, generator=torch.Generator().manual_seed(1))
    found = calmed(tinted, 2.0)
    torch.testing.assert_close(luma(found), luma(tinted), atol=0.02, rtol=0)
    flat = torch.tensor([0.5, -0.2, -0.6])[:, None, None].expand(1, 3, 24, 20)
    torch.testing.assert_close(calmed(flat, 2.0), flat, atol=1e-4, rtol=0)
    black, white = (torch.full((1, 3, 8, 8), level) for level in (-1.0, 1.0))
    torch.testing.assert_close(calmed(black, 2.0), black, atol=1e-4, rtol=0)
    torch.testing.assert_close(calmed(white, 2.0), white, atol=1e-4, rtol=0)


def test_fringes_go_and_large_patches_keep_their_colour() -> None:
    """An edge whose red is drawn two pixels beside its blue; and lips, twelve pixels high."""
    x = torch.arange(48.0)
    red, blue = (torch.sigmoid(2 * (x - 24 - shift)) * 0.8 - 0.4 for shift in (-1, 1))
    edge = torch.stack([red, (red + blue) / 2, blue])[None, :, None].expand(1, 3, 16, 48)
    fringe = (edge[:, 0] - edge[:, 2]).abs().max()
    found = calmed(edge, 4.0)
    assert (found[:, 0] - found[:, 2]).abs().max() < fringe / 3
    skin, lip = torch.tensor([0.5, 0.1, -0.1]), torch.tensor([0.4, -0.5, -0.5])
    face = skin[:, None, None].repeat(1, 1, 1).expand(3, 48, 48).clone()
    face[:, 18:30] = lip[:, None, None]
    middle = calmed(face[None], 4.0)[0, :, 24, 24]
    kept = (middle[0] - middle[1]) / (lip[0] - lip[1])
    assert 0.8 < float(kept) < 1.05


def test_calming_lets_gradients_through() -> None:
    images = (torch.rand(1, 3, 12, 12) - 0.5).requires_grad_()
    calmed(images, 1.5).square().sum().backward()
    assert images.grad is not None
    assert bool((images.grad.abs().sum((0, 2, 3)) > 0).all())


def test_calming_keeps_its_digits_where_the_rest_is_halved() -> None:
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(4)).mul(2).sub(1)
    with torch.autocast("cpu", torch.bfloat16):
        found = calmed(images, 1.5)
    torch.testing.assert_close(found, calmed(images, 1.5), atol=0, rtol=0)
    assert calmed(images.to("meta"), 1.5).shape == images.shape  # as costs are counted
