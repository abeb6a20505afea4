"""Seeds as pure functions, so that a resumed run draws what an unbroken one would have drawn."""

from __future__ import annotations

import numpy as np


def seed_for(seed: int, rank: int, images_seen: int) -> int:
    """A seed of 63 bits for what one process draws at one point of a run; unrelated for any other point or process.

    Args:
        seed: Of the run, from 0.
        rank: Number of the process, from 0.
        images_seen: By all processes together, from 0.
    """
    words = np.random.SeedSequence([seed, rank, images_seen]).generate_state(1, np.uint64)
    return int(words[0]) >> 1
