"""benchmarks/eyes.py: errors in closed form, groups, intervals, tables, and that what is missing is named."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from facegraft.core.errors import BadInputError, MissingPartError  # noqa: E402
from facegraft.core.geometry import box_around, warp  # noqa: E402
from facegraft.core.image import read_picture  # noqa: E402
from facegraft.core.image_bytes import encode_frame, encode_plane  # noqa: E402
from facegraft.data.dataset import DatasetCard, Item, open_dataset, write_card, write_shard  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.faces.analyse import Analyser  # noqa: E402
from facegraft.faces.topology import LANDMARKS_68, load_topology  # noqa: E402
from facegraft.frozen.parser import CLASSES  # noqa: E402
from tests.benchmark_scripts import imported  # noqa: E402

MODULES = (
    "measures", "table", "held_out", "looking", "sheets", "landmarks", "parser", "attributes", "detector", "identity",
)  # fmt: skip
SIDE = 96
ALL = "renders: error of 468 points, % of the outer eye distance"


@pytest.fixture(scope="module")
def eyes(root: Path) -> Iterator[SimpleNamespace]:
    """The benchmark's modules by name, and `main`, which is the script."""
    with imported(root, "eyes", *(f"eye_networks.{name}" for name in MODULES)) as (main, *parts):
        yield SimpleNamespace(**dict(zip(MODULES, parts, strict=True)), main=main)


def setup_of(eyes: SimpleNamespace, folder: Path, **given: Any) -> Any:
    told = {"weights": folder, "data": None, "renders": None, "sheets": None, "cache": None, "most": 0, "rounds": 3}
    return eyes.held_out.Setup(**(told | given))


def face(shift: float = 0.0) -> np.ndarray:
    """The mean face in the middle of a picture, moved to the right by a share of its outer eye distance."""
    dense = load_topology().xyz.astype(np.float32) * 26
    dense[:, :2] += SIDE / 2 - (dense[:, :2].min(0) + dense[:, :2].max(0)) / 2
    unit = np.linalg.norm(dense[33] - dense[263])
    return dense + np.array([shift * unit, 0, 0], np.float32)


def item(number: int, split: str) -> Item:
    dense = face()
    regions = np.full((SIDE, SIDE), REGIONS["face"], np.uint8)
    left, top, right, bottom = box_around(dense[:, :2]).astype(int)
    regions[:top] = regions[bottom:] = REGIONS["background"]
    regions[:, :left] = regions[:, right:] = REGIONS["background"]
    irises = np.stack([dense[[160, 158, 153, 144], :2].mean(0), dense[[385, 387, 373, 380], :2].mean(0)])
    for x, y in irises.astype(int):
        regions[y - 1 : y + 2, x - 2 : x + 3] = REGIONS["eye"]
    return Item(
        key=f"k{number}",
        person=f"person-{number // 2}",
        image=encode_frame(np.full((SIDE, SIDE, 3), 90, np.uint8), None),
        licence="CC0-1.0",
        consent="",
        origin="test",
        synthetic=True,
        split=split,
        stratum="ordinary" if number % 2 else "occluded",
        planes={"regions": encode_plane(regions)},
        arrays={
            "dense": np.ascontiguousarray(dense[:, :2]),
            "visible_dense": np.ones(468, np.float32),
            "landmarks68": np.ascontiguousarray(dense[list(LANDMARKS_68), :2]),
            "visible68": np.ones(68, np.float32),
            "iris": irises[::-1].astype(np.float32),
            "pose_degrees": np.array([20.0 if number < 4 else -50.0, 0, 0], np.float32),
            "gaze_degrees": np.zeros((2, 2), np.float32),
            "expression": np.zeros(94, np.float32),
            "light": np.ones((9, 3), np.float32),
            "camera": np.array([[2.0, 0, 0, 0.5], [0, -2, 0, 0.5], [0, 0, -1, 9]], np.float32),
        },
        facts={"monk": 2 if number < 4 else 9, "female": float(number < 6), "age": 30.0},
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("renders")
    write_shard(folder, 0, [item(number, "test" if number < 12 else "train") for number in range(14)])
    write_card(folder, DatasetCard(name="t", about="test", seed=5))
    return folder


@pytest.fixture(scope="module")
def renders(eyes: SimpleNamespace, dataset: Path) -> Any:
    return eyes.held_out.load_renders(setup_of(eyes, dataset, renders=dataset))


def test_only_held_out_pictures_are_measured(eyes: SimpleNamespace, dataset: Path, renders: Any) -> None:
    assert len(renders) == 12
    assert {row.split for row in renders.known.pictures.rows} == {"test"}
    assert "split test of 't' (seed 5), 12 pictures of 6 people" in renders.note
    learnt = open_dataset(dataset).select(split="train")
    assert {row.split for row in learnt.rows} == {"train"}
    with pytest.raises(BadInputError):  # one person alone cannot be held out from himself
        eyes.held_out.held_rows(learnt)


def test_groups_are_what_the_rows_say(eyes: SimpleNamespace, renders: Any) -> None:
    groups = {name: int(mask.sum()) for name, mask in renders.groups().items()}
    assert groups["all"] == 12
    assert groups["ordinary"] == groups["occluded"] == 6
    assert (groups["monk 1-3"], groups["monk 7-10"], groups["women"], groups["men"]) == (4, 8, 6, 6)
    assert (groups["yaw 15 to 30"], groups["yaw 45 to 60"], groups["yaw 0 to 15"]) == (4, 8, 0)
    few = eyes.held_out.scarce(renders.labels())
    assert (few["large pose"], few["monk 1-3"], few["ordinary"]) == (0, 4, 6)
    assert eyes.held_out.scarce([["ordinary"]] * 20).get("ordinary") is None


def test_errors_of_moved_faces_are_as_large_as_the_move(eyes: SimpleNamespace, tmp_path: Path, renders: Any) -> None:
    seen_by = {}
    for who, shift in (("ours", 0.05), ("MediaPipe", 0.1)):
        moved = eyes.looking.Seen(face(shift), face(shift)[[33, 263], :2])
        seen_by[who] = [None if number == 3 and who == "ours" else moved for number in range(12)]
    setup = setup_of(eyes, tmp_path, sheets=tmp_path / "sheets")
    lines = {(line.measure, line.group): line.figures for line in eyes.landmarks.on_renders(setup, renders, seen_by)}
    figures = lines[ALL, "all"]
    # Depth is not stored but that of the mean face, so the unit is within a hundredth of the true one.
    assert figures["ours"].value == pytest.approx(5, rel=0.01)
    assert figures["MediaPipe"].value == pytest.approx(10, rel=0.01)
    assert figures["ours"].found[0] == pytest.approx(11 / 12, abs=1e-4)
    assert figures["MediaPipe"].found[0] == 1
    assert figures["ours"].of == 12
    assert lines[ALL, "occluded"]["ours"].found[0] == 1
    assert lines[ALL, "ordinary"]["ours"].found[0] == pytest.approx(5 / 6, abs=1e-4)
    below = lines["renders: % of faces found with an error below 10 % of the outer eye distance", "all"]
    assert below["ours"].value == pytest.approx(100 * 11 / 12, abs=0.01)
    over = lines["renders: our error over MediaPipe's, where both found the face", "all"]["ours"]
    assert over.value == pytest.approx(0.5, rel=1e-3)
    assert lines["renders: yaw, degrees from that of the exact points", "all"]["ours"].value < 0.5
    drawn = {path.stem: read_picture(path).frame.shape for path in (tmp_path / "sheets").iterdir()}
    assert set(drawn) == {"worst_landmarks_renders", "lost_landmarks_renders"}
    assert drawn["worst_landmarks_renders"][1] > 5 * eyes.sheets.TILE_PX > drawn["lost_landmarks_renders"][1]


def test_crops_are_those_of_analysis(eyes: SimpleNamespace) -> None:
    dense = face() @ np.array([[0.9, 0.3, 0], [-0.3, 0.9, 0], [0, 0, 1]], np.float32)
    ours = eyes.landmarks.true_crops(dense[None])[0]
    theirs = Analyser(eyes.looking.OurEyes(None, None))._candidate_of(dense).crop()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_face_that_is_meant_is_taken_and_no_other(eyes: SimpleNamespace) -> None:
    here, there = eyes.looking.Seen(face(0.1), None), eyes.looking.Seen(face(5), None)
    assert eyes.looking.nearest([there, here], face()) is here
    assert eyes.looking.nearest([there], face()) is None
    assert eyes.looking.nearest([], face()) is None


def test_a_face_not_found_lowers_the_share_found_and_not_the_error(eyes: SimpleNamespace) -> None:
    people = [f"p{number}" for number in range(8)]
    errors = np.array([1.0, 2, 3, 4, 5, 6, 7, np.nan])
    figure = eyes.measures.mean_error(errors, people)
    assert figure.value == pytest.approx(4)
    assert figure.low is not None
    assert figure.low < 4 < figure.high
    assert figure.found[0] == pytest.approx(7 / 8)
    assert figure.of == 8
    unknown = eyes.measures.mean_error(errors, people, looked=False)
    assert unknown.found is None
    assert unknown.of == 7
    lost = eyes.measures.mean_error(np.full(8, np.nan), people)
    assert math.isnan(lost.value)
    assert lost.found[0] == 0


def test_people_are_resampled_and_not_pictures(eyes: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    each = rng.normal(5, 1, 40)
    once = eyes.measures.mean_error(each, [str(n) for n in range(40)])
    copied = eyes.measures.mean_error(np.repeat(each, 9), [str(n // 9) for n in range(360)])
    assert copied.value == pytest.approx(once.value, abs=1e-3)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=1e-6)  # nine copies tell nothing new
    assert (once.high - once.low) / 2 == pytest.approx(1.96 * each.std() / np.sqrt(40), rel=0.15)
    assert eyes.measures.mean_error(each[:4], list("abcd")).low is None


def test_shares_ratios_and_sums(eyes: SimpleNamespace) -> None:
    right = eyes.measures.percentage(np.arange(20) < 0)
    assert (right.value, right.low) == (0, 0)
    assert right.high == pytest.approx(16.11, abs=0.01)  # Newcombe (1998), table I, method 3
    people = [str(n) for n in range(6)]
    ours, theirs = np.array([1.0, 1, 2, 2, 3, 9]), np.array([2.0, 2, 4, 4, 6, np.nan])
    found = eyes.measures.ratio(ours, theirs, people)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    assert found.found[0] == pytest.approx(5 / 6, abs=1e-4)
    pooled = eyes.measures.pooled(np.array([1.0, 3, 0, 0, 1, 1]), np.array([2.0, 6, 0, 2, 1, 1]), people)
    assert pooled.value == pytest.approx(0.5)
    assert pooled.of == 5


def test_angles_are_compared_around_the_circle(eyes: SimpleNamespace) -> None:
    np.testing.assert_allclose(
        eyes.measures.degrees_apart(np.array([179.0, -10, 5]), np.array([-179.0, 10, 5])), [2, 20, 0]
    )


def test_points_that_do_not_count_leave_the_mean(eyes: SimpleNamespace) -> None:
    errors = np.array([[1.0, 5], [1, 5], [np.nan, np.nan]])
    counts = np.array([[True, False], [False, False], [True, True]])
    found = eyes.landmarks.mean_where(errors, counts)
    assert found[0] == 1
    assert np.isnan(found[1:]).all()


def test_calls_take_turns(eyes: SimpleNamespace) -> None:
    order: list[str] = []
    spent, passed = eyes.measures.alternating({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 4)
    assert order == ["a", "b"] * (4 + eyes.measures.WARM_UP)
    assert set(spent) == set(passed) == {"a", "b"}
    assert passed["a"].of == 4
    assert eyes.table.time_lines("net", "one crop", eyes.measures.alternating({}, 1), "2 ms") == []


def test_a_right_answer_of_the_parser_scores_all_and_a_half_one_half(eyes: SimpleNamespace, renders: Any) -> None:
    options = eyes.parser.CROPS["160 px, margin 1.2"]
    truth = eyes.parser.cropped(renders, 0, renders.dense[0], options)
    assert truth.image.shape == (160, 160, 3)
    labels, visible = truth.labels[0].long(), truth.visible[0].float().numpy()
    shares = torch.nn.functional.one_hot(labels, len(CLASSES)).permute(2, 0, 1).float().numpy()
    iou, both, either = eyes.parser.scored(lambda _: (shares, visible), truth)
    assert iou == 100
    np.testing.assert_array_equal(both, either)
    inside = truth.inside[0].numpy() > 0
    half = visible * (np.arange(160) < 80)[:, None]
    iou, *_ = eyes.parser.scored(lambda _: (shares, half), truth)
    assert iou == pytest.approx(100 * (half * inside).sum() / (visible * inside).sum(), abs=1e-3)
    assert 30 < iou < 70


def test_a_teachers_zero_of_pitch_does_not_count(eyes: SimpleNamespace) -> None:
    truth = np.array([[0.0, 10, 0], [20, -10, 5], [-30, 0, -5]])
    found = eyes.attributes.pose_errors(truth + np.array([1.0, 7, -2]), truth)
    np.testing.assert_allclose(found["yaw, degrees"], 1)
    np.testing.assert_allclose(found["pitch, degrees"], 0, atol=1e-9)
    np.testing.assert_allclose(found["roll, degrees"], 2)
    np.testing.assert_allclose(found["pose, degrees, mean of three"], 1)


def test_the_worst_come_first_and_the_lost_are_apart(eyes: SimpleNamespace) -> None:
    assert eyes.sheets.worst_rows(np.array([1.0, np.nan, 3, 2])) == ([2, 3, 0], [1])
    worst, lost = eyes.sheets.worst_rows(np.concatenate([np.arange(30.0), np.full(50, np.nan)]))
    assert worst == list(range(29, 9, -1))
    assert (len(lost), lost[0], lost[-1]) == (20, 30, 79)


def test_pictures_are_spread(eyes: SimpleNamespace) -> None:
    assert eyes.held_out.spread(range(11), 3) == [0, 5, 10]
    assert eyes.held_out.spread(range(3), 0) == eyes.held_out.spread(range(3), 9) == [0, 1, 2]


def test_the_table_says_value_interval_and_share_found(eyes: SimpleNamespace) -> None:
    figure, line = eyes.measures.Figure, eyes.table.Line
    lines = [
        line(
            "landmarks", "error", "all", {"ours": figure(5.444, 5, 6, 9, (0.99, 0.9, 1)), "X": figure(7, 6, 8, 9)}, "2"
        ),
        line("landmarks", "error", "men", {"ours": figure(float("nan"), None, None, 0)}),
        line("landmarks", "error", "women", {"ours": figure(0.5, None, None, 3)}),
    ]
    first = eyes.table.summary(lines).splitlines()
    assert len(first) == 3
    assert first[2] == "| landmarks | error, all | 2 | 5.44 [5.00, 6.00], found 99.0 % | X 7.00 [6.00, 8.00] |"
    assert eyes.table.cell(figure(99.38, None, None, 0)) == "99.38 [published]"
    rows = eyes.table.details(lines).splitlines()
    assert rows[2:4] == ["| group | n | ours | X |", "|---|---|---|---|"]
    assert rows[5] == "| men | 0 | none | not measured |"
    assert rows[6] == "| women | 3 | 0.500 [too few people] | not measured |"


def test_runs_are_appended(eyes: SimpleNamespace, tmp_path: Path) -> None:
    line = eyes.table.Line("parser", "IoU", "all", {"ours": eyes.measures.Figure(float("nan"), None, None, 3)})
    result = eyes.table.Result([line], ["no teacher"], ["a note"])
    path = tmp_path / "history" / "eyes.json"
    assert eyes.table.append_run(path, {"commit": "a"}, [result]) == 1
    assert eyes.table.append_run(path, {"commit": "b"}, [result]) == 2
    runs = json.loads(path.read_text())["runs"]
    assert [run["commit"] for run in runs] == ["a", "b"]
    assert runs[1]["lines"] == [{"network": "parser", "measure": "IoU", "group": "all", "ours": [None, None, None, 3]}]
    assert runs[1]["missing"] == ["no teacher"]
    path.write_text("[]")
    with pytest.raises(BadInputError, match="another file"):
        eyes.table.append_run(path, {}, [result])


def test_everything_that_is_missing_is_named(eyes: SimpleNamespace, tmp_path: Path) -> None:
    results = eyes.main.measure(setup_of(eyes, tmp_path), list(eyes.main.PARTS))
    said = " ".join(one for result in results for one in result.missing)
    for network in eyes.main.PARTS:
        assert f"no {network}.onnx" in said
    assert "held-out renders: none given" in said
    assert "FACEGRAFT_DATA" in said
    assert [line for result in results for line in result.lines] == []
    page = eyes.table.report(results, {"commit": "abc"})
    assert "## Missing" in page
    only = eyes.main.measure(setup_of(eyes, tmp_path), ["identity"])
    assert any("parser: left out" in one for one in only[0].missing)


def test_networks_are_measured_as_they_were_at_the_start(eyes: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "weights" / "parser.onnx").write_bytes(b"first")
    kept = eyes.main.copied(tmp_path / "weights", tmp_path / "scratch")
    (tmp_path / "weights" / "parser.onnx").write_bytes(b"second")
    assert [(path.name, path.read_bytes()) for path in kept.iterdir()] == [("parser.onnx", b"first")]
    with pytest.raises(BadInputError, match="--weights"):
        eyes.main.copied(tmp_path / "none", tmp_path / "scratch")


def test_the_network_that_knows_people_is_measured_beside_the_judge(eyes: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "weights" / "identity.onnx").write_bytes(b"judge")
    (tmp_path / "mine.onnx").write_bytes(b"mine")
    kept = eyes.main.copied(tmp_path / "weights", tmp_path / "scratch", tmp_path / "mine.onnx")
    assert {path.stem: path.read_bytes() for path in kept.iterdir()} == {"identity": b"mine", "judge": b"judge"}
    models = eyes.identity.rivals(setup_of(eyes, kept), eyes.table.Result())
    assert models["our judge"] == kept / "judge.onnx"
    with pytest.raises(BadInputError, match="--identity"):
        eyes.main.copied(tmp_path / "weights", tmp_path / "scratch", tmp_path / "none.onnx")


def test_rendered_people_are_told_from_strangers_alike(eyes: SimpleNamespace) -> None:
    """Six people, three pictures each, two kinds; one person's second picture looks like a stranger of the kind."""
    people = [f"p{n // 3}" for n in range(18)]
    alike = ["a" if n < 9 else "b" for n in range(18)]
    vectors = np.eye(6)[np.arange(18) // 3]
    np.testing.assert_array_equal(eyes.identity.told_right(vectors, people, alike), 1)
    vectors[1] = np.eye(6)[1]  # p0's second picture shows p1
    found = eyes.identity.told_right(vectors, people, alike)
    assert found[1] == pytest.approx(0.25)  # none of 2 pictures known again; 3 of 6 strangers alike refused
    assert found[0] == found[2] == pytest.approx(0.75)
    np.testing.assert_allclose(found[3:6], 0.5 + (5 / 6) / 2)
    np.testing.assert_array_equal(found[6:], 1)
    alone = eyes.identity.told_right(vectors, people, [*alike[:9], *["c"] * 3, *["b"] * 6])
    assert np.isnan(alone[9:12]).all()  # nobody is like p3


def test_a_face_is_found_by_a_sure_box_around_it(eyes: SimpleNamespace) -> None:
    box, other = np.array([10.0, 10, 30, 30], np.float32), np.array([50.0, 50, 70, 70], np.float32)
    told = np.stack([box + 2, other]), np.array([0.6, 0.9])
    assert eyes.detector.found(told, box, 0.5)
    assert not eyes.detector.found(told, box, 0.7)
    assert not eyes.detector.found((told[0][:0], told[1][:0]), box, 0.5)


def test_portraits_need_a_manifest(eyes: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"manifest\.csv"):
        eyes.held_out.portraits(setup_of(eyes, tmp_path, data=tmp_path))
    rows = ["file,set,split,licence,person"] + [f"val/{n}.jpg,s,{'val' if n % 2 else 'train'},x,P{n}" for n in range(8)]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    found = eyes.held_out.portraits(setup_of(eyes, tmp_path, data=tmp_path))
    assert [portrait.person for portrait in found] == ["P1", "P3", "P5", "P7"]


def test_a_mirrored_face_has_mirrored_irises_and_the_other_yaw(
    eyes: SimpleNamespace, root: Path, face_data: Path, face_models: Path
) -> None:
    frame = warp(read_picture(root / "examples" / "identity_1.jpg").frame, np.eye(2, 3, dtype=np.float32), (640, 640))
    setup = setup_of(eyes, root, data=face_data)
    irises = eyes.looking.IrisTeacher(setup.teacher("iris_landmark.tflite"))
    fsanet = eyes.attributes.FsaNet([setup.teacher(name) for name in eyes.attributes.FSANET_FILES])
    dense = Analyser(eyes.landmarks.MediaPipeNetworks()).analyse(frame).dense[0]
    mirrored = dense[load_topology().mirror] * np.array([-1, 1, 1], np.float32) + np.array([640, 0, 0], np.float32)
    flipped = np.ascontiguousarray(frame[:, ::-1])
    here, there = irises(frame, dense), irises(flipped, mirrored)
    unit = eyes.landmarks.eye_distance(dense)
    assert np.linalg.norm(here - (there[::-1] * [-1, 1] + [640, 0]), axis=1).max() < 0.03 * unit
    assert np.linalg.norm(here - dense[[[33, 133], [362, 263]], :2].mean(1), axis=1).max() < 0.15 * unit
    yaw, mirrored_yaw = fsanet(frame, dense)[0], fsanet(flipped, mirrored)[0]
    assert abs(yaw + mirrored_yaw) < 8


def test_setups_say_what_is_there(eyes: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "parser.onnx").write_bytes(b"x")
    setup = setup_of(eyes, tmp_path, data=tmp_path)
    assert setup.network("parser") == tmp_path / "parser.onnx"
    assert setup.network("detector") is None
    assert setup.teacher("none.onnx") is None
    assert dataclasses.replace(setup, data=None).teacher("none.onnx") is None
