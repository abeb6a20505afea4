"""Swapper and ClipSwap on drawn scenes: a frame's first pixel holds its scene's number, so the truth is known."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from facegraft.core.errors import BadInputError, NoFaceError
from facegraft.core.geometry import invert, transform
from facegraft.core.types import Faces, Frame, Matrix, paste
from facegraft.faces.analyse import Analyser
from facegraft.faces.topology import LEFT_EYE, RIGHT_EYE, five_points, load_topology
from facegraft.faces.track import Tracker
from facegraft.runtime.clip import ClipSwap
from facegraft.runtime.select import Everybody, Largest, Selector
from facegraft.runtime.swapper import DEFAULT, FaceState, Swapper, load_swapper
from facegraft.runtime.warp import Photo
from tests.faces.drawn import BLUE, DARK_SKIN, LIGHT_SKIN, draw, painted, posed

SIZE_WH = (320, 240)
MESH = load_topology()


@dataclass
class DrawnNetworks:
    """Networks that know where the drawn faces of each numbered scene are, and a disc before one of them."""

    faces: dict[int, list[np.ndarray]] = field(default_factory=dict)
    covered_at: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """x, y and radius in the frame's pixels."""
    dense_points: int = 468
    shaded: dict[int, float] = field(default_factory=dict)
    """Logarithm that undoes the light on a frame's right half of the crop."""
    asked: list[int] = field(default_factory=list)
    """Frames whose light was asked for."""
    mouth_at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the inside of every mouth is seen: x, y and radius in the frame's pixels."""
    eyes_seen: float = 1.0
    """Chance that an iris is in view."""
    rims: float = 0.0
    """Chance of glasses, everywhere."""
    looked: int = 0
    """How often glasses were asked for."""

    def detect(
        self, frame: Frame, view: Matrix, view_side: float, *, near: bool, min_score: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = self.faces.get(number_of(frame), [])
        in_view = [transform(view, dense[:, :2]) for dense in found]
        boxes = [np.concatenate([points.min(0), points.max(0)]) for points in in_view]
        points = [five_points(MESH, dense)[[0, 1, 2, 3, 0, 1]] for dense in found]
        return (
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(len(found), 0.95, np.float32),
            np.array(points, np.float32).reshape(-1, 6, 2),
        )

    def mesh(self, frame: Frame, crop: Matrix) -> tuple[np.ndarray, float]:
        found = self.faces.get(number_of(frame), [])
        gaps = [np.linalg.norm(transform(crop, dense[:, :2]).mean(axis=0) - 0.5) for dense in found]
        if not gaps or min(gaps) > 0.4:
            return np.zeros((468, 3), np.float32), 0.0
        return found[int(np.argmin(gaps))], 0.95

    def irises(self, frame: Frame, crop: Matrix) -> np.ndarray:
        return np.full(2, self.eyes_seen, np.float32)

    def uncovered(self, frame: Frame, crop: Matrix) -> tuple[np.ndarray, np.ndarray]:
        places = np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5), -1).astype(np.float32) / 64
        x, y, radius = self.covered_at.get(number_of(frame), (0.0, 0.0, 0.0))
        away = np.linalg.norm(transform(invert(crop), places) - np.array([x, y]), axis=-1)
        in_mouth = np.linalg.norm(transform(invert(crop), places) - np.array(self.mouth_at[:2]), axis=-1)
        mouth = np.asarray(in_mouth < self.mouth_at[2], np.float32)
        return np.asarray(away >= radius, np.float32), mouth

    def glasses(self, frame: Frame, crop: Matrix) -> np.ndarray:
        self.looked += 1
        return np.full((16, 16), self.rims, np.float32)

    def shading(self, frame: Frame, crop: Matrix) -> np.ndarray:
        self.asked.append(number_of(frame))
        factors = np.zeros((8, 8, 3), np.float32)
        factors[:, 4:] = self.shaded.get(number_of(frame), 0.0)
        return factors


def number_of(frame: Frame) -> int:
    return int(frame[0, 0, 0])


def scene(
    networks: DrawnNetworks, number: int, skin: tuple[int, int, int], *faces: np.ndarray, spots: int = 3
) -> Frame:
    """A frame that shows these points, and that the networks know by its number."""
    networks.faces[number] = list(faces)
    frame = np.full((SIZE_WH[1], SIZE_WH[0], 3), BLUE, np.uint8)
    for dense in faces:
        alone = draw(dense, painted(skin, spots), size_wh=SIZE_WH)
        frame = np.where((alone == np.array(BLUE)).all(axis=2)[..., None], frame, alone).astype(np.uint8)
    frame[0, 0] = number
    return frame


def over_mouth(dense: np.ndarray) -> tuple[float, float, float]:
    """A disc over nose and mouth."""
    x, y = dense[14, :2].tolist()
    return x, y - 10, 30.0


@pytest.fixture
def networks() -> DrawnNetworks:
    return DrawnNetworks()


@pytest.fixture
def swapper(networks: DrawnNetworks) -> Swapper:
    """Has learned a light person with many spots, on the scenes 200 and up."""
    made = Swapper(Analyser(networks))
    made.set_identity([scene(networks, 200, LIGHT_SKIN, posed(), spots=14)])
    return made


def changed(before: Frame, after: Frame) -> np.ndarray:
    different: np.ndarray = (before != after).any(axis=2)
    return different


# --- identities ---------------------------------------------------------------------------------------


def test_an_identity_without_a_face_is_refused_by_its_name(networks: DrawnNetworks) -> None:
    swapper, wall = Swapper(Analyser(networks)), np.full((50, 60, 3), 250, np.uint8)
    face = scene(networks, 1, LIGHT_SKIN, posed())
    with pytest.raises(NoFaceError, match="at least one"):
        swapper.set_identity([])
    with pytest.raises(NoFaceError, match="picture 2 of 2"):
        swapper.set_identity([face, wall])
    with pytest.raises(NoFaceError, match=r"anna\.jpg"):
        swapper.set_identity([wall], names=["anna.jpg"])
    assert not swapper.identities, "a failed call must leave nothing behind"


def test_swapping_without_an_identity_or_a_face_is_refused(networks: DrawnNetworks, swapper: Swapper) -> None:
    frame = scene(networks, 1, DARK_SKIN, posed())
    with pytest.raises(NoFaceError, match="set_identity"):
        Swapper(Analyser(networks)).swap(frame)
    with pytest.raises(NoFaceError, match="'ben'"):
        swapper.patches(frame, swapper.analyser.analyse(frame), {0: "ben"})
    with pytest.raises(NoFaceError, match="attribute"):
        swapper.swap(np.full((50, 60, 3), 250, np.uint8))


def test_the_largest_face_of_an_identity_photo_counts(networks: DrawnNetworks) -> None:
    large, small = posed(size=70, at=(90, 100), yaw=25), posed(size=35, at=(240, 100), yaw=-25)
    swapper = Swapper(Analyser(networks))
    swapper.set_identity([scene(networks, 1, LIGHT_SKIN, small, large)])
    assert swapper.identities[DEFAULT].views[0].pose_degrees[0] == pytest.approx(25, abs=1)


def test_all_photos_of_an_identity_are_kept(networks: DrawnNetworks) -> None:
    swapper = Swapper(Analyser(networks))
    swapper.set_identity([scene(networks, n, LIGHT_SKIN, posed(yaw=yaw)) for n, yaw in ((1, -30), (2, 0), (3, 30))])
    yaws = [view.pose_degrees[0] for view in swapper.identities[DEFAULT].views]
    np.testing.assert_allclose(yaws, [-30, 0, 30], atol=1)


def test_only_the_baseline_can_be_loaded() -> None:
    with pytest.raises(BadInputError, match="there is: warp"):
        load_swapper("simswap")


# --- one frame ----------------------------------------------------------------------------------------


def test_swap_pair_puts_the_first_onto_the_second(networks: DrawnNetworks, swapper: Swapper) -> None:
    """The result has the attribute's background and place, and the identity's spots."""
    identity = scene(networks, 1, LIGHT_SKIN, posed(), spots=14)
    attribute = scene(networks, 2, LIGHT_SKIN, posed(at=(200, 120)), spots=13)
    truth = draw(posed(at=(200, 120)), painted(LIGHT_SKIN, 14), size_wh=SIZE_WH)
    out = swapper.swap_pair(identity, attribute)
    marks = np.abs(truth.astype(int) - attribute).max(axis=2) > 20
    marks[0, 0] = False
    assert marks.sum() > 200
    assert np.abs(out.astype(int) - truth)[marks].mean() < 0.5 * np.abs(attribute.astype(int) - truth)[marks].mean()
    np.testing.assert_array_equal(out[:, :100], attribute[:, :100])
    np.testing.assert_array_equal(out, Swapper.swap(swapper, attribute), "the same again: nothing is drawn by chance")


def test_the_light_of_photo_and_frame_is_told_to_what_relights_alone(
    networks: DrawnNetworks, swapper: Swapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = scene(networks, 1, DARK_SKIN, posed())
    plain = swapper.swap(frame)
    assert networks.asked == [200, 1]
    networks.shaded = {1: 0.5}
    of_frame = swapper.swap(frame)
    networks.shaded = {200: 0.5}
    swapper.set_identity([scene(networks, 200, LIGHT_SKIN, posed(), spots=14)])
    of_photo = swapper.swap(frame)
    left, right = (int(posed()[point, 0]) for point in (50, 280))
    row = int(posed()[50, 1])

    def levels(swapped: Frame) -> np.ndarray:
        return np.array([float(swapped[row, column, 1]) for column in (left, right)])

    assert levels(of_frame)[1] / levels(of_frame)[0] < 0.85 * levels(plain)[1] / levels(plain)[0]
    assert levels(of_photo)[1] / levels(of_photo)[0] > 1.02 * levels(plain)[1] / levels(plain)[0]
    monkeypatch.setattr(swapper.engine, "relights", False)
    networks.asked.clear()
    swapper.swap(frame)
    assert not networks.asked


def test_a_photo_is_asked_for_glasses_and_a_frame_is_not(
    networks: DrawnNetworks, swapper: Swapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each photo; what is said comes to the engine with the photo, over the square of what is uncovered."""
    told: list[Photo] = []
    learn = swapper.engine.learn

    def learning(photos: list[Photo]) -> object:
        told.extend(photos)
        return learn(photos)

    monkeypatch.setattr(swapper.engine, "learn", learning)
    networks.rims, networks.looked = 0.7, 0
    swapper.set_identity([scene(networks, 1, LIGHT_SKIN, posed()), scene(networks, 2, LIGHT_SKIN, posed(yaw=20))])
    assert networks.looked == 2
    for photo in told:
        assert photo.uncovered is not None
        middle = photo.face.dense[None, 1:2, :2]
        assert photo.uncovered.glasses_at(middle) == pytest.approx(0.7)
        assert photo.uncovered.share_at(middle) == 1
    swapper.swap(scene(networks, 3, DARK_SKIN, posed()))
    assert networks.looked == 2


def test_every_face_is_swapped_and_the_input_is_not_touched(networks: DrawnNetworks, swapper: Swapper) -> None:
    faces = [posed(size=50, at=(80, 100)), posed(size=45, at=(235, 110))]
    frame = scene(networks, 1, DARK_SKIN, *faces)
    before = frame.copy()
    where = changed(before, swapper.swap(frame))
    np.testing.assert_array_equal(frame, before)
    assert where[60:180, 40:120].mean() > 0.2
    assert where[60:180, 195:275].mean() > 0.2
    assert not where[:, 140:180].any()


def test_only_named_faces_are_swapped(networks: DrawnNetworks, swapper: Swapper) -> None:
    frame = scene(networks, 1, DARK_SKIN, posed(size=50, at=(80, 100)), posed(size=45, at=(235, 110)))
    faces = swapper.analyser.analyse(frame)
    (patch,) = swapper.patches(frame, faces, {1: DEFAULT})
    assert patch.left > 160
    assert swapper.patches(frame, faces, {}) == []


def test_an_identity_that_nobody_sees_from_the_front_is_told(networks: DrawnNetworks, swapper: Swapper) -> None:
    aside, front = (scene(networks, n, LIGHT_SKIN, posed(yaw=yaw)) for n, yaw in ((1, -55), (2, 10)))
    (line,) = swapper.set_identity([aside], names=["anna.jpg"])
    assert line.startswith("anna.jpg: the face is turned by 5")
    assert line.endswith("add a photo from the front")
    (unnamed,) = swapper.set_identity([aside])
    assert unnamed.startswith("the identity picture: ")
    assert swapper.set_identity([aside, front]) == []


def test_an_identity_that_nobody_sees_sharply_is_told(networks: DrawnNetworks, swapper: Swapper) -> None:
    sharp = scene(networks, 1, LIGHT_SKIN, posed())
    soft = cv2.GaussianBlur(sharp, (0, 0), 8)
    soft[0, 0] = sharp[0, 0]  # where these networks read which scene it is
    (line,) = swapper.set_identity([soft], names=["anna.jpg"])
    assert line == "anna.jpg: the face is blurred or tiny and part of its likeness is lost; add a sharper photo"
    assert swapper.set_identity([soft, sharp]) == []


def test_a_hand_before_the_face_stays(networks: DrawnNetworks, swapper: Swapper) -> None:
    dense = posed()
    frame = scene(networks, 1, LIGHT_SKIN, dense)
    x, y = dense[14, :2].astype(int)
    middle = (slice(y - 14, y + 4), slice(x - 8, x + 8))
    free = np.abs(swapper.swap(frame).astype(int) - frame)[middle].mean()
    networks.covered_at[1] = over_mouth(dense)
    held = np.abs(swapper.swap(frame).astype(int) - frame)[middle].mean()
    assert free > 2
    assert held < 0.3 * free


def test_teeth_stay_that_the_networks_see_on_the_lips(networks: DrawnNetworks, swapper: Swapper) -> None:
    """Points of smiling lips are not exact. What is seen far from lips is no mouth."""
    dense = posed(size=80)
    frame = scene(networks, 1, DARK_SKIN, dense)
    lip, cheek = (tuple(dense[point, :2].astype(int)) for point in (17, 50))
    frame[lip[1] - 4 : lip[1] + 5, lip[0] - 4 : lip[0] + 5] = 250
    spots = [(slice(y - 2, y + 3), slice(x - 2, x + 3)) for x, y in (lip, cheek)]
    changed = []
    for place in ((0.0, 0.0, 0.0), (*map(float, lip), 9.0), (*map(float, cheek), 9.0)):
        networks.mouth_at = place
        difference = np.abs(swapper.swap(frame).astype(int) - frame)
        changed.append([float(difference[spot].mean()) for spot in spots])
    unseen, on_lips, on_cheek = changed
    assert on_lips[0] < 0.3 * unseen[0]
    assert on_lips[1] == pytest.approx(unseen[1], abs=0.5)
    assert on_cheek[1] == pytest.approx(unseen[1], abs=0.5)


def test_lids_stay_where_the_networks_see_no_iris(networks: DrawnNetworks, swapper: Swapper) -> None:
    dense = posed(size=80)
    narrow = dense.copy()
    for ring, corner in ((LEFT_EYE, 33), (RIGHT_EYE, 263)):
        narrow[list(ring), 1] = dense[corner, 1] + (dense[list(ring), 1] - dense[corner, 1]) * 0.75
    frame = scene(networks, 1, DARK_SKIN, narrow)
    low, high = (narrow[list(LEFT_EYE), :2] + 3 * side for side in (-1, 1))
    (left, top), (right, bottom) = low.min(axis=0).astype(int), high.max(axis=0).astype(int)
    lid = (slice(top, bottom), slice(left, right))
    changed = {}
    for seen in (1.0, 0.0):
        networks.eyes_seen = seen
        changed[seen] = np.abs(swapper.swap(frame).astype(int) - frame)
    assert changed[0.0][lid].mean() < 0.6 * changed[1.0][lid].mean()
    cheek = dense[50, :2].astype(int)
    assert changed[0.0][cheek[1], cheek[0]].tolist() == changed[1.0][cheek[1], cheek[0]].tolist()


PLACES = {
    "left": (80, (3, 110)), "right": (80, (317, 110)), "top": (80, (160, 3)), "bottom": (80, (160, 237)),
    "corner": (80, (1, 1)), "other corner": (80, (319, 239)), "mostly gone": (80, (-50, 110)),
    "larger than the frame": (500, (160, 60)), "a cheek fills it": (3000, (-600, -600)), "small": (6, (160, 110)),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_patches_lie_inside_the_frame(place: str, networks: DrawnNetworks, swapper: Swapper) -> None:
    size, at = PLACES[place]
    frame = scene(networks, 1, DARK_SKIN, posed(size=size, at=at))
    patch, _ = swapper.patch(frame, one(posed(size=size, at=at))[0], DEFAULT, FaceState())
    assert patch is not None
    height, width = patch.delta.shape[:2]
    assert min(patch.left, patch.top) >= 0
    assert patch.left + width <= SIZE_WH[0]
    assert patch.top + height <= SIZE_WH[1]
    assert np.isfinite(patch.delta).all()
    assert np.abs(patch.delta).max() > 0
    # where the patch ends inside the frame, it ends without a step
    ends = {"left": patch.left > 0, "top": patch.top > 0, "right": patch.left + width < SIZE_WH[0]}
    edges = {"left": patch.delta[:, 0], "top": patch.delta[0], "right": patch.delta[:, -1]}
    assert not any(np.abs(edges[name]).max() > 0.5 for name, inside in ends.items() if inside)


@pytest.mark.parametrize(("size", "at"), [(80, (-300, 100)), (80, (160, 700)), (2, (160, 110))])
def test_a_face_outside_or_of_no_size_gives_no_patch(
    size: float, at: tuple[float, float], networks: DrawnNetworks, swapper: Swapper
) -> None:
    frame = scene(networks, 1, DARK_SKIN)
    assert swapper.patch(frame, one(posed(size=size, at=at))[0], DEFAULT, FaceState())[0] is None


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 7), (2, 400), (400, 2)])
def test_frames_smaller_than_a_face_pass(size_hw: tuple[int, int], swapper: Swapper) -> None:
    frame = np.full((*size_hw, 3), 90, np.uint8)
    patch, _ = swapper.patch(frame, one(posed(at=(0, 0)))[0], DEFAULT, FaceState())
    if patch is not None:
        paste(frame, [patch])
    assert frame.shape == (*size_hw, 3)


def one(dense: np.ndarray) -> Faces:
    from tests.faces.drawn import as_faces

    return as_faces(dense)


def test_the_photo_does_not_change_for_a_little_turn(networks: DrawnNetworks) -> None:
    """Between photos at 0 and 40 degrees the better one changes at 20: a head that trembles there must not flicker."""
    swapper = Swapper(Analyser(networks))
    swapper.set_identity([scene(networks, n, LIGHT_SKIN, posed(yaw=yaw)) for n, yaw in ((1, 0), (2, 40))])
    used, state = [], FaceState()
    for number, yaw in enumerate((5, 19, 21, 19, 21, 30, 21, 19, 5), start=10):
        frame = scene(networks, number, DARK_SKIN, posed(yaw=yaw))
        _, state = swapper.patch(frame, one(posed(yaw=yaw))[0], DEFAULT, state)
        used.append(state.view)
    assert used == [0, 0, 0, 0, 0, 1, 1, 1, 0]


# --- a clip -------------------------------------------------------------------------------------------


def clip(networks: DrawnNetworks, frames: int = 28) -> list[Frame]:
    """A head that turns and drifts; a hand comes at frame 10 and stays for 5 frames; a larger face from frame 21."""
    made = []
    for number in range(1, frames + 1):
        first = posed(size=50, at=(80 + number, 100), yaw=2 * number - 28)
        second = [posed(size=58, at=(240, 120 - 0.5 * number), roll=5)] if number > 20 else []
        made.append(scene(networks, number, DARK_SKIN, first, *second))
        if 10 <= number < 15:
            networks.covered_at[number] = over_mouth(first)
    return made


def begin(swapper: Swapper, *, rule: Everybody | Largest | None = None, watermark: bool = False) -> ClipSwap:
    selector = Selector(rule or Everybody(DEFAULT))
    return ClipSwap(swapper, Tracker(swapper.analyser), selector, watermark=watermark)


def edited(edit: ClipSwap, frames: list[Frame], start: int = 0) -> list[Frame]:
    done = []
    for number, frame in enumerate(frames[start:], start=start):
        out = frame.copy()
        paste(out, edit.edit(frame, number / 25))
        done.append(out)
    return done


@pytest.fixture
def two_photos(networks: DrawnNetworks, swapper: Swapper) -> Swapper:
    photos = [scene(networks, 200 + n, LIGHT_SKIN, posed(yaw=yaw), spots=14) for n, yaw in ((0, -25), (1, 25))]
    swapper.set_identity(photos)
    return swapper


@pytest.mark.parametrize("rule", [Everybody(DEFAULT), Largest(DEFAULT)])
def test_a_restored_clip_goes_on_bit_by_bit(
    rule: Everybody | Largest, networks: DrawnNetworks, two_photos: Swapper
) -> None:
    frames, states, whole = clip(networks), {}, []
    edit = begin(two_photos, rule=rule)
    for number in range(len(frames)):
        states[number] = json.loads(json.dumps(edit.state()))
        whole += edited(edit, frames[: number + 1], number)
    # early; a hand in view; the other photo is a little better; the hand just gone; a larger face has come
    for stop in (1, 11, 14, 17, 22):
        again = begin(two_photos, rule=rule)
        again.restore(states[stop])
        for one_frame, other in zip(whole[stop:], edited(again, frames, stop), strict=True):
            np.testing.assert_array_equal(one_frame, other)
        assert again.counts == edit.counts
        assert json.dumps(again.state()) == json.dumps(edit.state())


def test_the_counts_are_what_happened(networks: DrawnNetworks, swapper: Swapper) -> None:
    frames = clip(networks, 24)
    frames.append(scene(networks, 25, DARK_SKIN))
    edit = begin(swapper)
    done = edited(edit, frames)
    share = sum(changed(before, after).mean() for before, after in zip(frames, done, strict=True))
    assert edit.counts.frames == 25
    assert edit.counts.frames_with_face == sum(bool(networks.faces[number]) for number in range(1, 26))
    assert edit.counts.swaps >= edit.counts.frames_with_face
    assert edit.counts.changed_share == pytest.approx(share, rel=0.05)


def test_one_that_was_the_largest_stays_chosen_alone(networks: DrawnNetworks, swapper: Swapper) -> None:
    frames = clip(networks, 26)
    edit = begin(swapper, rule=Largest(DEFAULT))
    done = edited(edit, frames)
    assert edit.counts.swaps == 26
    assert changed(frames[-1], done[-1])[:, :180].any()
    assert not changed(frames[-1], done[-1])[:, 200:].any()


def test_the_watermark_is_one_more_patch_over_the_frame(networks: DrawnNetworks, swapper: Swapper) -> None:
    frame = scene(networks, 1, DARK_SKIN, posed())
    plain, marked = begin(swapper).edit(frame, 0.0), begin(swapper, watermark=True).edit(frame, 0.0)
    assert len(marked) == len(plain) + 1
    assert (marked[-1].left, marked[-1].top, marked[-1].delta.shape) == (0, 0, frame.shape)


def test_what_comes_before_a_face_is_kept_from_its_first_frame_on(networks: DrawnNetworks, swapper: Swapper) -> None:
    """No look is skipped: a hand that arrives between two looks would be painted over."""
    dense, edit = posed(), begin(swapper)
    still = scene(networks, 1, LIGHT_SKIN, dense)
    x, y = dense[14, :2].astype(int)
    middle, change = (slice(y - 14, y + 4), slice(x - 8, x + 8)), {}
    for number in range(1, 9):
        networks.faces[number] = [dense]
        if number == 5:
            networks.covered_at[number] = over_mouth(dense)
        frame = still.copy()
        frame[0, 0] = number
        (out,) = edited(edit, [frame])
        change[number] = np.abs(out.astype(int) - frame)[middle].mean()
    assert min(change[4], change[6]) > 2
    assert change[5] < 0.3 * min(change[4], change[6])
