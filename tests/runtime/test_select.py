"""Who is swapped: rules, steadiness over frames, state, and what the command line gives."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError, MissingPartError, NoFaceError
from facegraft.core.types import Faces, no_faces
from facegraft.faces.mapping import MappedPerson, write_mapping
from facegraft.runtime.select import (
    OVERTAKE_FRAMES,
    STAY_FRAMES,
    Everybody,
    Largest,
    Numbered,
    People,
    Selector,
    Wanted,
    embed_person,
    map_rule,
    which_rule,
)

FRAME = np.zeros((400, 400, 3), np.uint8)
GRID = np.stack(np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5)), -1).reshape(-1, 2)


def like(cosine: float, person: int = 0) -> np.ndarray:
    """A unit vector with this cosine to a person's axis, and 0 to the others'."""
    vector = np.zeros(8, np.float32)
    vector[person], vector[7] = cosine, np.sqrt(1 - cosine**2)
    return vector


ANNA, BEN, CARA = like(1, 0), like(1, 1), like(1, 2)


def faces(*rows: tuple[int, float, np.ndarray | None], yaw: float = 0.0) -> Faces:
    """Number, size and embedding of each."""
    if not rows:
        return no_faces(len(GRID))
    dense = np.stack([np.column_stack([GRID * size, np.zeros(len(GRID))]) for _, size, _ in rows]).astype(np.float32)
    known = [embedding for _, _, embedding in rows if embedding is not None]
    return Faces(
        numbers=np.array([number for number, _, _ in rows], np.int64),
        boxes_xyxy=np.concatenate([dense[:, :, :2].min(1), dense[:, :, :2].max(1)], axis=1),
        scores=np.ones(len(rows), np.float32),
        points5=np.zeros((len(rows), 5, 2), np.float32),
        dense=dense,
        pose_degrees=np.tile(np.array([yaw, 0, 0], np.float32), (len(rows), 1)),
        embeddings=np.stack(known) if known else None,
    )


class Answers:
    """A recogniser that knows each track's vector; counts the faces it is asked about."""

    def __init__(self, known: dict[int, np.ndarray]) -> None:
        self.known, self.asked = known, 0

    def embed(self, frame: np.ndarray, faces: Faces) -> Faces:
        self.asked += len(faces)
        return faces.with_embeddings(np.stack([self.known[int(number)] for number in faces.numbers]))


def people(*entries: tuple[np.ndarray, str | None]) -> People:
    return People(tuple(Wanted(f"person {row}", vector, key) for row, (vector, key) in enumerate(entries)))


# --- rules without a recogniser -----------------------------------------------------------------------------


def test_everybody() -> None:
    assert Selector(Everybody("x")).choose(FRAME, faces((4, 50, None), (2, 90, None))) == {0: "x", 1: "x"}
    assert Selector(Everybody("x")).choose(FRAME, faces()) == {}


def test_number_is_the_tracks_not_the_row() -> None:
    selector = Selector(Numbered(2, "x"))
    assert selector.choose(FRAME, faces((4, 50, None), (2, 90, None))) == {1: "x"}
    assert selector.choose(FRAME, faces((4, 50, None))) == {}


def test_largest_in_a_picture() -> None:
    assert Selector(Largest("x")).choose(FRAME, faces((0, 50, None), (1, 90, None), (2, 60, None))) == {1: "x"}
    assert Selector(Largest("x")).choose(FRAME, faces()) == {}


def test_who_stands_half_outside_is_not_the_largest() -> None:
    two = faces((0, 100, None), (1, 70, None))
    two.boxes_xyxy[0, [0, 2]] += FRAME.shape[1] - 45  # most of the larger one lies beyond the right edge
    assert Selector(Largest("x")).choose(FRAME, two) == {1: "x"}


def test_largest_does_not_flicker_between_two_of_like_size() -> None:
    selector = Selector(Largest("x"))
    rng = np.random.default_rng(0)
    chosen = [selector.choose(FRAME, faces((0, 100, None), (1, 99 + rng.normal(0, 8), None))) for _ in range(200)]
    assert {tuple(choice) for choice in chosen} == {tuple(chosen[0])}


def test_largest_moves_on_when_another_is_clearly_larger_for_long() -> None:
    selector = Selector(Largest("x"))
    selector.choose(FRAME, faces((0, 100, None), (1, 50, None)))
    chosen = [selector.choose(FRAME, faces((0, 100, None), (1, 180, None))) for _ in range(OVERTAKE_FRAMES + 5)]
    assert chosen == [{0: "x"}] * (OVERTAKE_FRAMES - 1) + [{1: "x"}] * 6


def test_largest_waits_for_a_short_absence() -> None:
    selector = Selector(Largest("x"))
    selector.choose(FRAME, faces((0, 100, None), (1, 50, None)))
    away = [selector.choose(FRAME, faces((1, 50, None))) for _ in range(STAY_FRAMES)]
    assert away == [{}] * STAY_FRAMES
    assert selector.choose(FRAME, faces((0, 100, None), (1, 50, None))) == {0: "x"}
    for _ in range(STAY_FRAMES + 1):
        last = selector.choose(FRAME, faces((1, 50, None)))
    assert last == {0: "x"}


# --- people -------------------------------------------------------------------------------------------------


def test_known_people_get_their_identities_and_others_stay() -> None:
    selector = Selector(people((ANNA, "a"), (BEN, "b"), (CARA, None)))
    found = faces((0, 90, like(0.95, 1)), (1, 80, like(0.95, 0)), (2, 70, like(0.5, 0)), (3, 60, like(0.99, 2)))
    assert selector.choose(FRAME, found) == {0: "b", 1: "a"}


def test_somebody_to_be_left_alone_is_not_taken_for_a_lookalike() -> None:
    sister = (0.93 * ANNA + np.sqrt(1 - 0.93**2) * like(1, 3)).astype(np.float32)
    assert Selector(people((ANNA, "a"))).choose(FRAME, faces((0, 90, sister))) == {0: "a"}
    assert Selector(people((ANNA, "a"), (sister, None))).choose(FRAME, faces((0, 90, sister))) == {}


def test_nobody_is_in_a_frame_twice() -> None:
    selector = Selector(people((ANNA, "a")))
    assert selector.choose(FRAME, faces((0, 90, like(0.93)), (1, 80, like(0.97)))) == {1: "a"}


def test_a_match_stays_while_the_likeness_wavers() -> None:
    selector = Selector(people((ANNA, "a")))
    assert selector.choose(FRAME, faces((0, 90, like(0.93)))) == {0: "a"}
    wavering = itertools.cycle([0.9, 0.885, 0.92, 0.89])
    assert all(selector.choose(FRAME, faces((0, 90, like(next(wavering))))) == {0: "a"} for _ in range(300))


def test_a_wrong_match_is_dropped_once_a_clearer_view_says_so() -> None:
    selector = Selector(people((ANNA, "a")))
    assert selector.choose(FRAME, faces((0, 40, like(0.92)), yaw=50)) == {0: "a"}
    assert selector.choose(FRAME, faces((0, 150, like(0.6)))) == {}


def test_an_unclear_stranger_is_recognised_in_a_clearer_view() -> None:
    selector = Selector(people((ANNA, "a")))
    assert selector.choose(FRAME, faces((0, 40, like(0.87)), yaw=50)) == {}
    assert selector.choose(FRAME, faces((0, 150, like(0.95)))) == {0: "a"}


def test_another_person_takes_over_only_if_clearly_more_alike() -> None:
    def both(a: float, b: float) -> np.ndarray:
        vector = np.zeros(8, np.float32)
        vector[0], vector[1], vector[7] = a, b, np.sqrt(max(0.0, 1 - a * a - b * b))
        return vector

    twin = both(0.9, 0.43)
    rule = people((ANNA, "a"), (twin / np.linalg.norm(twin), "b"))
    selector = Selector(rule)
    assert selector.choose(FRAME, faces((0, 40, both(0.98, 0.15)), yaw=40)) == {0: "a"}
    assert selector.choose(FRAME, faces((0, 80, both(0.965, 0.23)))) == {0: "a"}  # b by a hair
    assert selector.choose(FRAME, faces((0, 160, both(0.9, 0.43)))) == {0: "b"}


def test_recogniser_is_asked_when_a_track_is_born_or_seen_more_clearly() -> None:
    answers = Answers({0: like(0.95), 1: like(0.2)})
    selector = Selector(people((ANNA, "a")), answers)
    for _ in range(100):
        assert selector.choose(FRAME, faces((0, 90, None), (1, 80, None))) == {0: "a"}
    assert answers.asked == 2
    selector.choose(FRAME, faces((0, 150, None), (1, 80, None)))
    assert answers.asked == 3


def test_without_recogniser_the_message_says_what_to_run() -> None:
    with pytest.raises(MissingPartError, match="facegraft models fetch --recogniser"):
        Selector(people((ANNA, "a"))).choose(FRAME, faces((0, 90, None)))


def test_mapping_of_another_recogniser_is_refused() -> None:
    with pytest.raises(BadInputError, match="embeddings of 3 numbers"):
        Selector(people((np.ones(3, np.float32), "a"))).choose(FRAME, faces((0, 90, ANNA)))


# --- state ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from(["people", "largest"]), st.integers(0, 39))
def test_continuing_from_state_chooses_the_same(seed: int, kind: str, stop: int) -> None:
    rng = np.random.default_rng(seed)
    rule = Largest("x") if kind == "largest" else people((ANNA, "a"), (BEN, "b"))

    def some_frame() -> Faces:
        numbers = rng.permutation(4)[: rng.integers(0, 4)]
        return faces(*((int(n), float(rng.uniform(40, 160)), like(float(rng.uniform(0.8, 1)), n % 2)) for n in numbers))

    frames = [some_frame() for _ in range(40)]
    unbroken, first, second = Selector(rule), Selector(rule), Selector(rule)
    wanted = [unbroken.choose(FRAME, found) for found in frames]
    for found in frames[:stop]:
        first.choose(FRAME, found)
    second.restore(json.loads(json.dumps(first.state())))
    assert [second.choose(FRAME, found) for found in frames[stop:]] == wanted[stop:]
    assert second.state() == unbroken.state()


# --- from the command line ------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(b"x")
        return path

    return make


def embed(path: Path) -> np.ndarray:
    return {"anna": ANNA, "ben": BEN}.get(path.stem, CARA)


def test_which() -> None:
    assert which_rule("all", "k", None) == Everybody("k")
    assert which_rule("largest", "k", None) == Largest("k")
    assert which_rule("3", "k", None) == Numbered(3, "k")


def test_which_reference_picture(files: Callable[[str], Path]) -> None:
    rule = which_rule(str(files("anna.jpg")), "k", embed)
    assert isinstance(rule, People)
    assert [(wanted.name, wanted.key) for wanted in rule.people] == [("anna", "k")]
    with pytest.raises(MissingPartError, match="facegraft models fetch --recogniser"):
        which_rule(str(files("anna.jpg")), "k", None)


@pytest.mark.parametrize("which", ["everyone", "-1", "no such.jpg", "", "²"])
def test_which_nonsense(which: str) -> None:
    with pytest.raises(BadInputError, match="expected all, largest, a face's number, or a picture"):
        which_rule(which, "k", embed)


def test_map_pairs(files: Callable[[str], Path]) -> None:
    one, two = files("one.jpg"), files("two.jpg")
    rule, identities = map_rule([f"{files('anna.jpg')}={one}", f"{files('ben.jpg')}={two}"], embed)
    assert [(wanted.name, wanted.key) for wanted in rule.people] == [("anna", str(one)), ("ben", str(two))]
    assert identities == {str(one): one, str(two): two}
    selector = Selector(rule)
    assert selector.choose(FRAME, faces((0, 90, BEN), (1, 80, ANNA))) == {0: str(two), 1: str(one)}


def test_map_names_with_equals_signs(files: Callable[[str], Path]) -> None:
    odd, one = files("an=na.jpg"), files("o=ne.jpg")
    _, identities = map_rule([f"{odd}={one}"], embed)
    assert list(identities.values()) == [one]


@pytest.mark.parametrize("entry", ["a.jpg", "=b.jpg", "a.jpg=", "=", ""])
def test_map_nonsense(entry: str) -> None:
    with pytest.raises(BadInputError, match=r"expected person.jpg=identity.jpg"):
        map_rule([entry], embed)


def test_map_missing_files(files: Callable[[str], Path]) -> None:
    with pytest.raises(BadInputError, match=r"no file .*gone.jpg"):
        map_rule([f"{files('anna.jpg')}=gone.jpg"], embed)
    with pytest.raises(BadInputError, match=r"people.toml: cannot be opened"):
        map_rule(["people.toml"], embed)
    with pytest.raises(MissingPartError, match="--map needs the recogniser"):
        map_rule(["people.toml"], None)


def test_map_file(tmp_path: Path, files: Callable[[str], Path]) -> None:
    identity = files("eva.jpg")
    people_file = tmp_path / "people.toml"
    entries: list[Any] = [MappedPerson("Anna", ANNA, identity), MappedPerson("Ben", BEN)]
    write_mapping(people_file, entries, Path("clip.mp4"))
    rule, identities = map_rule([str(people_file)], embed)
    assert identities == {str(identity): identity}
    assert [(wanted.name, wanted.key) for wanted in rule.people] == [("Anna", str(identity)), ("Ben", None)]
    write_mapping(people_file, entries[1:], Path("clip.mp4"))
    with pytest.raises(BadInputError, match="nobody has an identity"):
        map_rule([str(people_file)], embed)


class OneFace:
    """An analyser that finds what it is told to find."""

    def __init__(self, found: Faces) -> None:
        self.found = found

    def analyse(self, frame: np.ndarray, *, thorough: bool = True) -> Faces:
        return self.found

    def refine(self, frame: np.ndarray, dense: np.ndarray) -> Faces:
        return self.found


def test_person_of_a_picture_is_its_largest_face() -> None:
    answers = Answers({0: ANNA, 1: BEN})
    found = embed_person(FRAME, Path("p.jpg"), OneFace(faces((0, 90, None), (1, 40, None))), answers)
    assert np.array_equal(found, ANNA)
    assert answers.asked == 1
    with pytest.raises(NoFaceError, match=r"p.jpg: no face found"):
        embed_person(FRAME, Path("p.jpg"), OneFace(faces()), answers)
