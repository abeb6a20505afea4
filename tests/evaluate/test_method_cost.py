"""What a method costs: sums over its networks, a case that can be swapped, and JSON there and back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from facegraft.core.errors import BadInputError, NoFaceError
from facegraft.core.types import Frame
from facegraft.evaluate.cost import GraphCost, Memory, Timing
from facegraft.evaluate.method_cost import (
    MOST_TRIED,
    NO_MACS,
    NO_ONNX,
    Cost,
    as_plain,
    cost_of,
    from_plain,
    with_time,
)
from facegraft.evaluate.protocol import Case
from facegraft.faces.fetch import WEIGHTS
from tests.evaluate.cases_for_tests import flat

PLAIN = "def swap_pair(identity, attribute):\n    return attribute"
NOTHING = Cost((), GraphCost(0, 0, 0))


def case(level: int) -> Case:
    return Case(str(level), flat(level), flat(level), "one", "other")


def test_a_method_holds_what_its_networks_hold() -> None:
    pytest.importorskip("onnx", reason="the extra `recogniser` is not installed")
    detector, parser = WEIGHTS / "detector.onnx", WEIGHTS / "parser.onnx"
    sizes = {detector: {"image": (1, 3, 320, 320)}, parser: {"crop": (2, 3, 160, 160)}}
    found = cost_of(sizes)
    assert (found.networks, found.lacks) == (("detector", "parser"), ())
    assert found.graphs.bytes == detector.stat().st_size + parser.stat().st_size
    one, two = (cost_of({path: shapes}).graphs.macs for path, shapes in sizes.items())
    assert one is not None
    assert two is not None
    assert found.graphs.macs == one + two
    assert cost_of({parser: {"crop": (1, 3, 160, 160)}}).graphs.macs == two / 2


def test_what_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from facegraft.evaluate import method_cost

    path = Path("a.onnx")
    for found, line in ((GraphCost(9, None, None), NO_ONNX), (GraphCost(9, 3, None), NO_MACS)):
        monkeypatch.setattr(method_cost, "graph_cost", lambda _path, _sizes, found=found: found)
        assert cost_of({path: {}}) == Cost(("a",), found, lacks=(line,))


def test_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="none"):
        cost_of({tmp_path / "none.onnx": {}})


def test_the_first_case_that_can_be_swapped_is_timed() -> None:
    made: list[int] = []
    seen: list[int] = []

    def make(threads: int) -> object:
        made.append(threads)

        def swap_pair(identity: Frame, attribute: Frame) -> Frame:
            seen.append(int(identity[0, 0, 0]))
            if seen[-1] < 3:
                raise NoFaceError("none here")
            return attribute

        return swap_pair

    found = with_time(NOTHING, make, PLAIN, map(case, range(1, 6)))  # type: ignore[arg-type]  # it is a call
    assert made == [1, 1, 2]
    assert seen[:3] == [1, 2, 3]
    assert set(seen[3:]) == {3}
    assert set(found.timings) == {1, 2}
    assert found.memory is not None
    assert 10 < found.memory.peak < 400
    assert found.lacks == ()


def test_where_no_case_can_be_swapped_time_is_not_known() -> None:
    asked: list[int] = []

    def refuse(identity: Frame, _attribute: Frame) -> Frame:
        asked.append(int(identity[0, 0, 0]))
        raise NoFaceError("none here")

    found = with_time(NOTHING, lambda _threads: refuse, PLAIN, map(case, range(MOST_TRIED + 5)))
    assert asked == list(range(MOST_TRIED))
    assert found == dataclasses.replace(NOTHING, lacks=("time by threads, memory: no case could be swapped",))


def test_a_program_that_fails_costs_only_the_memory() -> None:
    found = with_time(NOTHING, lambda _threads: lambda _identity, attribute: attribute, "1 / 0", [case(1)])
    assert set(found.timings) == {1, 2}
    assert found.memory is None
    assert "ZeroDivisionError" in found.lacks[0]


def test_json_there_and_back() -> None:
    whole = Cost(("a", "b"), GraphCost(1, None, 3), {2: Timing(1.5, 1.0, 2.0, 20)}, Memory(50.5, 80.25), ("memory",))
    for one in (whole, NOTHING, None):
        assert from_plain(json.loads(json.dumps(as_plain(one)))) == one
