"""What a tracker knows of one face from frame to frame, and how that is written down."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

NEVER = -1e9
MOST_VIEWS = 30.0
"""Views that the mean embedding remembers; older ones fade."""


@dataclass(eq=False)
class Track:
    """One person's face, seen or remembered.

    Attributes:
        dense: Smoothed points of the last frame it was seen in.
        velocity: Pixels per second, x and y.
        seen_s: Time of that frame.
        lost: Not seen in the last frame.
        after_cut: The scene changed since, so its path says little.
        embedding: Running mean, unit length; `embedded` says of how many clear views.
        strikes: Clear views in a row that show somebody else.
        trial: Frames for which it must still be followed before it counts as a face and gets its number.
    """

    number: int
    dense: Float32[np.ndarray, "k 3"]
    score: float
    seen_s: float
    velocity: Float64[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
    lost: bool = False
    after_cut: bool = False
    embedding: Float32[np.ndarray, "d"] | None = None
    embedded: float = 0.0
    embedded_s: float = NEVER
    strikes: int = 0
    trial: int = 0

    def expected(self, time_s: float) -> Float32[np.ndarray, "k 3"]:
        """Where the points should be by now; a lost face is not followed further than half a second."""
        moved = self.dense.copy()
        moved[:, :2] += (self.velocity * min(time_s - self.seen_s, 0.5)).astype(np.float32)
        return moved

    def is_due(self, time_s: float, every_s: float) -> bool:
        """Whether its embedding should be refreshed: soon while there was no clear view, or where one was odd."""
        wait_s = 0.0 if self.strikes else every_s if self.embedded >= 1 else every_s / 5
        return time_s - self.embedded_s >= wait_s

    def learn(self, embedding: Float32[np.ndarray, "d"], share: float) -> None:
        """Takes one more view into the mean; old views fade once there are many."""
        if self.embedding is None:
            self.embedding, self.embedded = embedding, share
            return
        total = self.embedding * np.float32(min(self.embedded, MOST_VIEWS)) + embedding * np.float32(share)
        self.embedding = (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)
        self.embedded += share

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, exact to the bit."""
        arrays = {
            "dense": _packed(self.dense),
            "embedding": _packed(self.embedding),
            "velocity": self.velocity.tolist(),
        }
        return {name.name: arrays.get(name.name, getattr(self, name.name)) for name in fields(self)}

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> Track:
        dense = _unpacked(stored["dense"])
        arrays = {
            "dense": np.zeros((0, 3), np.float32) if dense is None else dense.reshape(-1, 3),
            "embedding": _unpacked(stored["embedding"]),
            "velocity": np.array(stored["velocity"], np.float64),
        }
        return Track(**{**stored, **arrays})


def _packed(values: np.ndarray | None) -> str | None:
    return None if values is None else base64.b64encode(values.astype("<f4").tobytes()).decode()


def _unpacked(text: str | None) -> Float32[np.ndarray, "n"] | None:
    return None if text is None else np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
