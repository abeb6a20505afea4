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
        "means": [5.5, 4.5, 3.5], "spearman": 1.0, "spearman_of_means": 1.0, "worse_share": 1.0, "change": 2.0,
        "relative": 1.0,
    }  # fmt: skip
    assert (sharp["cast"]["spearman"], sharp["cast"]["worse_share"], sharp["cast"]["relative"]) == (0.0, 0.0, 0.0)
    assert found["colour"]["own"] == ["cast"]
    assert (colour["cast"]["change"], colour["cast"]["spearman"], colour["blur"]["relative"]) == (2.0, 1.0, 0.5)


def test_the_lines_name_the_worst_of_the_other_damages(benchmark: ModuleType) -> None:
    found = benchmark.table(columns(), [COLOUR], [BLUR, CAST])
    head, line = benchmark.lines(found)
    assert "spearman" in head
    assert line.split() == ["colour", "1", "cast", "1.00", "blur", "0.50"]


def result(benchmark: ModuleType) -> dict[str, object]:
    """What the script measured of made-up metrics; in `colour` the warp stands behind the copy."""
    stills = benchmark.table(columns(), [SHARP, COLOUR], [BLUR, CAST])
    floors = {name: [9.0 - at, 8.6 - at, 9.4 - at] for at, name in enumerate(benchmark.ANSWERS)}
    floors |= {"paste": [2.0, 1.0, 3.0], "mean-face": [4.1, 4.0, 4.3]}
    return {"stills": stills, "moving": {}, "clips": 0, "frames_of_a_clip": 8, "floors": {"sharp": floors}}


def test_the_tables_say_what_the_numbers_do(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = importlib.import_module("metrics_truth_tables")
    rows = [line.split(" | ") for line in tables.damages_table(result(benchmark)) if line.startswith("| `")]
    assert rows[0] == ["| `sharp`", "5.5", "blur 3.5", "1.00", "1.00", "**1.00**", ".00 |"]
    assert rows[1] == ["| `colour`", "1", "cast 3", "1.00", "1.00", ".50", "**1.00** |"]
    assert "- none" in tables.damages_table(result(benchmark))
    monkeypatch.setattr(tables, "FOREIGN", 0.4)
    assert "- `colour` moves under others: blur .50" in tables.damages_table(result(benchmark))
    order = "true swap > warp, copy > paste > mean-face"
    monkeypatch.setattr(tables, "MUST", {"sharp": order})
    (row,) = (line for line in tables.places_table(result(benchmark)) if line.startswith("| `"))
    assert row == f"| `sharp` | 9 | 8 | 2 | 6 | 4.1 | {order} | mean-face before paste |"
    values = {name: [0.0, -1.0, 1.0] for name in benchmark.ANSWERS} | {"warp": [0.5, -1.0, 2.0]}
    assert tables.verdict(values, order, "high") == "~warp before true swap"
    assert tables.verdict(values, order, "low") == "~paste before warp; ~mean-face before warp"


def test_tables_are_written_between_their_marks_and_nowhere_else(benchmark: ModuleType, tmp_path: Path) -> None:
    tables = importlib.import_module("metrics_truth_tables")
    document = tmp_path / "text.md"
    end = "<!-- metrics_truth: end -->"
    text = f"before\n<!-- metrics_truth: damages -->\nold\n{end}\nmid\n<!-- metrics_truth: places -->\n{end}\nafter\n"
    document.write_text(text, encoding="utf-8")
    for _ in range(2):
        tables.write_tables(result(benchmark), document)
        written = document.read_text(encoding="utf-8")
        assert written.startswith("before\n<!-- metrics_truth: damages -->\n")
        assert written.endswith(f"{end}\nafter\n")
        assert f"{end}\nmid\n" in written
        assert "old" not in written
        assert written.count("`sharp`") == 1
    document.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="pair of marks for the table 'damages'"):
        tables.write_tables(result(benchmark), document)


def test_every_metric_of_the_places_is_one_that_is_measured(benchmark: ModuleType) -> None:
    tables = importlib.import_module("metrics_truth_tables")
    known = {metric.name for module in benchmark.load_suites(benchmark.SUITES) for metric in benchmark.all_of(module)}
    assert {name for name in known if not tables.must_of(name)} == {"background_psnr"}
    for names in tables.MUST:
        for name in names.split():
            assert any(each == name or each.startswith(f"{name}_") for each in known), name
