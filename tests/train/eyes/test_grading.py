"""Developing pictures of one moment alike."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.train.eyes.grading import LUMA, Grading, _developed, develop  # noqa: E402

NOTHING = Grading(share=1.0, contrast=0.0, saturation=0.0, split=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(count: int = 6) -> torch.Tensor:
    """Grey from black to white, left to right."""
    return torch.linspace(0.02, 0.98, 32).expand(count, 3, 4, 32)


def with_only(**amounts: float) -> Grading:
    return Grading(**({"share": 1.0, "contrast": 0.0, "saturation": 0.0, "split": 0.0} | amounts))


def test_pictures_of_one_moment_change_alike_and_rows_differ() -> None:
    image = torch.rand(6, 3, 4, 4, generator=generator(1))
    one, other = develop([image, image], Grading(share=1.0), generator())
    assert torch.equal(one, other)
    same = image[:1].expand(6, -1, -1, -1)
    (developed,) = develop([same], Grading(share=1.0), generator())
    assert all(not torch.equal(developed[0], row) for row in developed[1:])
    assert torch.equal(developed, develop([same], Grading(share=1.0), generator())[0])


def test_what_is_not_chosen_or_not_asked_for_stays() -> None:
    image = torch.rand(64, 3, 4, 4, generator=generator(1)) * 0.9 + 0.05
    torch.testing.assert_close(develop([image], NOTHING, generator())[0], image)
    (developed,) = develop([image], Grading(share=0.5), generator())
    kept = sum(torch.equal(row, before) for row, before in zip(developed, image, strict=True))
    assert 16 < kept < 48


def test_contrast_darkens_shadows_lifts_highlights_and_colours_nothing() -> None:
    (developed,) = develop([ramp()], with_only(contrast=1.0), generator())
    change = developed - ramp()
    assert change[..., 4].max() < 0
    assert change[..., 27].min() > 0
    torch.testing.assert_close(developed[:, 0], developed[:, 2])
    assert (developed[..., 1:] > developed[..., :-1]).all()  # what was darker stays darker


def test_saturation_keeps_grey_and_brightness() -> None:
    torch.testing.assert_close(develop([ramp()], with_only(saturation=0.5), generator())[0], ramp())
    image = torch.tensor([0.5, 0.45, 0.4])[:, None, None].expand(16, 3, 2, 2)
    (developed,) = develop([image], with_only(saturation=0.5), generator())
    weights = torch.tensor(LUMA)[:, None, None]
    torch.testing.assert_close((developed * weights).sum(1), (image * weights).sum(1))
    apart = (developed[:, 0] - developed[:, 2])[:, 0, 0]
    assert apart.min() < 0.09
    assert apart.max() > 0.11


def test_shadows_and_highlights_get_colours_of_their_own() -> None:
    (developed,) = develop([ramp(64)], with_only(split=0.1), generator())
    shadow, highlight = ((developed[:, 0] / developed[:, 2]).log()[:, 0, place] for place in (1, 26))
    assert shadow.std() > 0.08
    assert highlight.std() > 0.08
    assert torch.corrcoef(torch.stack([shadow, highlight]))[0, 1].abs() < 0.4
    torch.testing.assert_close(
        (developed[..., 1] / ramp(64)[..., 1]).log().mean(1), torch.zeros(64, 4), atol=1e-5, rtol=0
    )


def test_the_first_colour_is_that_of_shadows() -> None:
    tints = torch.zeros(2, 1, 3, 1, 1)
    tints[0, 0, 2], tints[1, 0, 0] = 0.2, 0.1
    change = (_developed(ramp(1), torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), tints) / ramp(1)).log()[0, :, 0]
    torch.testing.assert_close(change[:, 1], torch.tensor([0.0, 0.0, 0.2]), atol=1e-5, rtol=0)
    torch.testing.assert_close(change[:, 26], torch.tensor([0.1, 0.0, 0.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [{"share": 1.2}, {"contrast": -0.1}, {"saturation": -1.0}, {"split": -1.0}])
def test_impossible_amounts_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0"):
        Grading(**wrong)
