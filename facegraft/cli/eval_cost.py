"""What a method that `facegraft eval` calls runs for a frame: evaluation itself knows no runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from facegraft.evaluate.contestants import TRACKED, Method
from facegraft.evaluate.method_cost import Cost, Sizes, cost_of, with_time
from facegraft.evaluate.protocol import Case, SwapPair, Swaps
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import FOR_WARP, OWN, WEIGHTS
from facegraft.faces.own import FAR_SIDE, LIT_SIDE, MESH_SIDE, SEEN_SIDE, OwnNetworks
from facegraft.runtime.bundle import Bundle, BundleEngine
from facegraft.runtime.swapper import Swapper

WARP_NETWORKS = {
    "detector": {"image": (1, 3, FAR_SIDE, FAR_SIDE)},
    "landmarks": {"crop": (2, 3, MESH_SIDE, MESH_SIDE)},  # the face and its mirror image
    "parser": {"crop": (1, 3, SEEN_SIDE, SEEN_SIDE)},
    "shading": {"crop": (1, 3, LIT_SIDE, LIT_SIDE)},
}
"""Network -> shapes of what it is given for one frame of one face. Pictures are looked at more often than frames."""


def costs(methods: Mapping[str, Method], questions: Iterable[Case], *, timed: bool) -> dict[str, Cost]:
    """Of the methods that are called here; folders of answers and floors have none.

    Args:
        methods: Name -> method.
        questions: Where a case to time is taken from.
        timed: Whether threads and memory are asked for.
    """
    found: dict[str, Cost] = {}
    for name, method in methods.items():
        swapper = getattr(method.pair if isinstance(method, Swaps) else method, "__self__", None)
        if isinstance(swapper, Swapper):
            networks: dict[Path, Sizes] = {
                WEIGHTS / f"{network}.onnx": sizes
                for network, sizes in WARP_NETWORKS.items()
                if network in (FOR_WARP if swapper.engine.relights else OWN)
            }
            folder = None
            if isinstance(swapper.engine, BundleEngine):
                networks |= swapper.engine.bundle.shapes()
                folder = swapper.engine.bundle.folder.resolve()
            cost = cost_of(networks)
            cost = with_time(cost, _maker(folder), _program(folder), questions) if timed else cost
            found |= {name: cost, TRACKED.format(name): cost}
    return found


def _maker(folder: Path | None) -> Callable[[int], SwapPair]:
    """Number of threads -> the warp, or a bundle's method."""

    def make(threads: int) -> SwapPair:
        engine = None if folder is None else BundleEngine(Bundle.open(folder, device="cpu", threads=threads))
        return Swapper(Analyser(OwnNetworks(threads=threads)), engine).swap_pair

    return make


def _program(folder: Path | None) -> str:
    name = "warp" if folder is None else str(folder)
    return f"from facegraft.runtime.swapper import load_swapper\nswap_pair = load_swapper({name!r}).swap_pair"
