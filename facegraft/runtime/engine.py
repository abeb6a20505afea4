"""What a `Swapper` puts faces on with: the baseline warp, or a bundle (`runtime/bundle.py`).

Both do the same three things: learn a person from photos, tell what they learned, change one face of a frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from facegraft.core.errors import BadInputError
from facegraft.core.types import Face, Frame, Patch
from facegraft.faces.analyse import SEEN_MARGIN
from facegraft.faces.fetch import WEIGHTS, model_folder
from facegraft.faces.shading import Shading
from facegraft.faces.topology import Topology, load_topology
from facegraft.faces.visible import Uncovered
from facegraft.runtime.warp import Identity, Photo, best_view, encode, swap_face

WARP = "warp"
VIEW_STICKINESS_DEGREES = 6.0
"""Another photo of the identity takes over only when its pose fits better by this much: no flicker between two."""


@dataclass(frozen=True)
class FaceState:
    """What one face's next frame needs to know of its last."""

    view: int | None = None
    edge: int | None = None


@runtime_checkable
class Engine(Protocol):
    """One way to swap. Interface only.

    Attributes:
        method: Its name, for reports and provenance.
        stamp: Tells apart two that have one name; a clip's job is not continued by another.
        seen_margin: How far around a face it wants to know what is uncovered; see `Analyser.uncovered`.
        keeps_lids: Whether it wants to know if irises are in view; see `Analyser.irises`.
        relights: Whether it wants to know what light does to a face; see `Analyser.shading`.
    """

    method: str
    stamp: str
    seen_margin: float
    keeps_lids: bool
    relights: bool

    def learn(self, photos: list[Photo]) -> Any:
        """All that is kept of a person."""
        ...

    def digest(self, person: Any) -> bytes:
        """Stands for what was learned of a person."""
        ...

    def put(
        self,
        frame: Frame,
        face: Face,
        person: Any,
        state: FaceState,
        uncovered: Uncovered,
        shading: Shading | None = None,
    ) -> tuple[Patch | None, FaceState]:
        """One face's change, None where it cannot be placed; and the state for its next frame."""
        ...


class WarpEngine:
    """The baseline: none of its networks was trained to swap."""

    method = WARP
    stamp = ""
    seen_margin = SEEN_MARGIN
    keeps_lids = True
    relights = True

    def __init__(self, topology: Topology | None = None) -> None:
        self.topology = topology or load_topology()

    def learn(self, photos: list[Photo]) -> Identity:
        """One view per photo; the best pose is chosen per frame later."""
        return encode(photos, self.topology)

    def digest(self, person: Identity) -> bytes:
        made = hashlib.blake2b(digest_size=16)
        for view in person.views:
            made.update(view.levels[0].tobytes())
        return made.digest()

    def put(
        self,
        frame: Frame,
        face: Face,
        person: Identity,
        state: FaceState,
        uncovered: Uncovered,
        shading: Shading | None = None,
    ) -> tuple[Patch | None, FaceState]:
        view = best_view(person, face.pose_degrees, state.view, VIEW_STICKINESS_DEGREES)
        return swap_face(frame, face, person.views[view], self.topology, uncovered, shading), FaceState(view)


def load_engine(method: str | Path = WARP) -> Engine:
    """The engine of a method: "warp", the folder of a bundle, or the name of a bundle that is installed.

    Raises:
        BadInputError: No such method or bundle, or the bundle is damaged.
    """
    if str(method) == WARP:
        return WarpEngine()
    from facegraft.runtime.bundle import Bundle, BundleEngine

    folder = Path(method)
    if not folder.is_dir():
        installed = installed_bundles()
        if str(method) not in installed:
            known = ", ".join((WARP, *sorted(installed)))
            raise BadInputError(
                f"no method or bundle {str(method)!r}; there is: {known}, or name a folder made by `facegraft export`"
            )
        folder = installed[str(method)]
    return BundleEngine(Bundle.open(folder))


def installed_bundles(places: Sequence[Path] | None = None) -> dict[str, Path]:
    """Name -> folder of the bundles that ship with facegraft or lie where fetched models do; the user's go first."""
    found: dict[str, Path] = {}
    for place in places if places is not None else (WEIGHTS, model_folder()):
        found |= {card.parent.name: card.parent for card in sorted(place.glob("*/card.json"))}
    return found
