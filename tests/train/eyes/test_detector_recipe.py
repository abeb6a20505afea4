"""The detector's recipe learns, its scores agree with cases worked out by hand, and its config fits it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.config import fill, load_config  # noqa: E402
from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.geometry import box_overlap  # noqa: E402
from facegraft.frozen.detector import Detector, DetectorConfig  # noqa: E402
from facegraft.train.eyes import detector as recipe  # noqa: E402
from facegraft.train.eyes.detector import DetectorData, DetectorRecipe, detector_losses, find, gathered  # noqa: E402
from facegraft.train.eyes.findings import (  # noqa: E402
    Found,
    average_precision,
    judge,
    select,
    threshold_for,
    wilson,
)
from facegraft.train.eyes.heads import Head  # noqa: E402
from facegraft.train.eyes.scenes import Ground, Scene, SceneConfig, compose  # noqa: E402

TINY = DetectorConfig(widths=(8, 8, 16, 16, 16), depths=(1, 1, 1, 1), neck=16, head_depth=1)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def found(*rows: tuple[float, ...]) -> Found:
    """Rows of box and score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Found(table[:, :4], table[:, 4], np.zeros((len(table), 5, 2), np.float32))


def painted_scene(seed: int) -> Scene:
    """A bright square with dark dots on grey."""
    rng = np.random.default_rng(seed)
    frame = np.full((64, 64, 3), 60, np.uint8)
    left, top = rng.integers(2, 36, 2)
    frame[top : top + 24, left : left + 24] = (220, 180, 150)
    five = (np.array([[7, 8], [17, 8], [12, 13], [8, 18], [16, 18]]) + np.array([left, top])).astype(np.float32)
    for x, y in five.astype(int):
        frame[y - 1 : y + 2, x - 1 : x + 2] = 0
    box = boxes((left, top, left + 24, top + 24))
    return Scene(frame, box, five[None], np.zeros(1, np.float32), boxes())


def bare_scene() -> Scene:
    nothing = np.zeros(0, np.float32)
    return Scene(np.zeros((64, 64, 3), np.uint8), boxes(), nothing.reshape(0, 5, 2), nothing, boxes())


def test_it_overfits_four_scenes() -> None:
    torch.manual_seed(0)
    net, made = Detector(TINY), [painted_scene(seed) for seed in range(4)]
    batch = gathered(made)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    first = scored = None
    for _ in range(90):
        losses = detector_losses(net.train(), batch)
        total = losses["score"] + 2 * losses["box"] + 5 * losses["points"]
        first = total.item() if first is None else first
        scored = losses["score"].item() if scored is None else scored
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert first is not None
    assert scored is not None
    assert total.item() < 0.25 * first
    seen = detector_losses(net.eval(), batch)  # with the averages that training kept
    assert seen["score"] < 0.2 * scored
    for scene in made:
        best = find(net.eval(), scene.frame, torch.device("cpu"))
        assert best.scores[0] > 0.5
        assert box_overlap(best.boxes[0], scene.boxes)[0] > 0.7
        assert np.abs(best.points[0] - scene.points[0]).max() < 4


def test_every_loss_reaches_the_network_and_nothing_is_lost_without_faces() -> None:
    torch.manual_seed(0)
    net = Detector(TINY)
    for name in ("score", "box", "points"):
        net.zero_grad()
        detector_losses(net, gathered([painted_scene(0), painted_scene(1)]))[name].backward()
        assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.parameters())
    bare = bare_scene()
    losses = detector_losses(net, gathered([bare, bare]))
    assert losses["box"] == losses["points"] == 0
    assert losses["score"] > 0


def test_ignored_boxes_count_neither_way() -> None:
    torch.manual_seed(0)
    net = Detector(TINY).eval()
    bare = bare_scene()
    hidden = Scene(bare.frame, bare.boxes, bare.points, bare.roll_degrees, boxes((-9, -9, 99, 99)))
    assert detector_losses(net, gathered([bare]))["score"] > 0
    assert detector_losses(net, gathered([hidden]))["score"] == 0


def test_judging_gives_each_face_to_one_finding() -> None:
    truth = boxes((0, 0, 10, 10), (50, 50, 60, 60))
    told = judge(
        found((0, 0, 10, 10, 0.9), (1, 0, 11, 10, 0.8), (20, 20, 30, 30, 0.7), (80, 80, 90, 90, 0.6)),
        truth,
        boxes((79, 79, 91, 91)),
    )
    assert told.right.tolist() == [True, False, False, False]
    assert told.counts.tolist() == [True, True, True, False]
    assert told.found_at.tolist() == pytest.approx([0.9, 0.0])
    assert told.finding.tolist() == [0, -1]


def test_average_precision_of_cases_worked_out_by_hand() -> None:
    truth = boxes((0, 0, 10, 10), (50, 50, 60, 60))
    none = boxes()
    good = judge(found((0, 0, 10, 10, 0.9), (50, 50, 60, 60, 0.8)), truth, none)
    assert average_precision([good]) == pytest.approx(1.0)
    mixed = judge(found((0, 0, 10, 10, 0.9), (20, 20, 30, 30, 0.8), (50, 50, 60, 60, 0.7)), truth, none)
    assert average_precision([mixed]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([judge(found(), truth, none)]) == 0
    assert np.isnan(average_precision([judge(found(), none, none)]))


def test_threshold_and_interval() -> None:
    scores = [np.array([0.9, 0.2], np.float32), np.array([0.5], np.float32), np.zeros(0, np.float32)]
    for allowed in range(4):
        threshold = threshold_for(scores, allowed)
        assert sum((one >= threshold).sum() for one in scores) == min(allowed, 3)
    low, high = wilson(995, 1000)
    assert (low, high) == pytest.approx((0.98835, 0.99786), abs=2e-4)  # R: prop.test(995, 1000, correct = FALSE)
    assert wilson(0, 0) == (0.0, 1.0)


def test_select_drops_what_overlaps_and_what_is_weak() -> None:
    every = boxes((0, 0, 10, 10), (1, 1, 11, 11), (40, 40, 50, 50), (20, 0, 30, 10))
    kept = select(every, np.array([0.5, 0.9, 0.6, 0.01], np.float32), np.zeros((4, 5, 2), np.float32))
    assert kept.boxes.tolist() == every[[1, 2]].tolist()


@dataclass(frozen=True)
class Same:
    head: Head

    def __len__(self) -> int:
        return 3

    def read(self, number: int) -> Head:
        return self.head


def ground() -> Ground:
    one = painted_scene(5)
    left, top, right, bottom = one.boxes[0].tolist()
    outline = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    whole = Head(one.frame, np.full((64, 64), 255, np.uint8), outline, one.points[0], photo=True)
    return Ground(None, Same(whole), 1.0, [np.full((80, 80, 3), 90, np.uint8)])


def test_batches_hold_their_scenes_and_empty_rows_are_marked() -> None:
    made = [compose(ground(), SceneConfig(), 64, np.random.default_rng(seed)) for seed in range(6)]
    batch = gathered(made)
    assert batch.image.shape == (6, 3, 64, 64)
    assert batch.real.sum(1).tolist() == [len(scene.boxes) for scene in made]
    for row, scene in enumerate(made):
        assert (batch.image[row].numpy().transpose(1, 2, 0) == scene.frame).all()
        assert np.array_equal(batch.boxes[row][batch.real[row]].numpy(), scene.boxes)


def test_the_config_in_the_repository_fits(root: Path) -> None:
    tables = load_config(root / "configs" / "detector.toml")
    data = fill(DetectorData, tables["data"], "data")
    assert data.scenes.smallest_px <= 16
    assert set(tables["losses"]) == {"score", "box", "points"}
    net = DetectorRecipe.build(tables["model"])
    assert isinstance(net, Detector)
    assert net.config == DetectorConfig()
    assert recipe.RECIPE is DetectorRecipe
    boxes_, scores, points = net.eval()(torch.rand(1, 3, 32, 32))
    assert boxes_.shape[1] == scores.shape[1] == points.shape[1] == 16 + 4 + 1 + 1


def test_sizes_that_the_network_cannot_take_are_refused() -> None:
    with pytest.raises(BadInputError, match="multiples of 32"):
        fill(DetectorData, {"free": ["x"], "renders": "y", "sizes_px": [100]}, "data")
    with pytest.raises(BadInputError, match="real_boxes"):
        fill(DetectorData, {"free": ["x"], "real": "y"}, "data")
