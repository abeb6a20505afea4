"""Features scaled and shifted where they are: each as told, the rest in place, nothing folded."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from facegraft.data.remodel import Features, draw_features, remodel  # noqa: E402
from tests.data.faces_drawn import drawn_face, mean_landmarks  # noqa: E402

SIZE = 96
LEFT_EYE, NOSE_TIP, MOUTH, CHIN = slice(36, 42), 33, slice(48, 60), 8


def went(features: Features, number: int | slice) -> Tensor:
    """How far a dot at a landmark, or at the middle of some, went: x, y in pixels."""
    points = mean_landmarks(SIZE)
    at = points[number].reshape(-1, 2).mean(0)
    places = torch.stack(torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="xy"))
    dot = torch.exp(-(places - at[:, None, None]).square().sum(0) / 8)
    moved = remodel(dot.expand(3, SIZE, SIZE), points, features).image[0]
    return (places * moved).sum((1, 2)) / moved.sum() - (places * dot).sum((1, 2)) / dot.sum()


def test_no_change_leaves_the_picture() -> None:
    image = drawn_face(SIZE)
    torch.testing.assert_close(remodel(image, mean_landmarks(SIZE), Features()).image, image, atol=1e-5, rtol=0)


def test_shifts_go_where_they_say() -> None:
    apart = float((mean_landmarks(SIZE)[42:48].mean(0) - mean_landmarks(SIZE)[LEFT_EYE].mean(0)).norm())
    left = went(Features(eyes_apart=0.09), LEFT_EYE)
    assert left[0] == pytest.approx(-0.09 * apart, rel=0.3)
    assert abs(left[1]) < 0.2
    up = went(Features(mouth_up=0.1), MOUTH)
    assert up[1] == pytest.approx(-0.1 * apart, rel=0.3)
    assert went(Features(brows_up=0.1), 19)[1] < -0.4


def test_scales_pull_away_from_the_middle() -> None:
    assert went(Features(eyes=1.25), 36)[0] < -0.3
    assert went(Features(eyes=1 / 1.25), 36)[0] > 0.3
    assert went(Features(nose_wide=1.4), 35)[0] > 0.3
    assert went(Features(nose_long=1.3), NOSE_TIP)[1] > 0.3
    assert went(Features(mouth_wide=1.3), 48)[0] < -0.5
    assert went(Features(mouth_full=1.3), 57)[1] > 0.3


def test_other_features_stay() -> None:
    assert went(Features(eyes=1.25), MOUTH).abs().max() < 0.1
    assert went(Features(mouth_up=0.1, mouth_wide=1.3), LEFT_EYE).abs().max() < 0.1
    assert went(Features(eyes=1.25, nose_wide=1.4, mouth_wide=1.3), 16).abs().max() < 0.3


def test_a_turned_face_moves_along_its_own_axes() -> None:
    points = mean_landmarks(SIZE)
    middle = torch.tensor([SIZE / 2, SIZE / 2])
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])  # clockwise in the picture: x to y, y to -x
    turned = (points - middle) @ quarter + middle
    image = drawn_face(SIZE)
    features = Features(nose_long=1.3, mouth_up=0.1, eyes_apart=0.05)
    upright = remodel(image, points, features).flow
    sideways = remodel(image.rot90(-1, (1, 2)), turned, features).flow
    expected = torch.stack([-upright[1], upright[0]]).rot90(-1, (1, 2))
    torch.testing.assert_close(sideways, expected, atol=1e-2, rtol=0)


def test_drawn_features_never_fold_the_picture() -> None:
    draws = torch.Generator().manual_seed(0)
    for _ in range(40):
        flow = remodel(drawn_face(SIZE), mean_landmarks(SIZE), draw_features(draws)).flow
        dx, dy = flow[:, :-1, 1:] - flow[:, :-1, :-1], flow[:, 1:, :-1] - flow[:, :-1, :-1]
        area = (1 + dx[0]) * (1 + dy[1]) - dx[1] * dy[0]
        assert area.min() > 0.1


def test_strength_says_how_much() -> None:
    drawn = [draw_features(torch.Generator().manual_seed(3), strength) for strength in (0.0, 0.5, 1.0)]
    assert drawn[0] == Features()
    assert abs(drawn[2].mouth_up) == pytest.approx(2 * abs(drawn[1].mouth_up))
    assert 0.05 <= abs(drawn[2].mouth_up) <= 0.1
