"""Tracking against drawn truth: a scene says where each face is, and the tracker must find out who is who."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.types import Faces, no_faces
from facegraft.faces.match import assign, is_cut, thumbnail
from facegraft.faces.smooth import face_size, smooth
from facegraft.faces.topology import five_points, head_pose, load_topology
from facegraft.faces.track import Tracker, TrackSettings

TOPOLOGY = load_topology()
FPS = 25.0


def mean_face(x: float, y: float, size: float, *, turn: float = 0.0, build: float = 0.0) -> np.ndarray:
    """The mean face at a place; `turn` is yaw in radians; `build` makes another person's proportions."""
    shape = TOPOLOGY.xyz.astype(np.float64) * [1 + build, 1 - build, 1]
    cos, sin = np.cos(turn), np.sin(turn)
    shape = shape @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    shape = shape / face_size(shape * 1e3) * 1e3 * size
    shape -= shape.mean(axis=0)
    return (shape + np.array([x, y, 0.0])).astype(np.float32)


@dataclass(frozen=True)
class Actor:
    """One face of a scene: where it is at each frame (None: away), how near to the camera, who it is."""

    path: Callable[[int], np.ndarray | None]
    depth: float = 0.0
    person: int = 0


@dataclass
class Stage:
    """The protocol input of the tests: an analyser that finds the actors, noisily, in the frame whose number it reads.

    It hides a face behind a nearer one, and slides onto the nearer one there, as a real mesh network does.
    """

    actors: list[Actor]
    noise: float = 0.0
    score: float = 0.95
    presence: float = 1.0
    loose: float = 0.0
    """Which share of the way from where they are sought points stay on: 0 where they are found anew."""
    looks: list[tuple[int, bool]] = field(default_factory=list)

    def frame(self, number: int, *, scene: int = 0) -> np.ndarray:
        rng = np.random.default_rng(scene)
        picture = np.repeat(np.repeat(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8), 16, axis=0), 16, axis=1)
        picture[0, 0] = (number // 256, number % 256, 0)
        return picture

    def truth(self, number: int) -> list[tuple[Actor, np.ndarray]]:
        places = [(actor, actor.path(number)) for actor in self.actors]
        return [(actor, dense) for actor, dense in places if dense is not None]

    def visible(self, number: int) -> list[tuple[Actor, np.ndarray]]:
        seen: list[tuple[Actor, np.ndarray]] = []
        for actor, dense in sorted(self.truth(number), key=lambda item: -item[0].depth):
            if all(np.linalg.norm((dense - other).mean(0)[:2]) > 0.5 * face_size(other) for _, other in seen):
                seen.append((actor, dense))
        return seen

    def shaken(self, number: int, actor: Actor, dense: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([number, self.actors.index(actor)])
        spread = self.noise * face_size(dense)
        return (dense + rng.normal(0, spread, dense.shape) + rng.normal(0, spread / 2, 3)).astype(np.float32)

    def analyse(self, frame: np.ndarray, *, thorough: bool = True) -> Faces:
        number = int(frame[0, 0, 0]) * 256 + int(frame[0, 0, 1])
        self.looks.append((number, thorough))
        found = [self.shaken(number, actor, dense) for actor, dense in self.visible(number)]
        return as_faces(sorted(found, key=face_size, reverse=True), [self.score] * len(found))

    def refine(self, frame: np.ndarray, dense: np.ndarray) -> Faces:
        number = int(frame[0, 0, 0]) * 256 + int(frame[0, 0, 1])
        points, scores = [], []
        for guess in dense:
            near = [
                (float(np.linalg.norm((guess - place).mean(0)[:2])), self.shaken(number, actor, place))
                for actor, place in self.visible(number)
            ]
            near = [item for item in near if item[0] < 0.6 * face_size(guess)]
            at = min(near, key=lambda item: item[0])[1] if near else guess
            points.append(at + self.loose * (guess - at))
            scores.append(self.presence if near else 0.1)
        return as_faces(points, scores)


class Eyes:
    """A recogniser that knows whose face is where, from the stage; unit vectors, a little unsure."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.calls = stage, 0

    def embed(self, frame: np.ndarray, faces: Faces) -> Faces:
        self.calls += 1
        number = int(frame[0, 0, 0]) * 256 + int(frame[0, 0, 1])
        rows = []
        for dense in faces.dense:
            seen = self.stage.visible(number)
            actor = min(seen, key=lambda item: float(np.linalg.norm((item[1] - dense).mean(0)[:2])))[0]
            vector = np.eye(8)[actor.person] + np.random.default_rng([number, actor.person]).normal(0, 0.03, 8)
            rows.append(vector / np.linalg.norm(vector))
        return faces.with_embeddings(np.array(rows, np.float32).reshape(-1, 8))


def as_faces(points: list[np.ndarray], scores: Iterable[float]) -> Faces:
    if not points:
        return no_faces(len(TOPOLOGY.xyz))
    dense = np.stack(points).astype(np.float32)
    return Faces(
        numbers=np.arange(len(dense), dtype=np.int64),
        boxes_xyxy=np.concatenate([dense[:, :, :2].min(1), dense[:, :, :2].max(1)], axis=1),
        scores=np.array(list(scores), np.float32),
        points5=np.stack([five_points(TOPOLOGY, face) for face in dense]),
        dense=dense,
        pose_degrees=np.stack([head_pose(TOPOLOGY, face) for face in dense]),
    )


def run(stage: Stage, tracker: Tracker, frames: Iterable[int]) -> list[dict[int, int]]:
    """Per frame: the tracker's number of each actor that has one."""
    result = []
    for number in frames:
        faces = tracker.update(stage.frame(number), number / FPS)
        ids = {}
        for actor, dense in stage.visible(number):
            gaps = np.linalg.norm((faces.dense - dense).mean(1)[:, :2], axis=1)
            if len(gaps) and gaps.min() < 0.3 * face_size(dense):
                ids[stage.actors.index(actor)] = int(faces.numbers[gaps.argmin()])
        result.append(ids)
    return result


def still(x: float, y: float, size: float = 100.0) -> Callable[[int], np.ndarray | None]:
    return lambda _number: mean_face(x, y, size)


# --- smoothing --------------------------------------------------------------------------------------------


def smoothed(path: list[np.ndarray], fps: float = FPS) -> np.ndarray:
    return np.array(list(itertools.accumulate(path, lambda last, new: smooth(last, new, 1 / fps))))


@pytest.mark.parametrize(("noise", "left"), [(0.001, 0.2), (0.002, 0.4)])
def test_still_noisy_face_trembles_less_than_half(noise: float, left: float) -> None:
    """The mesh network's own noise is about 0.1 % of the face on the clips we have."""
    rng = np.random.default_rng(0)
    face = mean_face(300, 200, 150)
    noisy = np.array([face + rng.normal(0, noise * 150, face.shape) for _ in range(150)], np.float32)
    steady = smoothed(list(noisy))
    jitter = np.diff(noisy, axis=0)[20:].std()
    assert np.diff(steady, axis=0)[20:].std() < left * jitter
    assert np.abs(steady[20:] - face).mean() < 0.6 * np.abs(noisy[20:] - face).mean()


@pytest.mark.parametrize("widths_per_s", [0.02, 0.1, 0.3, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("fps", [12.5, 25.0, 60.0])
def test_lag_stays_under_half_a_percent_at_any_speed(widths_per_s: float, fps: float) -> None:
    path = [mean_face(100 + 200 * widths_per_s * n / fps, 200, 200) for n in range(-10, 60)]
    path = [path[10]] * 10 + path[10:]  # starts at once
    gaps = np.linalg.norm((smoothed(path, fps) - np.array(path))[:, :, :2], axis=2)
    assert gaps.max() < 0.005 * 200


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.0, 0.3),
    st.floats(0.8, 1.25),
    st.floats(-0.4, 0.4),
    st.floats(0.0, 0.03),
    st.sampled_from([0.005, 0.02, 0.04, 0.5]),
)
def test_lag_bound_holds_for_any_jump(
    seed: int, shift: float, scale: float, turn: float, own: float, elapsed: float
) -> None:
    rng = np.random.default_rng(seed)
    last = mean_face(200, 200, 120)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    new = last.copy()
    new[:, :2] = (last[:, :2] - 200) @ rotation.T * scale + 200 + shift * 120 * rng.normal(0, 1, 2)
    new += rng.normal(0, own * 120, new.shape)
    new = new.astype(np.float32)
    gaps = np.linalg.norm((smooth(last, new, elapsed) - new)[:, :2], axis=1)
    assert gaps.max() <= 0.0048 * face_size(new)


def test_a_blink_is_not_smoothed_away() -> None:
    face = mean_face(300, 200, 200)
    closed = face.copy()
    closed[[159, 145], 1] = face[[159, 145], 1].mean()
    result = smoothed([face] * 10 + [closed] * 3 + [face] * 3)
    assert np.abs(result[10] - closed).max() < 0.005 * 200
    assert np.abs(result[13] - face).max() < 0.005 * 200


def test_smoothing_knows_no_place_or_size() -> None:
    rng = np.random.default_rng(1)
    last = mean_face(100, 80, 90)
    new = (last + rng.normal(0, 0.5, last.shape) + [1.5, 0, 0]).astype(np.float32)
    plain = smooth(last, new, 0.04)
    moved = smooth(last * np.float32(3) + np.float32(50), new * np.float32(3) + np.float32(50), 0.04)
    np.testing.assert_allclose(moved, plain * 3 + 50, atol=2e-2)


# --- ids --------------------------------------------------------------------------------------------------


def test_numbers_count_up_as_people_appear_and_are_sorted_by_size() -> None:
    stage = Stage([Actor(still(60, 70, 60)), Actor(lambda n: mean_face(190, 70, 90) if n >= 20 else None)])
    tracker = Tracker(stage)
    ids = run(stage, tracker, range(60))
    assert ids[0] == {0: 0}
    assert ids[-1] == {0: 0, 1: 1}
    assert tracker.update(stage.frame(60), 60 / FPS).numbers.tolist() == [1, 0]
    assert {len(frame) for frame in ids[20 + TrackSettings().look_every :]} == {2}


def test_full_looks_are_rare_while_all_is_well() -> None:
    stage = Stage([Actor(still(120, 70))], noise=0.002)
    run(stage, Tracker(stage), range(100))
    assert len(stage.looks) == 10
    assert [look for look in stage.looks if look[1]] == [(0, True)]


def test_fast_motion_keeps_the_id() -> None:
    def path(number: int) -> np.ndarray:
        return mean_face(600 + 450 * np.sin(number / 9), 300 + 150 * np.cos(number / 7), 120)  # up to 0.5 faces a frame

    stage = Stage([Actor(path)], noise=0.003)
    assert run(stage, Tracker(stage), range(200)) == [{0: 0}] * 200


def test_a_face_that_leaves_and_returns_keeps_its_id() -> None:
    def path(number: int) -> np.ndarray | None:
        return None if 30 <= number < 70 else mean_face(120, 70, 80)

    stage = Stage([Actor(path)])
    ids = run(stage, Tracker(stage), range(120))
    assert ids[:30] == [{0: 0}] * 30
    assert ids[70:] == [{0: 0}] * 50  # from the first frame on


def test_a_face_that_returns_much_later_is_new_without_a_recogniser_and_known_with_one() -> None:
    def path(number: int) -> np.ndarray | None:
        return None if 30 <= number < 230 else mean_face(60 if number < 100 else 190, 70, 80)

    stage = Stage([Actor(path)])
    assert run(stage, Tracker(stage), range(240))[-1] == {0: 1}
    assert run(stage, Tracker(stage, Eyes(stage)), range(240))[-1] == {0: 0}


def test_somebody_else_in_the_same_place_is_new_to_a_recogniser() -> None:
    stage = Stage(
        [
            Actor(lambda n: mean_face(120, 70, 80) if n < 30 else None, person=0),
            Actor(lambda n: mean_face(120, 70, 80) if n >= 40 else None, person=1),
        ]
    )
    assert run(stage, Tracker(stage, Eyes(stage)), range(60))[-1] == {1: 1}


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("speed", [3.0, 9.0])
@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_crossing_faces_do_not_swap_ids(speed: float, offset: float, *, known: bool) -> None:
    def to_the_right(number: int) -> np.ndarray:
        return mean_face(200 + speed * number, 150, 100)

    def to_the_left(number: int) -> np.ndarray:
        return mean_face(600 - speed * number, 150 + offset, 92, build=0.04)

    stage = Stage([Actor(to_the_right, depth=1, person=0), Actor(to_the_left, depth=0, person=1)], noise=0.002)
    tracker = Tracker(stage, Eyes(stage) if known else None)
    ids = run(stage, tracker, range(int(400 / speed)))
    assert ids[0] == {0: 0, 1: 1}
    assert ids[-1] == {0: 0, 1: 1}
    assert all(frame.get(0, 0) == 0 and frame.get(1, 1) == 1 for frame in ids)


def test_a_cut_to_another_person_in_the_same_place_is_a_new_track() -> None:
    stage = Stage(
        [Actor(lambda n: mean_face(120, 70, 80) if n < 20 else None), Actor(lambda n: mean_face(190, 75, 95))]
    )
    stage.actors[1] = Actor(lambda n: mean_face(128, 74, 95, build=0.05) if n >= 20 else None)
    tracker = Tracker(stage)
    numbers = [
        tracker.update(stage.frame(number, scene=int(number >= 20)), number / FPS).numbers.tolist()
        for number in range(40)
    ]
    assert numbers[19] == [0]
    assert numbers[20:] == [[1]] * 20


def test_a_flash_keeps_the_id() -> None:
    stage = Stage([Actor(still(120, 70))])
    tracker = Tracker(stage)
    for number in range(30):
        frame = stage.frame(number)
        if number == 15:
            frame[1:] = np.minimum(frame[1:] * 0.3 + 175, 255).astype(np.uint8)
        assert tracker.update(frame, number / FPS).numbers.tolist() == [0]


def test_doubtful_faces_must_prove_themselves_first() -> None:
    flicker = Stage([Actor(lambda n: mean_face(120, 70, 80) if n in (5, 6, 12) else None)], score=0.6, presence=0.95)
    assert all(not ids for ids in run(flicker, Tracker(flicker), range(20)))
    real = Stage([Actor(still(120, 70))], score=0.6, presence=0.95)
    ids = run(real, Tracker(real), range(10))
    assert ids[3:] == [{0: 0}] * 7


@pytest.mark.parametrize(
    ("presence", "loose", "first"), [(0.99, 0.0, 0), (0.99, 0.4, 0), (0.99, 0.6, 3), (0.97, 0.0, 3)]
)
def test_a_steady_face_counts_in_its_first_frame(presence: float, loose: float, first: int) -> None:
    """Shakes move points by .12 of the face's size and a seventh of its spread; .06 of the size may be left of that."""
    stage = Stage([Actor(still(120, 70))], score=0.6, presence=presence, loose=loose)
    ids = run(stage, Tracker(stage), range(5))
    assert ids == [{}] * first + [{0: 0}] * (5 - first)


def test_a_track_on_the_wrong_face_is_noticed() -> None:
    """Two faces change places behind the tracker's back; only their embeddings tell."""
    stage = Stage([Actor(still(120, 70), person=0)])
    tracker = Tracker(stage, Eyes(stage))
    run(stage, tracker, range(40))
    stage.actors[0] = Actor(still(120, 70), person=1)
    assert run(stage, tracker, range(40, 100))[-1] == {0: 1}
    stage.actors[0] = Actor(still(120, 70), person=0)
    assert run(stage, tracker, range(100, 160))[-1] == {0: 0}


def test_turned_heads_are_tried_only_when_a_face_is_missing() -> None:
    stage = Stage([Actor(lambda n: mean_face(120, 70, 80) if n < 50 else None)])
    run(stage, Tracker(stage), range(60))
    thorough = [number for number, look in stage.looks if look]
    assert thorough == [0, 50]


# --- state ------------------------------------------------------------------------------------------------


def crowded() -> Stage:
    def leaving(number: int) -> np.ndarray | None:
        return None if 40 <= number < 60 else mean_face(500, 250 + number, 70)

    return Stage(
        [
            Actor(lambda n: mean_face(100 + 6 * n, 150, 100), 1, 0),
            Actor(lambda n: mean_face(700 - 6 * n, 150, 92, build=0.04), 0, 1),
            Actor(leaving, 0, 2),
        ],
        noise=0.003,
    )


@pytest.mark.parametrize("known", [False, True])
def test_continuing_from_state_is_bit_equal(*, known: bool) -> None:
    def make() -> tuple[Stage, Tracker]:
        stage = crowded()
        return stage, Tracker(stage, Eyes(stage) if known else None)

    stage, unbroken = make()
    _, broken = make()
    for number in range(80):
        if number in (1, 25, 26, 35, 42, 50, 61):
            stored = json.dumps(broken.state())
            _, broken = make()
            broken.restore(json.loads(stored))
        frame = stage.frame(number)
        right, found = unbroken.update(frame, number / FPS), broken.update(frame, number / FPS)
        for name in ("numbers", "boxes_xyxy", "scores", "points5", "dense", "pose_degrees", "embeddings"):
            assert np.array_equal(getattr(found, name), getattr(right, name)), (number, name)
    assert json.dumps(broken.state()) == json.dumps(unbroken.state())


def test_a_trial_goes_on_from_state() -> None:
    stage = Stage([Actor(still(120, 70))], score=0.6, presence=0.95)
    tracker = Tracker(stage)
    run(stage, tracker, range(2))
    other = Tracker(stage)
    other.restore(json.loads(json.dumps(tracker.state())))
    assert run(stage, other, range(2, 5)) == [{}, {0: 0}, {0: 0}]


def test_state_of_another_version_is_refused() -> None:
    tracker = Tracker(Stage([]))
    with pytest.raises(BadInputError, match="version 99, expected 1"):
        tracker.restore({**tracker.state(), "version": 99})


def test_memory_is_bounded() -> None:
    stage = Stage([Actor(lambda n: mean_face(120, 70, 80) if n % 20 < 10 else None, person=0)])
    tracker = Tracker(stage, settings=TrackSettings(forget_after_s=0.1))
    run(stage, tracker, range(200))
    assert len(json.dumps(tracker.state())) < 30_000


# --- pieces -----------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_assign_is_optimal(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 6, (rows, columns)).astype(float)
    costs[rng.random(costs.shape) < 0.3] = np.inf
    sums: dict[int, float] = {0: 0.0}
    for count in range(1, min(rows, columns) + 1):
        for chosen in itertools.combinations(range(rows), count):
            for places in itertools.permutations(range(columns), count):
                total = float(costs[list(chosen), list(places)].sum())
                if np.isfinite(total):
                    sums[count] = min(total, sums.get(count, np.inf))
    pairs = assign(costs)
    assert len(pairs) == max(sums)
    assert sum(costs[row, column] for row, column in pairs) == sums[len(pairs)]
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)


def test_cut_is_not_a_pan_or_a_flash() -> None:
    scene = np.kron(np.random.default_rng(0).integers(0, 256, (9, 40, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    other = np.kron(np.random.default_rng(1).integers(0, 256, (9, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    here, panned = thumbnail(scene[:, :320]), thumbnail(np.ascontiguousarray(scene[:, 4:324]))
    brighter = thumbnail(np.minimum(scene[:, :320] * 0.4 + 150, 255).astype(np.uint8))
    assert is_cut(here, thumbnail(other))
    assert not is_cut(here, panned)
    assert not is_cut(here, brighter)


# --- real clips -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips() -> Path:
    if not os.environ.get("FACEGRAFT_DATA"):
        pytest.skip("needs FACEGRAFT_DATA, a folder with video/")
    return Path(os.environ["FACEGRAFT_DATA"]) / "video"


def tracks_of(path: Path, frames: int, *, known: bool) -> list[list[int]]:
    from facegraft.faces.analyse import Analyser
    from facegraft.faces.embed import Recogniser

    try:
        tracker = Tracker(Analyser(), Recogniser() if known else None)
    except MissingPartError as error:
        pytest.skip(str(error))
    with av.open(str(path)) as clip:
        taken = itertools.islice(clip.decode(video=0), frames)
        return [tracker.update(f.to_ndarray(format="rgb24"), float(f.time or 0)).numbers.tolist() for f in taken]


def test_one_person_leaves(clips: Path) -> None:
    numbers = tracks_of(clips / "pyfeat_face_noface_MIT.mov", 110, known=False)
    assert numbers[:72] == [[0]] * 72
    assert numbers[72:] == [[]] * 38  # a cut to a cartoon title whose letters look a little like faces


@pytest.mark.parametrize("known", [False, True])
def test_two_people(clips: Path, *, known: bool) -> None:
    name = "intel_head-pose-face-detection-female-and-male_CCBY4.gif"
    numbers = tracks_of(clips / name, 56, known=known)
    assert all(sorted(frame) == [0, 1] for frame in numbers)


def test_five_speakers_in_one_studio_cut_together(clips: Path) -> None:
    """The cuts are hard to see, as the wall is the same; only the recogniser can tell who came back."""
    from facegraft.faces.analyse import Analyser
    from facegraft.faces.embed import Recogniser

    try:
        tracker = Tracker(Analyser(), Recogniser())
    except MissingPartError as error:
        pytest.skip(str(error))
    shots = []
    for path in sorted(clips.glob("GRID*.mpg")):
        with av.open(str(path)) as clip:
            shots.append([frame.to_ndarray(format="rgb24") for frame in itertools.islice(clip.decode(video=0), 12)])
    assert len(shots) == 5
    frames = [frame for half in (0, 6) for shot in shots for frame in shot[half : half + 6]]
    numbers = [tracker.update(frame, number / FPS).numbers.tolist() for number, frame in enumerate(frames)]
    assert numbers == [[shot] for _ in range(2) for shot in range(5) for _ in range(6)]
