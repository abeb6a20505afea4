"""The figures of a recogniser over pairs, against counting."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.train.eyes.verification import best_threshold, tar_at_far, verify, wilson


def drawn(count: int, gap: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = np.arange(count) % 2 == 0
    return rng.normal(0, 1, count) + gap * same, same


def test_the_threshold_is_as_good_as_any_tried_one_by_one() -> None:
    scores, same = drawn(60, 1.5)
    found = ((scores > best_threshold(scores, same)) == same).mean()
    tried = [((scores > t) == same).mean() for t in [*scores, scores.min() - 1]]
    assert found == max(tried)


def test_equal_scores_cannot_be_parted() -> None:
    scores, same = np.array([1.0, 1.0, 1.0, 2.0]), np.array([True, False, False, True])
    assert best_threshold(scores, same) == pytest.approx(1.5)


def test_a_fold_never_chooses_its_own_threshold() -> None:
    scores = np.array([0.0, 1.0, 10.0, 11.0, 0.0, 1.0])
    same = np.array([False, True, False, True, False, True])
    folds = np.array([1, 1, 2, 2, 3, 3])
    found = verify(scores, same, folds)
    assert found.by_fold == (1.0, 0.5, 1.0)
    assert found.thresholds[1] == pytest.approx(0.5)
    assert found.accuracy == pytest.approx(5 / 6)


def test_perfect_and_blind_recognisers() -> None:
    _, same = drawn(400, 0)
    folds = np.arange(400) % 5
    perfect = verify(same.astype(float), same, folds)
    assert (perfect.accuracy, perfect.tar, perfect.tar_interval) == (1.0, 1.0, (1.0, 1.0))
    blind = verify(drawn(400, 0)[0], same, folds)
    assert 0.4 < blind.accuracy < 0.6
    assert blind.tar < 0.1
    assert blind.tar_interval[0] <= blind.tar <= blind.tar_interval[1]


def test_tar_counts_what_passes_with_the_allowed_share_of_strangers() -> None:
    scores = np.array([5.0, 4.0, 3.0, 2.0, 4.5, 3.5, 1.0, 0.0])
    same = np.array([False] * 4 + [True] * 4)
    assert tar_at_far(scores, same, 0.0) == 0.0
    assert tar_at_far(scores, same, 0.25) == 0.25
    assert tar_at_far(scores, same, 0.5) == 0.5
    assert tar_at_far(scores, same, 1.0) == 1.0


def test_wilson_of_known_counts() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe (1998), table I
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_one_fold_is_refused() -> None:
    scores, same = drawn(10, 1)
    with pytest.raises(ValueError, match="two or more folds"):
        verify(scores, same, np.zeros(10, np.int64))
