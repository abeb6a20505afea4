"""Who an answer shows: cosines of real pictures by tiny judges, and planted embeddings for what needs the whole set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.core.geometry import warp
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.evaluate import identity
from facegraft.evaluate.identity import JUDGES, LATE_METRICS, METRICS, agreement, late_values, spearman, threshold
from facegraft.evaluate.look import Eyes, Views
from facegraft.evaluate.protocol import Case, Scores, find_metric
from facegraft.evaluate.score import answer_of, score
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader
from facegraft.faces.embed import chip_matrix


class Looks:
    """A judge that compares small copies of crops, of which it sees only the columns up to `until`."""

    def __init__(self, size_px: int, until: float = 1.0) -> None:
        self.size_px, self._until = size_px, until

    def embed(self, crops: np.ndarray) -> np.ndarray:
        side = self.size_px
        tiles = crops.reshape(len(crops), 10, side // 10, 10, side // 10, 3).mean((2, 4))
        seen = tiles[:, :, : round(10 * self._until)].reshape(len(crops), -1)
        seen = seen - seen.mean(1, keepdims=True)
        return (seen / np.linalg.norm(seen, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Eyes(Analyser(), AttributeReader(), {"dlib": Looks(150), "other": Looks(100)})


@pytest.fixture(scope="module")
def case(root: Path) -> Case:
    first, second = (read_picture(root / "examples" / f"identity_{n}.jpg").frame for n in (1, 2))
    return Case("one", first, second, "a", "b")


def looked(eyes: Eyes, case: Case, swapped: Frame) -> Views:
    return Views(*(eyes.look(frame) for frame in (case.identity, case.attribute, swapped)))


def told(eyes: Eyes, case: Case, swapped: Frame) -> dict[str, float]:
    found = identity.values(case, looked(eyes, case, swapped))
    assert set(found) == {metric.name for metric in METRICS}
    assert all(np.isnan(value) for name, value in found.items() if name.endswith("_second"))  # it is not there
    return {name.removesuffix("_dlib"): value for name, value in found.items() if name.endswith("_dlib")}


def test_an_answer_that_changes_nothing_leaks_all_and_one_that_is_the_person_is_all_alike(
    eyes: Eyes, case: Case
) -> None:
    same, other = told(eyes, case, case.attribute), told(eyes, case, case.identity)
    assert same["identity_leak"] == pytest.approx(1, abs=1e-5)
    assert other["identity_cosine"] == pytest.approx(1, abs=1e-5)
    assert other["inner_cosine"] == pytest.approx(1, abs=1e-5)
    assert same["identity_cosine"] == pytest.approx(other["identity_leak"], abs=1e-5)
    assert same["identity_cosine"] < 0.95
    for found in (same, other):
        assert found["identity_gap"] == pytest.approx(found["identity_cosine"] - found["identity_leak"])


def test_only_the_inner_face_counts_where_it_is_asked_for(eyes: Eyes, case: Case) -> None:
    person = eyes.look(case.identity)
    outside = np.where(person.hull[..., None] > 0, case.identity, 255 - case.identity)
    found = told(eyes, case, outside)
    assert found["identity_cosine"] < 0.8
    assert found["inner_cosine"] > 0.97


def test_failures_get_the_worst_and_what_cannot_be_asked_is_not_known(eyes: Eyes, case: Case) -> None:
    black = np.zeros_like(case.attribute)
    assert told(eyes, case, black) == {
        "identity_cosine": -1, "identity_leak": 1, "identity_gap": -2, "inner_cosine": -1
    }  # fmt: skip
    faceless = dataclasses.replace(case, identity=black)
    assert np.isnan(list(told(eyes, faceless, case.attribute).values())).all()
    found = told(eyes, dataclasses.replace(case, attribute_person="a"), case.attribute)
    assert [name for name, value in found.items() if np.isnan(value)] == ["identity_leak", "identity_gap"]


def test_a_judge_that_looks_at_one_side_sees_both(root: Path) -> None:
    frame = read_picture(root / "examples" / "identity_1.jpg").frame
    frame, middle = frame.copy(), frame.shape[1] // 2  # no red on one side and no blue on the other: still a face
    frame[:, :middle, 0], frame[:, middle:, 2] = 0, 0
    judge = Looks(150, until=0.4)
    eyes = Eyes(Analyser(), AttributeReader(), {"dlib": judge})
    plain, mirrored = eyes.look(frame), eyes.look(np.ascontiguousarray(frame[:, ::-1]))
    assert plain.face is not None
    crop = warp(frame, chip_matrix(plain.face.dense), (150, 150))
    left, right = judge.embed(np.stack([crop, crop[:, ::-1]]))
    assert left @ right < 0
    assert plain.embeddings["dlib"] @ mirrored.embeddings["dlib"] > 0.98


def test_the_suite_runs_in_a_set_and_silence_costs_only_what_is_measured(eyes: Eyes, case: Case) -> None:
    methods = {
        "same": answer_of(lambda _identity, attribute: attribute),
        "person": lambda given: given.identity,
        "silent": lambda _case: None,
    }
    found = score(methods, [case], eyes, [identity])
    assert found["same"].identities == ("a",)
    for name in ("identity_cosine_second", "top1_second"):
        assert all(np.isnan(scores.values[name]).all() for scores in found.values())
    assert [float(found[name].values["top1_dlib"][0]) for name in methods] == [0, 100, 0]
    assert [float(found[name].values["identity_cosine_dlib"][0]) for name in ("person", "silent")] == [
        pytest.approx(1, abs=1e-5), -1
    ]  # fmt: skip
    assert set(found["same"].features) == {"swapped_dlib", "identity_dlib", "attribute_dlib"}


def planted(
    swapped: np.ndarray,
    asked: np.ndarray,
    replaced: np.ndarray,
    identities: Sequence[str] | None = None,
    people: Sequence[str] | None = None,
) -> Scores:
    """Scores of the judge "second" from embeddings, one row per case."""
    n = len(asked)
    return Scores(
        method="m",
        keys=tuple(map(str, range(n))),
        people=tuple(people or [f"b{at}" for at in range(n)]),
        strata=("",) * n,
        groups={},
        values={},
        failed=~np.isfinite(swapped).all(1),
        milliseconds=np.zeros(n),
        features={"swapped_second": swapped, "identity_second": asked, "attribute_second": replaced},
        identities=tuple(identities or [f"a{at}" for at in range(n)]),
    )


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def strangers() -> tuple[np.ndarray, np.ndarray]:
    """60 identity and 60 attribute pictures of people who look like nobody else."""
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(60, 256))), unit(rng.normal(size=(60, 256)))


def late(scores: Scores) -> dict[str, np.ndarray]:
    found = late_values(scores)
    assert set(found) == {metric.name for metric in LATE_METRICS}
    assert all(np.isnan(column).all() for name, column in found.items() if name.endswith("_dlib"))
    return {name.removesuffix("_second"): column for name, column in found.items() if name.endswith("_second")}


def test_planted_answers_are_found_verified_and_hidden(strangers: tuple[np.ndarray, np.ndarray]) -> None:
    asked, replaced = strangers
    perfect = late(planted(asked, asked, replaced))
    unchanged = late(planted(replaced, asked, replaced))
    between = late(planted(unit(asked + replaced), asked, replaced))
    mean = {
        name: [float(found[name].mean()) for found in (perfect, unchanged, between)]
        for name in ("top1", "top5", "verified", "original_rank", "original_verified")
    }
    assert mean["top1"][:2] == [100, 0]
    assert mean["top5"][0] == mean["top5"][2] == 100
    assert mean["top5"][1] < 20  # four more places among 119
    assert mean["verified"] == [100, 0, 100]
    assert mean["original_rank"][1:] == [0, 0]
    assert 40 < mean["original_rank"][0] < 60  # chance
    assert mean["original_verified"] == [0, 100, 100]


def test_the_gallery_holds_those_who_were_changed_and_the_share_is_by_case(
    strangers: tuple[np.ndarray, np.ndarray],
) -> None:
    asked, replaced = strangers
    swapped = asked.copy()
    swapped[:15] = replaced[1:16]  # looks like somebody else's attribute picture
    found = late(planted(swapped, asked, replaced))
    np.testing.assert_array_equal(found["top1"], [0] * 15 + [100] * 45)
    # Who was replaced elsewhere but is asked for here may be found in either picture.
    shared = planted(swapped, asked, replaced, identities=[f"b{at + 1}" if at < 15 else f"a{at}" for at in range(60)])
    assert late(shared)["top1"].tolist() == [100] * 60


def test_failures_are_worst_and_unknown_faces_are_left_out(strangers: tuple[np.ndarray, np.ndarray]) -> None:
    asked, replaced = (part.copy() for part in strangers)
    swapped = asked.copy()
    swapped[0] = np.nan
    asked[1] = np.nan
    found = late(planted(swapped, asked, replaced, people=["b0", "b1", "a2", *(f"b{at}" for at in range(3, 60))]))
    for name, column in found.items():
        assert column[0] == find_metric(LATE_METRICS, f"{name}_second").worst
        assert np.isnan(column[1])
        assert np.isfinite(column[3:]).all()
        assert np.isnan(column[2]) == (name != "verified")  # one person in both pictures


def test_one_picture_under_many_names_is_one_person(strangers: tuple[np.ndarray, np.ndarray]) -> None:
    _, replaced = strangers
    asked = np.repeat(strangers[0][:1], 60, axis=0)
    found = late(planted(asked, asked, replaced))
    assert found["top1"].tolist() == [100] * 60
    assert threshold(planted(asked, asked, replaced), "second").pairs == 60
    nameless = planted(asked, asked, replaced, identities=[""] * 60, people=[""] * 60)
    assert late(nameless)["top1"].tolist() == [100] * 60


@pytest.mark.parametrize("rate", [1e-3, 0.01, 0.2])
def test_no_more_strangers_than_the_rate_are_accepted(rate: float, strangers: tuple[np.ndarray, np.ndarray]) -> None:
    asked, replaced = strangers
    replaced = replaced.copy()
    replaced[7] = asked[3]  # the same person: no pair of strangers, though the most alike of all
    people = [f"b{at}" if at != 7 else "a3" for at in range(60)]
    found = threshold(planted(asked, asked, replaced, people=people), "second", rate)
    cosines = np.sort(np.delete((asked.astype(float) @ replaced.T.astype(float)).ravel(), 3 * 60 + 7))
    assert found.pairs == 3599
    allowed = int(rate * 3599)
    assert (cosines > found.cosine + 1e-9).sum() == allowed
    assert found.cosine == pytest.approx(cosines[-1 - allowed])
    assert found.cosine < 0.9


def test_a_set_of_one_person_has_no_threshold() -> None:
    one = np.eye(4, dtype=np.float32)[:2]
    scores = planted(one, one, one, identities=["p", "p"], people=["p", "p"])
    assert threshold(scores, "second").pairs == 0
    assert np.isnan(late(scores)["verified"]).all()


def test_a_set_without_answers_is_all_worst(strangers: tuple[np.ndarray, np.ndarray]) -> None:
    asked, replaced = strangers
    scores = planted(asked, asked, replaced)
    without = {name: rows for name, rows in scores.features.items() if not name.startswith("swapped")}
    for name, column in late(dataclasses.replace(scores, features=without)).items():
        assert set(column) == {find_metric(LATE_METRICS, f"{name}_second").worst}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    first, second = np.array(pairs, float).T
    found = spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(float(stats.spearmanr(first, second).statistic))


def test_judges_that_order_alike_are_told_from_those_that_do_not() -> None:
    rng = np.random.default_rng(0)

    def scored(level: float, sign: float) -> Scores:
        noise = rng.normal(size=40) / 10
        nothing = np.zeros((40, 1), np.float32)
        values = {"identity_cosine_dlib": level + noise, "identity_cosine_second": (level + sign * noise) ** 3}
        values["identity_cosine_second"][:4] = np.nan
        return dataclasses.replace(planted(nothing, nothing, nothing), values=values)

    alike = agreement({str(at): scored(at, 1) for at in range(4)})
    assert (alike.methods, alike.cases) == (pytest.approx(1), pytest.approx(1))
    against = agreement({str(at): scored(at, -1) for at in range(4)})
    assert (against.methods, against.cases) == (pytest.approx(1), pytest.approx(-1))
    assert np.isnan(agreement({"one": scored(1, 1)}).methods)
    assert np.isnan(agreement({}).cases)


def test_every_judge_has_every_metric() -> None:
    names = [metric.name for metric in (*METRICS, *LATE_METRICS)]
    assert len(set(names)) == len(names) == 9 * len(JUDGES)
    assert all(len(metric.about) < 90 for metric in (*METRICS, *LATE_METRICS))
