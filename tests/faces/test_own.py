"""Our networks behind `FaceNetworks`: what they say of a crop comes back in the frame's pixels."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.core.errors import MissingPartError
from facegraft.core.geometry import invert, transform
from facegraft.core.types import Matrix
from facegraft.faces import own
from facegraft.faces.analyse import FaceNetworks
from facegraft.faces.glasses import Look
from facegraft.faces.own import (
    BROW,
    CLEAR,
    CLOSE_SIDE,
    EYE,
    FAR_SIDE,
    GLASSES,
    GLIMPSED,
    LIT_SIDE,
    NEAR_SIDE,
    REMEMBERED,
    SEEN_SIDE,
    OwnNetworks,
    as_input,
)
from facegraft.faces.shading import Shading
from facegraft.faces.topology import twins

onnx = pytest.importorskip("onnx")


def write_network(path: Path, given: str, side: int | str, outputs: dict[str, np.ndarray]) -> None:
    """A real graph that reads its input and always says the same."""
    helper, shape = onnx.helper, ["b", 3, side, side]
    nodes = [
        helper.make_node("ReduceMean", [given], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
    ]
    values, told = [], []
    for name, value in outputs.items():
        values.append(onnx.numpy_helper.from_array(value.astype(np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
        told.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(value.shape)))
    image = helper.make_tensor_value_info(given, onnx.TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "told", [image], told, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)


def turned_square(middle: tuple[float, float], side: float, degrees: float) -> Matrix:
    """From the frame to a unit square around a face."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / side
    return np.column_stack([turn, 0.5 - turn @ np.array(middle)]).astype(np.float32)


def test_landmarks_come_back_in_frame_pixels(tmp_path: Path, frame: np.ndarray) -> None:
    """The crop's answer and its mirror image's say the same here: points, names of sides, and no more doubt."""
    unit = np.random.default_rng(1).uniform(0.1, 0.9, (1, 538, 3))
    mirrored = unit[:, twins(538)] * (-1, 1, 1) + (1, 0, 0)
    told = {
        "points": np.concatenate([unit, mirrored]),
        "sigma": np.full((2, 538), 0.01),
        "visible": np.ones((2, 538)),
        "presence": np.array([0.9, 0.9]),
    }
    write_network(tmp_path / "landmarks.onnx", "crop", 128, told)
    crop = turned_square((70.0, 40.0), 50.0, 20.0)
    found = OwnNetworks(tmp_path).landmarks(frame, crop)
    np.testing.assert_allclose(transform(crop, found.points[:, :2]), unit[0, :, :2], atol=1e-4)
    np.testing.assert_allclose(found.points[:, 2], unit[0, :, 2] * 50, rtol=1e-4)
    np.testing.assert_allclose(found.sigma, 0.5, rtol=1e-4)
    mesh, presence = OwnNetworks(tmp_path).mesh(frame, crop)
    assert mesh.shape == (468, 3)
    assert presence == pytest.approx(0.9)


@pytest.mark.parametrize("near", [True, False])
def test_detections_come_back_in_view_and_frame(tmp_path: Path, frame: np.ndarray, near: bool) -> None:
    side = NEAR_SIDE if near else FAR_SIDE
    share = np.array([0.25, 0.25, 0.5, 0.5])
    told = {
        "boxes": (np.stack([share, share + 0.01, share + 0.4]) * side)[None],
        "scores": np.array([[0.9, 0.8, 0.3]]),
        "points": np.full((1, 3, 5, 2), 0.4 * side),
    }
    write_network(tmp_path / "detector.onnx", "image", side, told)
    view = np.array([[1, 0, 0], [0, 1, 15]], np.float32)  # the frame in the middle of a square of 120
    boxes, scores, points = OwnNetworks(tmp_path).detect(frame, view, 120.0, near=near, min_score=0.5)
    np.testing.assert_allclose(boxes, share[None] * 120, atol=1e-3)  # its twin is dropped, the unsure one left out
    np.testing.assert_allclose(scores, [0.9], rtol=1e-6)
    np.testing.assert_allclose(points[0], np.broadcast_to([48, 33], (5, 2)), atol=1e-3)


def test_a_mirrored_crop_gives_mirrored_points() -> None:
    """The shipped network, on a picture that is no face: what it says may be anything, but must not know left."""
    frame = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 255, (90, 90, 3), dtype=np.uint8), (0, 0), 4)
    crop = np.array([[1 / 90, 0, 0], [0, 1 / 90, 0]], np.float32)
    plain = OwnNetworks().landmarks(frame, crop)
    turned = OwnNetworks().landmarks(np.ascontiguousarray(frame[:, ::-1]), crop)
    np.testing.assert_allclose(turned.points[twins(538)] * (-1, 1, 1) + (90, 0, 0), plain.points, atol=0.01)
    np.testing.assert_allclose(turned.sigma[twins(538)], plain.sigma, rtol=1e-3)


def test_irises_are_told_left_first_and_by_both_looks(tmp_path: Path, frame: np.ndarray) -> None:
    told = {
        "points": np.zeros((2, 538, 3)), "sigma": np.ones((2, 538)), "visible": np.ones((2, 538)),
        "presence": np.ones(2),
    }  # fmt: skip
    told["visible"][0, -2:], told["visible"][1, -2:] = (0.1, 0.8), (0.6, 0.3)  # of the mirrored crop: right first
    write_network(tmp_path / "landmarks.onnx", "crop", 128, told)
    found = OwnNetworks(tmp_path).irises(frame, turned_square((70.0, 40.0), 50.0, 20.0))
    np.testing.assert_allclose(found, (0.2, 0.7), atol=1e-6)


def test_irises_of_a_face_whose_points_were_just_found_are_known(
    frame: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last look at it in this frame; another face, or another frame, is looked at."""
    crops = [turned_square((x, 40.0), 50.0, 20.0) for x in (70.0, 100.0)]
    told, networks = [0.1, 0.2, 0.3, 0.4, 0.5], OwnNetworks()

    def run(_name: str, _given: str, _image: np.ndarray, _wanted: list[str]) -> list[np.ndarray]:
        answers = [np.full((2, 538, 3), 0.5), np.ones((2, 538)), np.full((2, 538), told.pop(0)), np.ones(2)]
        return [answer.astype(np.float32) for answer in answers]

    monkeypatch.setattr(networks, "_run", run)
    for crop in (crops[0], crops[0], crops[1]):
        networks.mesh(frame, crop)
    assert [networks.irises(frame, crop)[0] for crop in crops] == pytest.approx([0.2, 0.3])
    assert len(told) == 2
    assert networks.irises(frame.copy(), crops[0])[0] == pytest.approx(0.4)
    assert networks.irises(frame, crops[0])[0] == pytest.approx(0.5)


def test_frames_are_not_kept_and_answers_do_not_pile_up(frame: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live caller fills one array again and again; another hands over large pictures."""
    networks = OwnNetworks()
    shapes = ((2, 538, 3), (2, 538), (2, 538), (2,))
    monkeypatch.setattr(networks, "_run", lambda *_: [np.ones(shape, np.float32) for shape in shapes])
    crop = turned_square((70.0, 40.0), 50.0, 20.0)
    for _ in range(REMEMBERED + 10):
        networks.mesh(frame, crop)
    assert len(networks._told) == REMEMBERED
    large = frame.copy()
    networks.mesh(large, crop)
    gone = weakref.ref(large)
    del large
    assert gone() is None


def test_the_uncovered_part_comes_over_the_crop(tmp_path: Path, frame: np.ndarray) -> None:
    share = np.linspace(0, 1, SEEN_SIDE, dtype=np.float32)[None, None, None].repeat(SEEN_SIDE, 2)
    write_network(tmp_path / "parser.onnx", "crop", SEEN_SIDE, {"labels": np.zeros((1, 14, 8, 8)), "visible": share})
    found = OwnNetworks(tmp_path).uncovered(frame, turned_square((70.0, 40.0), 50.0, 20.0))[0]
    np.testing.assert_allclose(found, share[0, 0], atol=1e-6)


def test_the_inside_of_the_mouth_comes_with_it(tmp_path: Path, frame: np.ndarray) -> None:
    labels = np.zeros((1, 14, SEEN_SIDE, SEEN_SIDE), np.float32)
    labels[0, 5] = np.linspace(0, 1, SEEN_SIDE, dtype=np.float32)  # frozen.parser.CLASSES
    visible = np.ones((1, 1, SEEN_SIDE, SEEN_SIDE), np.float32)
    write_network(tmp_path / "parser.onnx", "crop", SEEN_SIDE, {"labels": labels, "visible": visible})
    _, mouth = OwnNetworks(tmp_path).uncovered(frame, turned_square((70.0, 40.0), 50.0, 20.0))
    np.testing.assert_allclose(mouth, labels[0, 5], atol=1e-6)


class Looking(OwnNetworks):
    """Networks whose parser sees rims where it is told to, more finely at a closer look."""

    def __init__(self, glimpsed: np.ndarray, close: np.ndarray) -> None:
        super().__init__()
        self.looks = {SEEN_SIDE: glimpsed, CLOSE_SIDE: close}
        self.asked: list[int] = []

    def _run(self, name: str, given: str, image: np.ndarray, wanted: list[str]) -> list[np.ndarray]:
        assert (name, given) == ("parser", "crop")
        side = image.shape[-1]
        self.asked.append(side)
        labels = np.zeros((1, 14, side, side), np.float32)
        labels[0, GLASSES] = self.looks[side]
        labels[0, BROW], labels[0, EYE] = 0.3, 0.2
        told = {"labels": labels, "visible": np.full((1, 1, side, side), 0.7, np.float32)}
        return [told[each] for each in wanted]


@pytest.fixture
def wears(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how surely a closer look says that glasses are worn."""

    def set_to(share: float) -> None:
        def told(look: Look) -> float:
            assert [float(part.max()) for part in (look.brow, look.eye, look.visible)] == pytest.approx([0.3, 0.2, 0.7])
            return share

        monkeypatch.setattr(own, "worn", told)

    return set_to


def rim(side: int, share: float, chance: float = 1.0) -> np.ndarray:
    """The first rows of a crop, as many pixels as make this share."""
    chances = np.zeros(side * side, np.float32)
    chances[: round(share * side * side)] = chance
    return chances.reshape(side, side)


def test_rims_of_glasses_are_looked_at_closely_and_cover_the_face(
    frame: np.ndarray, wears: Callable[[float], None]
) -> None:
    crop = turned_square((70.0, 40.0), 200.0, 20.0)
    networks = Looking(rim(SEEN_SIDE, 0.02), rim(CLOSE_SIDE, 0.05))
    wears(1.0)
    found = networks.uncovered(frame, crop)[0]
    assert networks.asked == [SEEN_SIDE, CLOSE_SIDE]
    assert found.shape == (CLOSE_SIDE, CLOSE_SIDE)
    covered = networks.looks[CLOSE_SIDE] > 0
    assert found[covered].max() == 0
    np.testing.assert_allclose(found[~covered], 0.7, atol=1e-5)
    assert np.array_equal(Looking(rim(SEEN_SIDE, 0), rim(CLOSE_SIDE, 0.3)).glasses(frame, crop), rim(CLOSE_SIDE, 0.3))


def test_dark_brows_that_look_like_rims_are_the_face(frame: np.ndarray, wears: Callable[[float], None]) -> None:
    """A closer look says that nothing is worn; what the first one took for glasses is free then."""
    crop = turned_square((70.0, 40.0), 200.0, 20.0)
    given = (rim(SEEN_SIDE, 0.05), rim(CLOSE_SIDE, 0.05))
    wears(0.0)
    found = Looking(*given).uncovered(frame, crop)[0]
    rows = round(0.05 * CLOSE_SIDE)
    np.testing.assert_allclose(found[: rows - 3], 1, atol=1e-5)
    np.testing.assert_allclose(found[rows + 3 :], 0.7, atol=1e-5)
    assert Looking(*given).glasses(frame, crop).max() == 0
    wears(0.25)
    assert Looking(*given).glasses(frame, crop).max() == pytest.approx(0.25)


def test_what_is_too_faint_is_not_looked_at_again(frame: np.ndarray, wears: Callable[[float], None]) -> None:
    networks = Looking(rim(SEEN_SIDE, 0.02, 0.2), rim(CLOSE_SIDE, 0.05))
    wears(1.0)
    found = networks.uncovered(frame, turned_square((70.0, 40.0), 200.0, 20.0))[0]
    assert networks.asked == [SEEN_SIDE]
    np.testing.assert_allclose(found, 0.7, atol=1e-5)


def test_glasses_come_by_degrees(frame: np.ndarray, wears: Callable[[float], None]) -> None:
    """No jump from one frame of a clip to the next: neither at the first look, nor at the closer one."""
    crop = turned_square((70.0, 40.0), 200.0, 20.0)
    close = rim(CLOSE_SIDE, 0.1)
    wears(1.0)
    firsts = [Looking(rim(SEEN_SIDE, share), close).uncovered(frame, crop)[0] for share in np.linspace(*GLIMPSED, 7)]
    closer = []
    for share in np.linspace(0, 1, 7):
        wears(float(share))
        closer.append(Looking(rim(SEEN_SIDE, 0.1), close).uncovered(frame, crop)[0])
    for looks, before in ((firsts, 0.7), (closer, 1.0)):
        found = [float(look[0, 0]) for look in looks]
        assert found[0] == pytest.approx(before, abs=0.05)
        assert found[-1] < 0.05
        assert np.abs(np.diff(found)).max() < 0.35


def test_a_face_of_few_pixels_is_said_to_wear_none(frame: np.ndarray, wears: Callable[[float], None]) -> None:
    """Its lids and sockets look like rims; what the first look says of it stands."""
    given = (rim(SEEN_SIDE, 0.1), rim(CLOSE_SIDE, 0.1))
    wears(1.0)
    for side, expected in ((200.0, 1.0), (CLEAR[1], 1.0), (np.mean(CLEAR), 0.5), (CLEAR[0], 0.0), (40.0, 0.0)):
        crop = turned_square((70.0, 40.0), float(side), 20.0)
        assert Looking(*given).glasses(frame, crop).max() == pytest.approx(expected, abs=0.01)
    for share in (0.0, 1.0):
        wears(share)
        found = Looking(*given).uncovered(frame, crop)[0]
        assert len(found) == CLOSE_SIDE
        np.testing.assert_allclose(found, 0.7, atol=1e-5)


def test_the_factors_of_light_come_over_the_crop_with_their_channels(tmp_path: Path, frame: np.ndarray) -> None:
    half = LIT_SIDE // 2
    across = np.linspace(-1, 1, half, dtype=np.float32)
    told = np.stack([np.tile(across, (half, 1)), np.tile(across[:, None], (1, half)), np.full((half, half), 0.5)])
    write_network(tmp_path / "shading.onnx", "crop", LIT_SIDE, {"factors": told[None]})
    crop = turned_square((70.0, 40.0), 50.0, 20.0)
    found = OwnNetworks(tmp_path).shading(frame, crop)
    np.testing.assert_allclose(found, told.transpose(1, 2, 0), atol=1e-6)
    shading = Shading(found, (crop * np.float32(half)).astype(np.float32))
    at = transform(invert(crop), np.array([[0.75, 0.25]], np.float32))[None]
    np.testing.assert_allclose(shading.at(at)[0, 0], [0.5, -0.5, 0.5], atol=0.02)


def test_the_glasses_class_is_the_parsers() -> None:
    pytest.importorskip("torch", reason="the parser's classes stand in a module of training")
    from facegraft.frozen.parser import CLASSES

    assert CLASSES[GLASSES] == "glasses"


def test_pictures_go_in_as_red_green_blue_from_0_to_1() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 2] = (255, 51, 0)
    given = as_input(image)
    assert given.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(given[0, :, 0, 2], [1.0, 0.2, 0.0])
    assert given[0, :, 1].max() == 0


def test_it_is_what_analysis_asks_for(tmp_path: Path) -> None:
    assert isinstance(OwnNetworks(tmp_path), FaceNetworks)


def test_missing_and_broken_files_are_one_line(tmp_path: Path, frame: np.ndarray) -> None:
    crop = turned_square((60.0, 45.0), 60.0, 0.0)
    with pytest.raises(MissingPartError, match="no such file"):
        OwnNetworks(tmp_path).mesh(frame, crop)
    (tmp_path / "landmarks.onnx").write_bytes(b"not a network")
    with pytest.raises(MissingPartError, match="expected a network in ONNX") as caught:
        OwnNetworks(tmp_path).mesh(frame, crop)
    assert "\n" not in str(caught.value)
