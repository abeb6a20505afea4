"""What methods cost, against the figures that their sheets state."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("pydantic")

from facegraft.methods._cost import cost_of


@pytest.mark.parametrize(
    ("name", "model", "millions", "giga_macs"),
    [
        ("simswap", {}, 16.2, 4.80),
        ("simswap", {"size_px": 256, "width": 64, "identity_blocks": 9}, 55.05, 62.9),
        ("faceshifter", {}, 43.9, 2.58),
        ("ghost", {}, 30.0, 2.35),
        ("mobilefsgan", {"widest": 0}, 0.496, 1.155),
    ],
)
def test_costs_are_those_of_the_sheets(name: str, model: dict[str, object], millions: float, giga_macs: float) -> None:
    cost = cost_of(name, model)
    assert cost.parameters / 1e6 == pytest.approx(millions, rel=0.01)
    assert cost.swap_macs / 1e9 == pytest.approx(giga_macs, rel=0.01)
    assert cost.trained > cost.parameters  # discriminators


def test_what_runs_once_per_person_is_counted_apart() -> None:
    cost = cost_of("mobilefaceswap", {})
    assert cost.identity_macs == pytest.approx(62.5e6, rel=0.01)
    assert cost.swap_macs < cost.identity_macs
