"""The table of the metrics' benchmark says which damage a metric follows, whichever way is better."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facegraft.evaluate.damage import DAMAGES, Damage
from facegraft.evaluate.protocol import Metric

BLUR = Damage("blur", "px", (1.0, 2.0), DAMAGES[0].call, ("sharp",))
CAST = Damage("cast", "levels", (5.0, 9.0), DAMAGES[0].call, ("colour",))
SHARP = Metric("sharp", "", "high", 0.0, "falls with blur")
COLOUR = Metric("colour", "", "low", 9.0, "rises with the cast, and half as much with blur")
UNKNOWN = Metric("unknown", "", "low", 9.0, "never measured")


@pytest.fixture
def benchmark(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/metrics_truth.py, which is no package and imports its neighbour."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return importlib.import_module("metrics_truth")


def columns() -> dict[str, dict[str, np.ndarray]]:
    def both(sharp: float, colour: float) -> dict[str, np.ndarray]:
        return {"sharp": np.array([sharp, sharp + 1], float), "colour": np.array([colour, np.nan], float)}

    return {
        "true swap": both(5, 1),
        "blur 1": both(4, 1.5),
        "blur 2": both(3, 2),
        "cast 5": both(5, 2),
        "cast 9": both(5, 3),
    }


def test_changes_for_the_worse_are_above_zero(benchmark: ModuleType) -> None:
    found = benchmark.table(columns(), [SHARP, COLOUR, UNKNOWN], [BLUR, CAST])
    assert set(found) == {"sharp", "colour"}
    sharp, colour = found["sharp"]["damages"], found["colour"]["damages"]
    assert sharp["blur"] == {
        "means": [5.5, 4.5, 3.5], "spearman": 1.0, "worse_share": 1.0, "change": 2.0, "relative": 1.0,
    }  # fmt: skip
    assert (sharp["cast"]["spearman"], sharp["cast"]["worse_share"], sharp["cast"]["relative"]) == (0.0, 0.0, 0.0)
    assert found["colour"]["own"] == ["cast"]
    assert (colour["cast"]["change"], colour["cast"]["spearman"], colour["blur"]["relative"]) == (2.0, 1.0, 0.5)


def test_the_lines_name_the_worst_of_the_other_damages(benchmark: ModuleType) -> None:
    found = benchmark.table(columns(), [COLOUR], [BLUR, CAST])
    head, line = benchmark.lines(found)
    assert "spearman" in head
    assert line.split() == ["colour", "1", "cast", "1.00", "blur", "0.50"]
