"""`ingest` as a whole, on our own renders: what is kept, what is said of it, and that stopping loses nothing."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError, NoFaceError, OutputError
from facegraft.core.geometry import transform
from facegraft.core.image import read_picture, save_frame
from facegraft.core.types import Face
from facegraft.data import ingest_plan
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.data.duplicates import fingerprint
from facegraft.data.filters import Limits
from facegraft.data.ingest import IngestOptions, IngestProgress, ingest, planned
from facegraft.data.ingest_crop import cut, find_faces, inside_frame, place_facts
from facegraft.data.ingest_plan import STAGING
from facegraft.data.ingest_unit import Recipe
from facegraft.faces.align import alignment, template_points
from facegraft.faces.analyse import Analyser
from facegraft.faces.mediapipe import MediaPipeNetworks
from tests.data.ingest_inputs import PORTRAITS, contents, fill, portrait

SMALL = Recipe(size=128)


@pytest.fixture(scope="module")
def photos(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six portraits in folders; a broken file, a text, a wall, a mirror image and a copy of other quality and size."""
    folder = tmp_path_factory.mktemp("ingest") / "photos"
    fill(folder, root, mirrored=1)
    copy = cv2.resize(portrait(root, "identity_2"), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    save_frame(folder / "identity_2" / "copy.jpg", np.asarray(copy), quality=60)
    save_frame(folder / "wall.png", np.full((300, 300, 3), 90, np.uint8))
    (folder / "broken.jpg").write_bytes((folder / "identity_1" / "one.jpg").read_bytes()[:3000])
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def done(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ingest") / "set"
    options = IngestOptions(SMALL, people="folder", licence="CC0-1.0", consent="nobody: rendered", synthetic=True)
    summary = ingest([photos], out, options)
    assert summary.files == 10
    assert summary.people == 6
    assert summary.unknown_licence == 0
    return out


def rejected(out: Path) -> dict[str, str]:
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as stream:
        return {row["path"].removeprefix("photos/"): row["reason"] for row in csv.DictReader(stream)}


def test_every_file_is_kept_or_named_with_its_reason(done: Path) -> None:
    dataset = open_dataset(done)
    assert {row.facts["file"] for row in dataset.rows} == {
        "photos/identity_1/two.jpg",
        *(f"photos/{name}/one.jpg" for name in PORTRAITS),
    }
    reasons = rejected(done)
    assert reasons["identity_2/copy.jpg"] == "near-duplicate"
    assert reasons["wall.png"] == "no face"
    assert reasons["broken.jpg"] == "unreadable"
    assert reasons["notes.txt"] == "not a picture or clip"
    assert reasons.keys() - {f"{name}/one.jpg" for name in PORTRAITS} == {
        "identity_2/copy.jpg",
        "wall.png",
        "broken.jpg",
        "notes.txt",
    }
    assert not (done / STAGING).exists()


def test_items_say_who_whose_and_under_which_licence(done: Path) -> None:
    dataset = open_dataset(done)
    for item in dataset:
        assert (item.licence, item.consent, item.synthetic) == ("CC0-1.0", "nobody: rendered", True)
        assert item.person == item.origin.split("/")[1]
        assert item.clip == ""
    assert dataset.people == tuple(sorted(PORTRAITS))
    assert dataset.card.counts["licence"] == {"CC0-1.0": 7}
    assert dataset.card.options["size"] == 128


def test_points_pose_and_matrix_agree_with_a_fresh_look(done: Path, photos: Path) -> None:
    analyser = Analyser()
    for item in open_dataset(done):
        frame = read_picture(photos.parent / str(item.facts["file"])).frame
        face = analyser.analyse(frame)[0]
        matrix = item.arrays["matrix"]
        np.testing.assert_allclose(matrix, alignment(face.points5, "ffhq", 128), atol=1e-4)
        np.testing.assert_allclose(item.arrays["points5"], transform(matrix, face.points5), atol=0.01)
        np.testing.assert_allclose(item.arrays["dense"][:, :2], transform(matrix, face.dense[:, :2]), atol=0.01)
        assert item.arrays["landmarks68"].shape == (68, 2)
        goal = template_points("ffhq", 128)
        assert np.linalg.norm(item.arrays["points5"] - goal, axis=1).mean() < 8
        yaw, pitch, roll = item.arrays["pose_degrees"]
        assert abs(yaw - face.pose_degrees[0]) < 3
        assert abs(pitch - face.pose_degrees[1]) < 3
        assert abs(roll) < 15


@pytest.mark.usefixtures("face_models")
def test_the_teacher_places_the_points_where_it_is_asked_to(root: Path, tmp_path: Path) -> None:
    """Also in worker processes, which are told by the recipe alone."""
    fill(tmp_path / "photos", root)
    teacher = Analyser(MediaPipeNetworks())
    options = IngestOptions(dataclasses.replace(SMALL, points="mediapipe"), people="folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_plan, "FEWEST_PHOTOS", 3)
        ingest([tmp_path / "photos"], tmp_path / "set", options, jobs=2)
    dataset = open_dataset(tmp_path / "set")
    assert dataset.card.options["points"] == "mediapipe"
    assert "a teacher: mediapipe 0.10.21" in dataset.card.about
    assert len(dataset) == len(PORTRAITS)
    for item in dataset:
        frame = read_picture(tmp_path / str(item.facts["file"])).frame
        face = teacher.analyse(frame)[0]
        np.testing.assert_allclose(item.arrays["points5"], transform(item.arrays["matrix"], face.points5), atol=0.01)


def test_crops_come_back_to_their_picture(done: Path, photos: Path) -> None:
    """Crop, then back: the same pixels but for the JPEG and two resamplings."""
    item = open_dataset(done).read(open_dataset(done).rows[0])
    frame = read_picture(photos.parent / str(item.facts["file"])).frame
    matrix = np.vstack([item.arrays["matrix"], [0, 0, 1]]).astype(np.float64)
    to_centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    back = np.linalg.inv(to_centres) @ np.linalg.inv(matrix) @ to_centres
    size_wh = (frame.shape[1], frame.shape[0])
    flags = cv2.INTER_LINEAR
    pasted = cv2.warpAffine(item.frame(), back[:2], size_wh, flags=flags)
    inside = cv2.warpAffine(np.full((128, 128), 255, np.uint8), back[:2], size_wh, flags=flags)
    inside = cv2.erode(inside, np.ones((9, 9), np.uint8)) == 255
    low = [cv2.GaussianBlur(picture, (0, 0), 3).astype(float) for picture in (pasted, frame)]
    assert inside.mean() > 0.1
    assert np.abs(low[0] - low[1])[inside].mean() < 2.5


def test_visible_plane_is_the_face(done: Path) -> None:
    for item in open_dataset(done):
        visible = item.plane("visible")
        assert visible.shape == (128, 128)
        nose = item.arrays["dense"][4, :2].astype(int)
        assert visible[nose[1], nose[0]] > 128
        assert visible[:8].max() == 0, "above the head is no face"
        assert 0 <= float(item.facts["occluded_share"]) < 0.6


def test_hash_can_be_made_again_from_the_stored_crop(done: Path) -> None:
    for item in open_dataset(done):
        bits = fingerprint(item.frame(), template_points("ffhq", 128)).bits
        assert (bits ^ int(str(item.facts["hash"]), 16)).bit_count() <= 4


def test_the_same_call_again_says_done_and_writes_nothing(done: Path, photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    options = IngestOptions(SMALL, people="folder", licence="CC0-1.0", consent="nobody: rendered", synthetic=True)
    again = ingest([photos], done, options)
    assert again.already_done
    assert again.items == 7
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before
    with pytest.raises(BadInputError, match=r"was begun with size 128, now it is 256"):
        ingest([photos], done, dataclasses.replace(options, recipe=Recipe()))


def test_a_lost_shard_of_a_finished_dataset_is_made_again(done: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(done, out)
    shard = out / "shards" / "000000.safetensors"
    shard.unlink()
    options = IngestOptions(SMALL, people="folder", licence="CC0-1.0", consent="nobody: rendered", synthetic=True)
    assert not ingest([photos], out, options).already_done
    assert contents(open_dataset(out)) == contents(open_dataset(done))
    assert ingest([photos], out, options).already_done


def test_stopped_and_gone_on_is_as_if_never_stopped(
    done: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_plan, "FEWEST_PHOTOS", 2)
    options = IngestOptions(SMALL, people="folder", licence="CC0-1.0", consent="nobody: rendered", synthetic=True)
    unbroken = tmp_path / "unbroken"
    ingest([photos], unbroken, options)

    def after(count: int) -> Any:
        def maybe(now: IngestProgress) -> None:
            if now.done == count:
                raise KeyboardInterrupt

        return maybe

    for count in (0, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            ingest([photos], tmp_path / "set", options, progress=after(count))
        assert len(list((tmp_path / "set" / STAGING / "units").glob("*"))) == count
        with pytest.raises(FacegraftError):
            open_dataset(tmp_path / "set")
    steps: list[int] = []
    ingest([photos], tmp_path / "set", options, progress=lambda now: steps.append(now.done))
    assert steps[0] == 3, "what was done is not done again"
    assert contents(open_dataset(tmp_path / "set")) == contents(open_dataset(unbroken))
    by_file = {item.origin: item for item in open_dataset(done)}
    for item in open_dataset(unbroken):
        assert item.image == by_file[item.origin].image, "units of another size change no picture"


def test_a_lost_piece_of_an_unfinished_dataset_is_made_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_plan, "FEWEST_PHOTOS", 4)
    ingest([photos], tmp_path / "whole", IngestOptions(SMALL))

    def lose(now: IngestProgress) -> None:
        if now.done == now.units:
            next((tmp_path / "set" / STAGING / "shards").iterdir()).unlink()

    with pytest.raises(OutputError, match="does another run work in this folder"):
        ingest([photos], tmp_path / "set", IngestOptions(SMALL), progress=lose)
    assert not (tmp_path / "set" / "shards").exists()
    ingest([photos], tmp_path / "set", IngestOptions(SMALL))
    assert contents(open_dataset(tmp_path / "set")) == contents(open_dataset(tmp_path / "whole"))


@pytest.mark.skipif(os.name != "posix", reason="names that are no text exist there only")
def test_names_that_are_no_text_are_kept_apart_and_printed_safely(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(root / "examples" / "identity_1.jpg", os.fsencode(folder) + b"/n\xe9.jpg")
    (folder / "line\nbreak.jpg").write_bytes(b"\xff\xd8\xff")
    summary = ingest([folder], tmp_path / "set", IngestOptions(SMALL))
    assert (summary.items, summary.rejected) == (1, {"unreadable": 1})
    assert open_dataset(tmp_path / "set").rows[0].facts["file"] == "odd/n\udce9.jpg"
    lines = (tmp_path / "set" / "rejected.csv").read_text().splitlines()
    assert len(lines) == 2
    assert "line\\nbreak.jpg" in lines[1]


def test_no_face_anywhere_is_an_error_that_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "walls"
    folder.mkdir()
    save_frame(folder / "wall.png", np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(NoFaceError, match=r"no face in 1 files can be used \(1 x no face\)"):
        ingest([folder], tmp_path / "set")
    assert rejected(tmp_path / "set") == {"walls/wall.png": "no face"}


def test_limits_reject_with_their_reason(photos: Path, tmp_path: Path) -> None:
    limits = Limits(min_face_px=10_000)
    with pytest.raises(NoFaceError, match="face too small"):
        ingest([photos / "identity_1"], tmp_path / "set", IngestOptions(dataclasses.replace(SMALL, limits=limits)))


def test_wrong_options_write_nothing(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    for options, complaint in (
        (IngestOptions(Recipe(size=4)), "--size: expected 32 to 4096, found 4"),
        (IngestOptions(Recipe(every=0)), "--every: expected 1 or more"),
        (IngestOptions(people="names"), "--people: expected folder, cluster, none"),
        (IngestOptions(val_share=1.5), "--val-share: expected 0 to 1"),
        (IngestOptions(licence=" "), "--licence: expected a licence's name"),
        (IngestOptions(Recipe(same_picture=float("nan"))), "--same-picture: expected -1 to 1, found nan"),
        (IngestOptions(same_person=97), "--same-person: expected -1 to 1, found 97"),
    ):
        with pytest.raises(BadInputError, match=complaint):
            ingest([photos], out, options)
    assert not out.exists()
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(OutputError, match="cannot be made"):
        ingest([photos], tmp_path / "notes.txt" / "set")


def test_another_dataset_is_not_touched(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(BadInputError, match="holds a dataset that ingest did not make"):
        ingest([photos], tmp_path)


@pytest.mark.parametrize("name", ["summary.json", "rejected.csv", "CARD.md", "report.html", "holiday.jpg", STAGING])
def test_a_folder_that_holds_something_else_is_not_touched(name: str, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    out.mkdir()
    (out / ".hidden").write_text("of the system")
    (out / name).write_text("mine")
    for call in (ingest, lambda paths, out: planned(paths, out, IngestOptions())):
        with pytest.raises(BadInputError, match=f"holds {re.escape(name)} already"):
            call([photos], out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {".hidden": "of the system", name: "mine"}


def test_a_dataset_does_not_lie_among_its_photographs(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for out in (folder, folder / "set", folder / "new" / "set", tmp_path / "link" / "set"):
        with pytest.raises(BadInputError, match=r"lies in .*holiday, which is to be read"):
            ingest([photos, folder], out)
    assert not list(folder.iterdir())


def test_a_dry_run_goes_where_the_real_one_went(done: Path, photos: Path) -> None:
    assert planned([photos], done, IngestOptions()).files > 0


def cut_tight(frame: np.ndarray, face: Face, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The face without this share of its box at each side, and where that lies in the frame."""
    inset = share * (face.box_xyxy[2:] - face.box_xyxy[:2])
    left, top = np.rint(face.box_xyxy[:2] + inset).astype(int)
    right, bottom = np.rint(face.box_xyxy[2:] - inset).astype(int)
    return np.ascontiguousarray(frame[top:bottom, left:right]), np.float32([left, top])


@pytest.mark.parametrize("name", ["identity_1", "identity_2", "identity_3"])
def test_a_face_that_fills_its_picture_is_found_where_it_is(root: Path, name: str) -> None:
    """Cut tighter and tighter: points stay right, and one that is missed at last is found with a border around it."""
    frame = portrait(root, name, 700)
    analyser = Analyser()
    face = analyser.analyse(frame)[0]
    width = face.box_xyxy[2] - face.box_xyxy[0]
    for share in (0.12, 0.16, 0.2, 0.22, 0.24):
        tight, corner = cut_tight(frame, face, share)
        found = find_faces(analyser.networks, tight)
        assert len(found) == 1
        gap = np.linalg.norm(found.points5[0] + corner - face.points5, axis=1).max()
        assert gap < (0.1 if share <= 0.16 else 0.25) * width
        assert place_facts(found[0], alignment(found.points5[0], "ffhq", 128), tight, 128)["cut_share"] > 0.1
        if len(analyser.analyse(tight)) == 0:
            return
    pytest.fail("never missed without a border")


def test_what_lies_outside_the_picture_is_filled_smoothly(root: Path) -> None:
    whole = portrait(root, "identity_1", 400)
    face = Analyser().analyse(whole)[0]
    left, top, right, bottom = np.rint(face.box_xyxy).astype(int)
    tight = np.ascontiguousarray(whole[top:bottom, left:right])
    shift = np.array([[1, 0, -left], [0, 1, -top]], np.float32)
    roomy, all_inside = cut(whole, alignment(face.points5, "ffhq", 128), 128)
    crop, inside = cut(tight, alignment(transform(shift, face.points5), "ffhq", 128), 128)
    assert all_inside.min() == 1
    assert 0.2 < inside.mean() < 0.9
    # Warps tell places to 1/32 of a pixel, so steep edges may differ by as much of their height.
    nearby = np.ones((3, 3), np.uint8)
    steepness = cv2.dilate(roomy, nearby).astype(int) - cv2.erode(roomy, nearby)
    assert (np.abs(crop.astype(int) - roomy) <= 1 + steepness / 32)[inside == 1].all()
    grain = np.random.default_rng(0).integers(60, 200, tight.shape).astype(np.uint8)
    filled, _ = cut(grain, alignment(transform(shift, face.points5), "ffhq", 128), 128)
    far = cv2.distanceTransform((inside <= 0.5).astype(np.uint8), cv2.DIST_L2, 5) > 12
    steps = np.abs(np.diff(filled.astype(int), axis=1)).mean(axis=2)
    assert steps[far[:, 1:]].mean() < 0.1 * steps[inside[:, 1:] == 1].mean()
    assert np.abs(filled[far].mean(axis=0) - 130).max() < 8, "as bright as the picture"


def test_the_share_outside_is_that_of_the_pixels(root: Path) -> None:
    frame = portrait(root, "identity_1", 400)
    face = Analyser().analyse(frame)[0]
    for cut_off in (0, 90, 150):
        part = np.ascontiguousarray(frame[:, cut_off:])
        moved = dataclasses.replace(
            face,
            dense=face.dense - np.float32([cut_off, 0, 0]),
            points5=face.points5 - np.float32([cut_off, 0]),
        )
        matrix = alignment(moved.points5, "ffhq", 128)
        facts = place_facts(moved, matrix, part, 128)
        assert facts["outside_share"] == pytest.approx(1 - inside_frame(part, matrix, 128).mean(), abs=0.01)
        assert facts["face_px"] == pytest.approx(float((face.box_xyxy[2:] - face.box_xyxy[:2]).max()), abs=0.1)


# --- clips and people ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip_set(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("ingest") / "clip"
    ingest([root / "examples" / "clip.mp4"], out, IngestOptions(dataclasses.replace(SMALL, every=3), people="folder"))
    return open_dataset(out)


def test_a_clip_gives_views_that_differ(clip_set: Dataset) -> None:
    numbers = [row.frame_number for row in clip_set.rows]
    assert len(numbers) > 3
    assert numbers == sorted(set(numbers))
    assert all(number % 3 == 0 for number in numbers)
    assert {row.clip for row in clip_set.rows} == {"clip.mp4"}
    assert {row.split for row in clip_set.rows} in ({"train"}, {"val"}), "frames of one clip stay together"
    points5 = template_points("ffhq", 128)
    thumbnails = np.stack([fingerprint(item.frame(), points5).thumbnail for item in clip_set])
    likeness = thumbnails @ thumbnails.T - np.eye(len(thumbnails))
    assert likeness.max() < 0.99


def test_a_clip_of_a_folder_shows_that_person(clip_set: Dataset) -> None:
    assert clip_set.people == ("examples",)
    assert len({row.facts["track"] for row in clip_set.rows}) == 1


def test_what_is_seen_together_stays_in_one_split_where_nobody_is_known(root: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(SMALL, every=3, embed=False)
    clip = root / "examples" / "clip.mp4"
    shares = {"val_share": 0.4, "test_share": 0.3}
    ingest([clip, root / "examples" / "identity_1.jpg"], tmp_path / "set", IngestOptions(recipe, **shares))
    dataset = open_dataset(tmp_path / "set")
    assert dataset.people == ()
    assert len(dataset) > 5
    assert len({row.split for row in dataset.rows if row.clip}) == 1


def test_a_clip_of_a_known_person_leaves_the_others_out(face_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    folder.mkdir()
    shutil.copy(face_data / "video" / "intel_head-pose-face-detection-female-and-male_CCBY4.gif", folder)
    recipe = dataclasses.replace(SMALL, every=10)
    everybody = ingest([folder], tmp_path / "all", IngestOptions(recipe))
    anna = ingest([folder], tmp_path / "anna_only", IngestOptions(recipe, people="folder"))
    dataset = open_dataset(tmp_path / "anna_only")
    assert dataset.people == ("anna",)
    assert len({row.facts["track"] for row in dataset.rows}) == 1
    left_out = anna.rejected["not the largest face"]
    assert left_out > 0
    assert anna.items + left_out == everybody.items


def test_clustering_knows_a_person_again_and_needs_the_recogniser(
    photos: Path, root: Path, recogniser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = root / "examples" / "identity_1_side.jpg"
    options = IngestOptions(SMALL, people="cluster")
    ingest([photos, side], tmp_path / "set", options)
    dataset = open_dataset(tmp_path / "set")
    who = {str(row.facts["file"]): row.person for row in dataset.rows}
    assert who["identity_1_side.jpg"] == who["photos/identity_1/one.jpg"] == who["photos/identity_1/two.jpg"]
    assert len({who[f"photos/{name}/one.jpg"] for name in PORTRAITS[:3]}) == 3
    assert all(item.arrays["embedding"].shape == (128,) for item in dataset)
    for row in dataset.rows:
        assert row.split == next(other.split for other in dataset.rows if other.person == row.person)
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    with pytest.raises(MissingPartError, match="facegraft models fetch --recogniser"):
        ingest([photos], tmp_path / "other", options)


def test_a_manifest_decides_person_split_and_licence(photos: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    rows = [f"{photos}/{name}/one.jpg,{name[:-1]},MIT,test,{30 + number}" for number, name in enumerate(PORTRAITS)]
    manifest.write_text("\n".join(["path,person,licence,split,age", *rows]) + "\n")
    summary = ingest([photos], tmp_path / "set", IngestOptions(SMALL, manifest=manifest, val_share=0))
    dataset = open_dataset(tmp_path / "set")
    assert dataset.people == ("attribute_", "identity_")
    for row in dataset.rows:
        named = str(row.facts["file"]).endswith("one.jpg")
        assert (row.licence, row.split) == (("MIT", "test") if named else ("unknown", "train"))
        assert ("age" in row.facts) is named
    assert summary.unknown_licence == sum(row.licence == "unknown" for row in dataset.rows) > 0
    assert json.loads((tmp_path / "set" / "summary.json").read_text())["unknown_licence"] == summary.unknown_licence
