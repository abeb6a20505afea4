"""What a method that `facegraft eval` calls runs for a frame: evaluation itself knows no runtime."""

from __future__ import annotations

from collections.abc import Mapping

from facegraft.evaluate.method_cost import Cost, cost_of, with_time
from facegraft.evaluate.protocol import SwapPair
from facegraft.evaluate.run import Method, Questions
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import WEIGHTS
from facegraft.faces.own import FAR_SIDE, MESH_SIDE, SEEN_SIDE, OwnNetworks
from facegraft.runtime.swapper import Swapper

WARP_NETWORKS = {
    "detector": {"image": (1, 3, FAR_SIDE, FAR_SIDE)},
    "landmarks": {"crop": (2, 3, MESH_SIDE, MESH_SIDE)},  # the face and its mirror image
    "parser": {"crop": (1, 3, SEEN_SIDE, SEEN_SIDE)},
}
"""Network -> shapes of what it is given for one frame of one face. Pictures are looked at more often than frames."""
WARP_PROGRAM = "from facegraft.runtime.swapper import Swapper\nswap_pair = Swapper().swap_pair"


def costs(methods: Mapping[str, Method], questions: Questions, *, timed: bool) -> dict[str, Cost]:
    """Of the methods that are called here; folders of answers and floors have none.

    Args:
        methods: Name -> method.
        questions: Where a case to time is taken from.
        timed: Whether threads and memory are asked for.
    """
    found = {}
    for name, method in methods.items():
        if isinstance(getattr(method, "__self__", None), Swapper):
            cost = cost_of({WEIGHTS / f"{network}.onnx": sizes for network, sizes in WARP_NETWORKS.items()})
            found[name] = with_time(cost, _warp, WARP_PROGRAM, questions) if timed else cost
    return found


def _warp(threads: int) -> SwapPair:
    return Swapper(Analyser(OwnNetworks(threads=threads))).swap_pair
