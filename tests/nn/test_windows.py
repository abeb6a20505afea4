"""Windows on crops: where they stand, what they show, and how points go in and out, against closed forms."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.nn.windows import WindowConfig, WindowNet, Windows  # noqa: E402

TINY = WindowConfig(side_px=8, stem=4, widths=(4, 6), depths=(1, 1), expansion=2, looks=2, pooled=6, code=5)


def ramps(size_px: int) -> torch.Tensor:
    """Two channels that say where a pixel's centre lies, x and y in crop sides; a third that is 0."""
    at = (torch.arange(size_px) + 0.5) / size_px
    flat = at.expand(size_px, size_px)
    return torch.stack([flat, flat.T, torch.zeros(size_px, size_px)])[None]


def three_windows(angle: float) -> Windows:
    angles = torch.tensor([angle])
    axis = 3 * torch.stack([angles.cos(), angles.sin()], 1)
    middles = torch.tensor([[[0.4, 0.5], [0.6, 0.5], [0.5, 0.6]]])
    return Windows.level_with(axis, middles, torch.tensor([[0.1, 0.1, 0.2]]), (False, True, False))


def test_upright_windows_show_their_squares_and_a_mirrored_one_the_other_way_round() -> None:
    left, right, mouth = three_windows(0.0).look(ramps(64), 16)[:, 0]
    steps = (torch.arange(16) + 0.5) / 8 - 1
    assert torch.allclose(left[0, 0], 0.4 + 0.1 * steps, atol=1e-6)
    assert torch.allclose(left[1, :, 0], 0.5 + 0.1 * steps, atol=1e-6)
    assert torch.allclose(right[0, 0], 0.6 - 0.1 * steps, atol=1e-6)
    assert torch.allclose(right[1, :, 0], 0.5 + 0.1 * steps, atol=1e-6)
    assert torch.allclose(mouth[1, :, 5], 0.6 + 0.2 * steps, atol=1e-6)


def test_a_turned_window_looks_along_its_axis() -> None:
    """A head turned clockwise by 90 degrees: right on the face is down in the picture, down is left."""
    seen = three_windows(torch.pi / 2).look(ramps(64), 16)[0, 0]
    steps = (torch.arange(16) + 0.5) / 8 - 1
    assert torch.allclose(seen[1, 0], 0.5 + 0.1 * steps, atol=1e-5)
    assert torch.allclose(seen[0, :, 0], 0.4 - 0.1 * steps, atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.0])
def test_points_go_in_to_where_they_are_shown_and_moves_come_out_again(angle: float) -> None:
    windows, which = three_windows(angle), torch.tensor([0, 1, 2, 2])
    shown = windows.look(ramps(64), 16)[:, 0, :2]
    places = torch.stack([shown[0, :, 3, 12], shown[1, :, 3, 12], shown[2, :, 0, 0], shown[2, :, 15, 7]])[None]
    inside = windows.inside(places, which)[0]
    pixels = (inside + 1) * 8 - 0.5  # column, row
    assert torch.allclose(pixels, torch.tensor([[12.0, 3.0], [12.0, 3.0], [0.0, 0.0], [7.0, 15.0]]), atol=1e-3)
    out = windows.middles[:, which] + windows.moves(inside[None], which)
    assert torch.allclose(out, places, atol=1e-5)


def test_jitter_moves_a_little_and_keeps_windows_square_and_mirrored() -> None:
    windows = three_windows(0.3)
    torch.manual_seed(0)
    other = windows.jittered()
    across, down = other.edges.unbind(2)
    assert torch.allclose((across * down).sum(-1), torch.zeros(1, 3), atol=1e-6)
    assert torch.allclose(across.norm(dim=-1), down.norm(dim=-1), atol=1e-6)
    assert torch.equal(other.edges.det().sign(), windows.edges.det().sign())
    assert not torch.allclose(other.middles, windows.middles)
    assert ((other.middles - windows.middles).norm(dim=-1) < 0.12 * down.norm(dim=-1)).all()


def test_points_that_fall_together_give_no_numbers_that_are_none() -> None:
    windows = Windows.level_with(torch.zeros(1, 2), torch.full((1, 1, 2), 0.5), torch.ones(1, 1) * 0.1, (False,))
    assert windows.look(ramps(16), 8).isfinite().all()


def test_a_window_becomes_a_code_and_its_side_is_checked() -> None:
    code = WindowNet(TINY).eval()(torch.rand(3, 3, 8, 8))
    assert code.shape == (3, 5)
    assert code.min() >= 0
    with pytest.raises(ValueError, match="multiple of 8"):
        WindowConfig(side_px=20)
    with pytest.raises(ValueError, match="depths"):
        WindowConfig(depths=(0, 1))
