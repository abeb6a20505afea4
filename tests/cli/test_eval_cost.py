"""Networks of methods that `facegraft eval` calls: those that a swap really runs, at the size that it gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegraft.cli.eval_cost import WARP_NETWORKS, costs
from facegraft.evaluate.questions import FolderSet
from facegraft.faces.analyse import Analyser
from facegraft.faces.fetch import WEIGHTS
from facegraft.faces.own import OwnNetworks
from facegraft.runtime.swapper import Swapper
from tests.evaluate.cases_for_tests import example

NO_CASES = FolderSet("none", ())


class Watched(OwnNetworks):
    """Keeps the shapes that each network is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, set[tuple[str, tuple[int, ...]]]] = {}

    def _run(self, name: str, given: str, image: np.ndarray, wanted: list[str]) -> list[Any]:
        self.given.setdefault(name, set()).add((given, image.shape))
        return super()._run(name, given, image, wanted)


def test_the_list_is_what_a_swap_runs() -> None:
    networks = Watched()
    Swapper(Analyser(networks)).swap_pair(example("identity_1"), example("identity_2"))
    listed = {name: set(sizes.items()) for name, sizes in WARP_NETWORKS.items()}
    assert networks.given.keys() == listed.keys()
    assert all(sizes <= networks.given[name] for name, sizes in listed.items())
    assert all((networks.folder / f"{name}.onnx").samefile(WEIGHTS / f"{name}.onnx") for name in listed)


def test_only_what_is_called_here_costs_something(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra `recogniser` is not installed")
    found = costs({"warp": Swapper().swap_pair, "copy": "copy", "mine": tmp_path}, NO_CASES, timed=False)
    assert set(found) == {"warp", "warp tracked"}
    assert found["warp"] is found["warp tracked"]
    assert found["warp"].networks == ("detector", "landmarks", "parser", "shading")
    assert found["warp"].graphs.bytes == sum((WEIGHTS / f"{name}.onnx").stat().st_size for name in WARP_NETWORKS)
    assert (found["warp"].timings, found["warp"].memory) == ({}, None)
