"""Batches that come again: a choice of the generator's, each the same whenever and however often it is drawn."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.train.eyes.again import Repeated  # noqa: E402


def numbers(generator: torch.Generator) -> list[float]:
    drawn: list[float] = torch.rand(3, generator=generator).tolist()
    return drawn


def test_what_comes_depends_on_the_generator_alone() -> None:
    one, other = Repeated(5, numbers), Repeated(5, numbers)
    drawn = [one.draw(torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert [other.draw(torch.Generator().manual_seed(seed)) for seed in reversed(range(40))] == drawn[::-1]
    assert len({tuple(batch) for batch in drawn}) == 5


def test_a_batch_is_made_once() -> None:
    repeated = Repeated(3, numbers)
    drawn = [repeated.draw(torch.Generator().manual_seed(seed)) for seed in range(30)]
    assert len({id(batch) for batch in drawn}) == 3
