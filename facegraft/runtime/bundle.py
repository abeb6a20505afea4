"""A bundle of `facegraft export` at work: its two graphs, and the `Engine` that puts faces on frames with them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError
from facegraft.core.files import read_bytes, sha256, shown
from facegraft.core.geometry import similarity_scale, transform, warp
from facegraft.core.types import Face, Frame, Mask, Matrix, Patch
from facegraft.faces.align import TEMPLATES, alignment
from facegraft.faces.analyse import MIN_PRESENCE, Analyser
from facegraft.faces.shading import Shading
from facegraft.faces.visible import Uncovered
from facegraft.runtime.adaptive import adaptive_mask, edge_number, narrowing
from facegraft.runtime.blend import SEEN_MARGIN, put_back
from facegraft.runtime.engine import FaceState
from facegraft.runtime.session import make_session
from facegraft.runtime.warp import Photo

VERSION = 1
CARD = "card.json"
IDENTITY, SWAP = "identity", "swap"
ATTRIBUTE, IMAGE, MASK = "attribute", "image", "mask"
BLENDS = ("visible", "adaptive")
NEEDED = ("method", "size_px", "alignment", "files", "graphs")
LARGEST_ZOOM = 64.0
"""A face of which one pixel would fill so many of the crop cannot be placed."""

Code = list[Float32[np.ndarray, "1 *_shape"]]


def is_bundle(folder: Path) -> bool:
    """Whether a folder says that it is one; it may be damaged."""
    try:
        card = json.loads(read_bytes(folder / CARD))
    except (BadInputError, ValueError):
        return False
    return isinstance(card, dict) and "facegraft_bundle" in card


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        folder: Where it lies.
        method: Its method's name.
        size_px: Side of its crops.
        template: Of faces/align.py, that crops are brought to.
        stamp: SHA-256 over both graphs.
        code_names: Inputs of the swap graph beside the attribute picture.
        blend: "visible", or "adaptive": with GHOST's mask (`adaptive.py`).
        graphs: "identity", which may be missing, and "swap": sessions of ONNX Runtime.
    """

    folder: Path
    method: str
    size_px: int
    template: str
    stamp: str
    code_names: tuple[str, ...]
    blend: str
    graphs: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, *, device: str = "auto", threads: int | None = None) -> Bundle:
        """Checks every file against the card, and loads the graphs.

        Args:
            folder: Made by `facegraft export`.
            device: See `session.make_session`.
            threads: Of each graph on the CPU; None: one per physical core.

        Raises:
            BadInputError: No bundle, a newer one, or damaged.
            MissingPartError: The device does not work.
        """
        card = read_card(folder)
        graphs = {
            name: make_session(folder / f"{name}.onnx", device=device, threads=threads) for name in card["graphs"]
        }
        for name, session in graphs.items():
            _check_ports(folder, name, card["graphs"][name], session)
        codes = tuple(name for name in card["graphs"][SWAP]["inputs"] if name != ATTRIBUTE)
        stamp = hashlib.sha256("".join(file["sha256"] for _, file in sorted(card["files"].items())).encode())
        return cls(
            folder,
            card["method"],
            card["size_px"],
            card["alignment"],
            stamp.hexdigest(),
            codes,
            card.get("blend", BLENDS[0]),
            graphs,
        )

    def encode(self, crops: list[Frame]) -> Code:
        """What the method keeps of a person: the mean over aligned photos, again of length 1 where each was.

        Lengths are those of rows of matrices, such as embeddings; maps are only averaged.
        """
        if IDENTITY not in self.graphs:
            return []
        pictures = np.concatenate([_as_input(crop) for crop in crops])
        return [_mean(part) for part in self.graphs[IDENTITY].run(list(self.code_names), {IDENTITY: pictures})]

    def swap(self, crop: Frame, code: Code) -> tuple[Float32[np.ndarray, "s s 3"], Mask]:
        """The swapped crop, 0..255, and what to take of it, 0..1."""
        session = self.graphs[SWAP]
        feeds = {ATTRIBUTE: _as_input(crop), **dict(zip(self.code_names, code, strict=True))}
        asked = {port.name for port in session.get_inputs()}
        image, mask = session.run([IMAGE, MASK], {name: feeds[name] for name in feeds if name in asked})
        levels = np.clip((image[0].transpose(1, 2, 0) + 1) * np.float32(127.5), 0, 255)
        return np.ascontiguousarray(levels, np.float32), np.clip(mask[0, 0], 0, 1).astype(np.float32)

    def shapes(self) -> dict[Path, dict[str, tuple[int, ...]]]:
        """Files of the graphs -> inputs -> shapes for one picture."""
        return {
            self.folder / f"{name}.onnx": {
                port.name: (1, *(int(size) for size in port.shape[1:])) for port in session.get_inputs()
            }
            for name, session in self.graphs.items()
        }


class BundleEngine:
    """Swaps by a bundle: align, run, put back where the face itself is seen.

    Frames do not depend on each other, but for the kind of edge that an adaptive mask keeps (`FaceState.edge`).
    """

    seen_margin = SEEN_MARGIN
    keeps_lids = False
    relights = False

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._results = Analyser() if bundle.blend == "adaptive" else None  # it looks at results
        self.method, self.stamp = bundle.method, bundle.stamp

    def learn(self, photos: list[Photo]) -> Code:
        """The code of a person from all photos."""
        size = (self.bundle.size_px, self.bundle.size_px)
        return self.bundle.encode([warp(photo.frame, self._matrix(photo.face), size) for photo in photos])

    def digest(self, person: Code) -> bytes:
        made = hashlib.blake2b(digest_size=16)
        for part in person:
            made.update(part.tobytes())
        return made.digest()

    def put(
        self,
        frame: Frame,
        face: Face,
        person: Code,
        state: FaceState,
        uncovered: Uncovered,
        shading: Shading | None = None,
    ) -> tuple[Patch | None, FaceState]:
        """See `Engine`. How light falls is the network's to know: `shading` is not looked at."""
        matrix, size = self._matrix(face), (self.bundle.size_px, self.bundle.size_px)
        if not np.isfinite(matrix).all() or not 1e-6 < similarity_scale(matrix) < LARGEST_ZOOM:
            return None, state
        crop = warp(frame, matrix, size)
        image, mask = self.bundle.swap(crop, person)
        if self._results is not None:
            adaptive, state = self._adaptive(image, _moved(face.dense, matrix), state)
            mask = mask * adaptive
        return put_back(frame, face, matrix, crop, image, mask, uncovered), state

    def _adaptive(
        self, image: Float32[np.ndarray, "s s 3"], attribute: Float32[np.ndarray, "k 3"], state: FaceState
    ) -> tuple[Mask, FaceState]:
        """GHOST's mask of a result whose attribute face has these points; where no face is seen in it, by those."""
        assert self._results is not None  # noqa: S101 - for mypy
        found = self._results.refine(np.rint(image).astype(np.uint8), attribute[None])
        swapped = found.dense[0] if found.scores[0] >= MIN_PRESENCE else attribute
        edge = state.edge
        if edge is None:
            edge = edge_number(narrowing(attribute, swapped, self.bundle.size_px))
        return adaptive_mask(swapped, self.bundle.size_px, edge), dataclasses.replace(state, edge=edge)

    def _matrix(self, face: Face) -> Float32[np.ndarray, "2 3"]:
        return alignment(face.points5, self.bundle.template, self.bundle.size_px)


def _moved(dense: Float32[np.ndarray, "k 3"], matrix: Matrix) -> Float32[np.ndarray, "k 3"]:
    """Points of a frame in its crop."""
    depth = dense[:, 2:] * np.float32(similarity_scale(matrix))
    return np.concatenate([transform(matrix, dense[:, :2]), depth], axis=1).astype(np.float32)


def read_card(folder: Path) -> dict[str, Any]:
    """The card, once every file that it names is there and has its hash.

    Raises:
        BadInputError: No bundle, a newer one, or damaged.
    """
    path = folder / CARD
    if not is_bundle(folder):
        raise BadInputError(
            f"{shown(folder)}: expected a bundle made by `facegraft export`, found no card of one in it"
        )
    card = json.loads(read_bytes(path))
    if card["facegraft_bundle"] != VERSION:
        raise BadInputError(
            f"{shown(path)}: expected version {VERSION}, found {card['facegraft_bundle']!r}; update facegraft"
        )
    try:
        missing = [name for name in NEEDED if name not in card]
        hashes = {name: str(file["sha256"]) for name, file in card["files"].items()}
        whole = SWAP in card["graphs"] and {f"{name}.onnx" for name in card["graphs"]} == set(hashes)
    except (AttributeError, KeyError, TypeError):
        missing, hashes, whole = [], {}, False
    if card.get("blend", BLENDS[0]) not in BLENDS:
        raise BadInputError(
            f"{shown(path)}: expected blend of {', '.join(BLENDS)}, found {card['blend']!r}; update facegraft"
        )
    if missing or not whole or card["alignment"] not in TEMPLATES:
        what = f"{', '.join(missing)} missing" if missing else "graphs or alignment cannot be read"
        raise BadInputError(f"{shown(path)}: damaged ({what}); export the bundle again")
    for name, expected in hashes.items():
        found = sha256(folder / name)
        if found != expected:
            raise BadInputError(
                f"{shown(folder / name)}: SHA-256 is {found[:12]}..., the card says {expected[:12]}...; "
                "the file is damaged or was changed: export the bundle again"
            )
    return card


def _check_ports(folder: Path, name: str, told: dict[str, Any], session: Any) -> None:
    found = {port.name: list(port.shape[1:]) for port in (*session.get_inputs(), *session.get_outputs())}
    for port, shape in {**told["inputs"], **told["outputs"]}.items():
        if port in found and found[port] != list(shape[1:]):
            what = f"{port} is {found[port]}, the card says {list(shape[1:])}"
            raise BadInputError(f"{shown(folder / f'{name}.onnx')}: {what}; export the bundle again")
    lost = sorted(set(told["outputs"]) - set(found))
    if lost:
        raise BadInputError(f"{shown(folder / f'{name}.onnx')}: has no output {lost[0]!r}; export the bundle again")


def _as_input(crop: Frame) -> Float32[np.ndarray, "1 3 h w"]:
    return np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(127.5) - np.float32(1)


def _mean(part: Float32[np.ndarray, "n *shape"]) -> Float32[np.ndarray, "1 *shape"]:
    mean = part.mean(axis=0, keepdims=True, dtype=np.float64)
    if part.ndim == 2 and np.allclose(np.linalg.norm(part, axis=1), 1, atol=1e-3):
        mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return mean.astype(np.float32)
