"""Cases go to methods and answers to suites; failures are counted and nothing is dropped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facegraft.core.errors import NoFaceError
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.evaluate.look import Eyes, Seen, Views
from facegraft.evaluate.protocol import Case, Metric, Scores, find_metric
from facegraft.evaluate.score import answer_of, metrics_of, score
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader

SHIFT = Metric("shift", "px", "low", 99.0, "how far the face moved")
RANK = Metric("rank", "", "low", 1e3, "place of this case's shift among all")


def tiny_suite() -> ModuleType:
    """Measures where the face went, and ranks cases by it."""
    suite = ModuleType("tiny")

    def values(case: Case, views: Views) -> dict[str, float]:
        was, now = views.attribute.face, views.swapped.face
        if was is None or now is None:
            return {"shift": SHIFT.worst}
        return {"shift": float(np.linalg.norm(was.points5.mean(0) - now.points5.mean(0)))}

    def features(case: Case, views: Views) -> dict[str, np.ndarray]:
        return {name: seen.frame.mean((0, 1)) for name, seen in (("swapped", views.swapped), ("own", views.attribute))}

    def late_values(scores: Scores) -> dict[str, np.ndarray]:
        return {"rank": np.argsort(np.argsort(scores.values["shift"])).astype(float)}

    for name, thing in {"values": values, "features": features, "late_values": late_values}.items():
        setattr(suite, name, thing)
    suite.METRICS, suite.LATE_METRICS = (SHIFT,), (RANK,)  # type: ignore[attr-defined]
    return suite


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Eyes(Analyser(), AttributeReader(), {})


@pytest.fixture(scope="module")
def case(root: Path) -> Case:
    identity, attribute = (
        read_picture(root / "examples" / name).frame for name in ("identity_1.jpg", "identity_2.jpg")
    )
    return Case("one", identity, attribute, "a", "b", "ordinary", groups={"sex": "women"})


def moved(frame: Frame, right_px: int) -> Frame:
    return np.roll(frame, right_px, axis=1)


def refuses(identity: Frame, attribute: Frame) -> Frame:
    raise NoFaceError("none here")


def test_methods_are_judged_side_by_side(eyes: Eyes, case: Case) -> None:
    methods = {
        "same": answer_of(lambda _identity, attribute: attribute),
        "moved": answer_of(lambda _identity, attribute: moved(attribute, 12)),
        "blank": answer_of(lambda _identity, attribute: np.zeros_like(attribute)),
        "small": answer_of(lambda _identity, attribute: attribute[::2, ::2]),
        "refuses": answer_of(refuses),
        "silent": lambda _case: None,
    }
    kept: list[str] = []
    found = score(methods, [case], eyes, [tiny_suite()], keep=lambda name, _case, _views: kept.append(name))
    shifts = {name: float(scores.values["shift"][0]) for name, scores in found.items()}
    assert shifts["same"] == 0
    assert shifts["moved"] == pytest.approx(12, abs=1.5)
    assert [shifts[name] for name in ("blank", "small", "refuses", "silent")] == [99.0] * 4
    assert [bool(scores.failed[0]) for scores in found.values()] == [False, False, True, True, True, True]
    assert kept == list(methods)
    blank = found["blank"].features
    assert np.isnan(blank["swapped"]).all()
    np.testing.assert_array_equal(blank["own"], found["same"].features["own"])
    one = found["same"]
    assert (one.keys, one.people, one.strata, dict(one.groups)) == (
        ("one",),
        ("b",),
        ("ordinary",),
        {"sex": ("women",)},
    )
    assert one.milliseconds.shape == (1,)


def test_without_a_face_to_replace_a_case_counts_for_nobody(eyes: Eyes, case: Case) -> None:
    bare = dataclasses.replace(case, attribute=np.full_like(case.attribute, 90))
    methods = {"refuses": answer_of(refuses), "same": answer_of(lambda _identity, attribute: attribute)}
    for scores in score(methods, [bare, case], eyes, [tiny_suite()]).values():
        assert np.isnan(scores.values["shift"][0])
        assert np.isnan(scores.features["own"][0]).all()
        assert not scores.failed[0]
        assert np.isfinite(scores.values["shift"][1])


def test_late_values_see_the_whole_set(eyes: Eyes, case: Case) -> None:
    amounts = iter([20, 0, 10])
    found = score({"m": lambda given: moved(given.attribute, next(amounts))}, [case] * 3, eyes, [tiny_suite()])
    assert found["m"].values["rank"].tolist() == [2.0, 0.0, 1.0]
    assert [metric.name for metric in metrics_of([tiny_suite()])] == ["shift", "rank"]
    assert find_metric([SHIFT, RANK], "rank") is RANK


def test_errors_of_the_program_are_not_swallowed(eyes: Eyes, case: Case) -> None:
    def broken(given: Case) -> Frame:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        score({"broken": broken}, [case], eyes, [tiny_suite()])


def test_of_several_faces_the_one_in_place_counts(eyes: Eyes, root: Path) -> None:
    one = read_picture(root / "examples" / "identity_2.jpg").frame
    two = np.concatenate([one, one], axis=1)
    places = []
    for start in (0, one.shape[1]):
        alone = np.full_like(two, 90)
        alone[:, start : start + one.shape[1]] = one
        near = Seen(eyes, alone).face
        assert near is not None
        face = eyes.look(two, near).face
        assert face is not None
        places.append(float(face.points5[:, 0].mean() - near.points5[:, 0].mean()))
    assert np.abs(places).max() < 5


def test_a_bystander_does_not_stand_in_for_a_lost_face(eyes: Eyes, root: Path) -> None:
    one = read_picture(root / "examples" / "identity_2.jpg").frame
    both = np.concatenate([one, one], axis=1)
    lost = both.copy()
    lost[:, : one.shape[1]] = 90
    near = eyes.look(np.concatenate([one, np.full_like(one, 90)], axis=1)).face
    assert near is not None
    assert eyes.look(both, near).face is not None
    assert eyes.look(lost).face is not None
    assert eyes.look(lost, near).face is None
