"""`facegraft swap` on the example people, as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from facegraft.cli import swap as verb
from facegraft.cli.main import main
from facegraft.core.errors import MissingPartError
from facegraft.core.image import picture_from_frame, read_picture, save_frame
from facegraft.provenance.report import read_provenance
from facegraft.runtime.video import CODECS, KINDS, PRESETS
from tests.odd_videos import Clip, write_clip


@pytest.fixture(scope="module")
def examples(root: Path) -> Path:
    return root / "examples"


def swap(*words: str | Path) -> int:
    return main(["swap", *(str(word) for word in words)])


def last_line(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_the_choices_are_those_of_the_video_engine() -> None:
    assert (verb.CODECS, verb.PRESETS, verb.KINDS) == (CODECS, PRESETS, KINDS)


def test_a_picture_is_swapped_and_says_so(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    assert swap(examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", out) == 0
    told = last_line(capsys)["files"][0]
    before, after = read_picture(examples / "attribute_1.jpg").frame, read_picture(out).frame
    changed = (before != after).any(axis=2)
    assert told["swapped"] == 1
    assert 0.01 < changed.mean() < 0.25
    assert told["changed_share"] == pytest.approx(changed.mean(), abs=0.02)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert box.mean() > 0.5, "what changes is one compact region: the face"
    assert read_provenance(out).status == "intact"


def test_provenance_none_leaves_no_word(examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert swap(examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", out, "--provenance", "none") == 0
    assert read_provenance(out).status != "intact"
    assert b"facegraft" not in out.read_bytes()


def test_which_chooses_the_face(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {}
    before = read_picture(examples / "attribute_3.jpg").frame
    for which, swapped in (("all", 2), ("largest", 1), ("0", 1), ("1", 1)):
        out = tmp_path / f"{which}.png"
        assert swap(examples / "identity_2.jpg", examples / "attribute_3.jpg", "-o", out, "--which", which) == 0
        assert last_line(capsys)["files"][0]["swapped"] == swapped
        columns[which] = np.flatnonzero((read_picture(out).frame != before).any(axis=(0, 2)))
    assert np.array_equal(columns["0"], columns["largest"])
    assert abs(columns["0"].mean() - columns["1"].mean()) > 0.2 * before.shape[1]
    assert columns["all"].min() == min(columns["0"].min(), columns["1"].min())


def test_no_face_fails_keeps_or_skips(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, out = tmp_path / "wall.png", tmp_path / "out.png"
    save_frame(empty, np.full((120, 160, 3), 180, np.uint8))
    person = examples / "identity_1.jpg"
    assert swap(person, empty, "-o", out) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert swap(person, empty, "-o", out, "--on-no-face", "skip") == 0
    assert not out.exists()
    assert swap(person, empty, "-o", out, "--on-no-face", "keep") == 0
    np.testing.assert_array_equal(read_picture(out).frame, read_picture(empty).frame)
    assert read_provenance(out).status != "intact", "nothing was swapped, so nothing says it was"
    assert swap(empty, person, "-o", out) == 2
    assert "wall.png" in capsys.readouterr().err


def test_a_folder_is_done_file_by_file_and_a_bad_one_does_not_stop_it(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("attribute_1.jpg", "attribute_2.jpg"):
        (folder / name).write_bytes((examples / name).read_bytes())
    (folder / "broken.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes()[:900])
    (folder / "notes.txt").write_text("no picture")
    assert swap(examples / "identity_3.jpg", folder, "-o", out) == 2
    report = last_line(capsys)
    assert report["failed"] == 1
    assert sorted(path.name for path in out.iterdir()) == ["attribute_1.jpg", "attribute_2.jpg", "report.json"]
    assert json.loads((out / "report.json").read_text())["files"] == report["files"]


def test_files_that_would_share_a_name_are_kept_apart_and_done_ones_stay(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    short = frames_of(examples / "clip.mp4")[:3]
    for name in ("a.avi", "a.mp4"):
        write_clip(folder / name, short, Clip(size_hw=(360, 640)))
    (folder / "b.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes())
    person = examples / "identity_3.jpg"
    assert swap(person, folder, "-o", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.avi.mp4", "a.mp4", "b.jpg", "report.json"]
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert swap(person, folder, "-o", out) == 0
    assert capsys.readouterr().out.count("already there") >= 3
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_clip_in_which_nobody_is_swapped_says_so(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        examples / "identity_1.jpg",
        examples / "clip.mp4",
        "--end",
        "0.4",
        "--which",
        "7",
        "-o",
        tmp_path / "o.mp4",
    ]
    assert swap(*words) == 2
    assert "no face was swapped in 10 frames" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert swap(*words, "--on-no-face", "keep") == 0
    assert read_provenance(tmp_path / "o.mp4").status != "intact"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mp4"]


@pytest.mark.parametrize(
    ("attribute", "words", "says"),
    [
        ("photo.jpg", ["-o", "no/out.png"], "its folder no does not exist"),
        ("photo.jpg", ["-o", "there"], "is a folder"),
        ("photo.jpg", ["-o", "/proc/out.png"], "cannot be written"),
        ("photo.jpg", ["-o", "out.jpg", "--quality", "999"], "--quality must be 1 to 100"),
        ("small.png", ["-o", "out.png", "--watermark"], "leave small pictures unmarked"),
        ("clip.mp4", ["-o", "out.webm"], "audio"),
        ("clip.mp4", ["-o", "no/out.mp4"], "its folder no does not exist"),
        ("clip.mp4", ["-o", "out.mp4", "--start", "100"], "no frames between 100.0 s and the end"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(
    attribute: str, words: list[str], says: str, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("photo.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes())
    Path("clip.mp4").write_bytes((examples / "clip.mp4").read_bytes())
    face = cv2.resize(read_picture(examples / "identity_1.jpg").frame, (80, 80), interpolation=cv2.INTER_AREA)
    save_frame(Path("small.png"), np.asarray(face, np.uint8))
    before = sorted(tmp_path.rglob("*"))
    said = []
    for more in (["--dry-run"], []):
        assert swap(examples / "identity_1.jpg", attribute, *words, *more) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1], "a dry run says what the run says"
    assert says in said[0]
    assert said[0].count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_of_a_folder_looks_where_its_folder_will_be(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "photo.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes())
    words = (examples / "identity_1.jpg", tmp_path / "in", "--dry-run", "-o")
    assert swap(*words, tmp_path / "a" / "b") == 0
    assert f"into {tmp_path / 'a' / 'b' / 'photo.jpg'}" in capsys.readouterr().out
    assert swap(*words, tmp_path / "in" / "swapped") == 0, "beside a photo of the same name"
    capsys.readouterr()
    assert swap(*words, "/proc/a/b") == 2
    assert "cannot be written" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_dry_run_writes_nothing(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = examples / "identity_1.jpg"
    for attribute, out in (("attribute_1.jpg", "a.png"), ("clip.mp4", "b.mp4")):
        assert swap(person, examples / attribute, "-o", tmp_path / out, "--dry-run") == 0
        assert "would swap" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.jpg"], "expected an identity"),
        (["a.jpg", "b.jpg", "--map", "c.jpg=d.jpg"], "alone"),
        (["b.jpg", "--map", "c.jpg=d.jpg", "--which", "largest"], "exclude"),
        (["a.jpg", "b.jpg", "--min-score", "7"], "0 to 1"),
        (["a.jpg", "b.jpg", "--max-megapixels", "0"], "above 0"),
        (["a.jpg", "b.mp4", "--start", "5", "--end", "2"], "after"),
        (["a.jpg", "b.mp4", "--crf", "900"], "0 (best) to 63"),
        (["a.jpg", "b.jpg", "--start", "1"], "only for clips"),
        (["a.jpg", "b.mp4", "--quality", "90"], "only for pictures"),
        (["a.jpg", "b.jpg", "--quality", "90", "-o", "out.png"], ".png keeps every pixel"),
        (["a.jpg", "b.jpg", "--quality", "0"], "1 to 100"),
        (["a.jpg", "b.jpg", "--consent", "yes", "--provenance", "none"], "use one"),
        (["a.jpg", "b.jpg", "-o", "out.mp4"], "is a picture"),
        (["a.jpg", "b.mp4", "-o", "out.png"], "is a clip"),
        (["a.jpg", "b.jpg", "-o", "a.jpg"], "is an input of this job"),
        (["a.jpg", "b.jpg", "--which", "7"], "0 to 0"),
        (["missing.jpg", "b.jpg"], "missing.jpg"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(
    words: list[str], says: str, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        Path(name).write_bytes((examples / "identity_1.jpg").read_bytes())
    Path("b.mp4").write_bytes((examples / "clip.mp4").read_bytes())
    before = sorted(tmp_path.iterdir())
    assert swap(*words) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert says in errors
    assert sorted(tmp_path.iterdir()) == before


def test_a_clip_that_is_refused_shows_no_empty_bar(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    words = (examples / "identity_1.jpg", examples / "clip.mp4", "-o")
    assert swap(*words, tmp_path / "out.webm", "--no-report") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert swap(*words, tmp_path / "out.mp4", "--end", "0.2", "--no-report") == 0
    assert "fps" in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")
    assert swap(*words, tmp_path / "out.mp4", "--end", "0.2", "--no-report") == 0
    assert capsys.readouterr().err == "", "a file is no place for a bar"


def test_gifs_that_move_are_clips_and_others_pictures(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = cv2.resize(read_picture(examples / "attribute_1.jpg").frame, (400, 600), interpolation=cv2.INTER_AREA)
    frames = [Image.fromarray(np.roll(small, 2 * step, axis=1)) for step in range(3)]
    still, moving, clear = tmp_path / "still.gif", tmp_path / "moving.gif", tmp_path / "clear.gif"
    frames[0].save(still)
    frames[0].save(moving, save_all=True, append_images=frames[1:])
    see_through = [frame.convert("RGBA") for frame in frames]
    for frame in see_through:
        frame.putpixel((0, 0), (0, 0, 0, 0))
    see_through[0].save(clear, save_all=True, append_images=see_through[1:], disposal=2)
    person, lost = examples / "identity_1.jpg", "note: transparency is not kept"
    for gif, name, notes in ((still, "still-swapped.png", 0), (moving, "moving-swapped.mp4", 0), (clear, "c.mp4", 1)):
        words = () if notes == 0 else ("-o", tmp_path / name)
        assert swap(person, gif, "--no-report", *words) == 0
        assert capsys.readouterr().out.count(lost) == notes
        assert (tmp_path / name).is_file()
    assert swap(person, moving, "-o", tmp_path / "x.gif") == 2
    assert f"is a clip; name it -o {tmp_path / 'x.mp4'}" in capsys.readouterr().err
    assert swap(person, still, "-o", tmp_path / "x.mp4") == 2
    assert "is a picture" in capsys.readouterr().err


def test_a_photo_of_two_people_is_said_to_give_the_larger(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (examples / "attribute_3.jpg", examples / "attribute_1.jpg", "-o", tmp_path / "out.png", "--dry-run")
    assert swap(*words) == 0
    assert f"note: {examples / 'attribute_3.jpg'}: shows 2 faces; the largest is the id" in capsys.readouterr().out


def test_a_picture_of_whom_to_swap_may_be_as_large_as_the_others(
    examples: Path, tmp_path: Path, recogniser: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = tmp_path / "small.jpg", examples / "attribute_1.jpg"
    face = cv2.resize(read_picture(large).frame, None, fx=0.3, fy=0.3)
    save_frame(small, np.asarray(face, np.uint8))
    words = (small, small, "-o", tmp_path / "out.png", "--max-megapixels", "0.06", "--dry-run", "--which")
    assert swap(*words, small) == 0
    capsys.readouterr()
    assert swap(*words, large) == 2
    assert "attribute_1.jpg: 768x768 is 0.6 megapixels, above the limit of 0.06" in capsys.readouterr().err


def test_a_picture_is_not_written_over_itself(examples: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes((examples / "attribute_1.jpg").read_bytes())
    before = photo.read_bytes()
    assert swap(examples / "identity_1.jpg", photo, "-o", photo) == 2
    assert photo.read_bytes() == before


def test_the_watermark_is_there_when_asked_for(examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert swap(examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", out, "--watermark") == 0
    reading = read_provenance(out, watermark=True).watermark
    assert reading is not None
    assert reading.found


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def packets_of(path: Path, kind: str) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [(packet.pts, bytes(packet)) for packet in container.demux(stream) if packet.size]


def test_a_clip_keeps_its_times_and_sound(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mp4"
    assert swap(examples / "identity_1.jpg", examples / "clip.mp4", "-o", out, "--end", "1") == 0
    told = last_line(capsys)["files"][0]
    assert told["frames"] == 25
    assert told["frames_with_face"] == 25
    before, after = frames_of(examples / "clip.mp4")[:25], frames_of(out)
    assert len(after) == 25
    changed = np.mean([(np.abs(a.astype(int) - b) > 24).any(axis=2).mean() for a, b in zip(before, after, strict=True)])
    assert 0.003 < changed < 0.2
    audio = packets_of(out, "audio")
    assert audio == packets_of(examples / "clip.mp4", "audio")[: len(audio)]
    assert read_provenance(out).status == "intact"


def test_a_killed_clip_goes_on_and_ends_the_same(examples: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.mp4", tmp_path / "killed.mp4"
    words = [examples / "identity_1.jpg", examples / "clip.mp4", "--end", "2", "--provenance", "metadata", "-o"]
    command = [sys.executable, "-c", CHOPPED, *(str(word) for word in words)]
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    first = subprocess.run(
        [*command, str(killed)], capture_output=True, env={**os.environ, "DIE_AT_FRAME": "31"}, check=False
    )
    assert first.returncode != 0
    assert not killed.exists()
    again = subprocess.run([*command, str(killed)], capture_output=True, text=True, check=True)
    told = json.loads(again.stdout.strip().splitlines()[-1])["files"][0]
    assert told["resumed_from"] > 0
    assert told["quality"]["not_measured"][-1].startswith(f"quality of frames 0 to {told['resumed_from'] - 1}:")
    for one, other in zip(frames_of(whole), frames_of(killed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(examples: Path, tmp_path: Path) -> None:
    rng, whole = np.random.default_rng(0), tmp_path / "whole.mp4"
    words = [examples / "identity_1.jpg", examples / "clip.mp4", "--provenance", "metadata", "-o"]
    command = [sys.executable, "-c", CHOPPED, *(str(word) for word in words)]
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    expected, kills, jobs = frames_of(whole), 0, 0
    while kills < 20:
        out = tmp_path / f"killed_{jobs}.mp4"
        while not out.exists():
            dying = {**os.environ, "DIE_AT_FRAME": str(rng.integers(1, 60))} if kills < 20 else dict(os.environ)
            code = subprocess.run([*command, str(out)], capture_output=True, env=dying, check=False).returncode
            kills += code != 0
            assert out.exists() is (code == 0)
        for one, other in zip(expected, frames_of(out), strict=True):
            np.testing.assert_array_equal(one, other)
        jobs += 1


CHOPPED = """
import os, signal, sys
from facegraft.cli import swapping
from facegraft.cli.main import main
from facegraft.runtime.clip import ClipSwap

die_at, seen, edit = int(os.environ.get("DIE_AT_FRAME", "-1")), [0], ClipSwap.edit

def counted(self, frame, time_s):
    seen[0] += 1
    if seen[0] == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return edit(self, frame, time_s)

ClipSwap.edit = counted
short = swapping.VideoOptions
swapping.VideoOptions = lambda **options: short(segment_s=0.5, **options)
sys.exit(main(["swap", *sys.argv[1:]]))
"""


def test_several_identity_photos_of_one_person(examples: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    front, side = examples / "identity_1.jpg", examples / "identity_1_side.jpg"
    assert swap(front, examples / "attribute_2.jpg", "-o", one) == 0
    assert swap(front, side, examples / "attribute_2.jpg", "-o", two) == 0
    assert picture_from_frame(read_picture(one).frame).frame.shape == read_picture(two).frame.shape


def test_map_puts_two_identities_on_two_people(
    examples: Path, tmp_path: Path, recogniser: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from facegraft.faces.analyse import Analyser

    group = read_picture(examples / "attribute_3.jpg").frame
    faces = Analyser().analyse(group)
    for face in faces:
        left, top, right, bottom = face.box_xyxy.astype(int)
        margin = (right - left) // 2
        save_frame(
            tmp_path / f"person_{face.number}.png",
            np.ascontiguousarray(group[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]),
        )
    out = tmp_path / "out.png"
    pairs = [f"{tmp_path}/person_{number}.png={examples}/identity_{number + 1}.jpg" for number in (0, 1)]
    assert swap(examples / "attribute_3.jpg", "-o", out, "--map", pairs[0], "--map", pairs[1]) == 0
    assert last_line(capsys)["files"][0]["swapped"] == 2
    assert swap(examples / "attribute_3.jpg", "-o", out, "--map", pairs[1]) == 0
    assert last_line(capsys)["files"][0]["swapped"] == 1


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_rotated_phone_clip_is_swapped_upright_and_stays_rotated(
    degrees: int, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The upright people of the example, stored as a phone stores them: turned, with a matrix that turns them back."""
    upright = frames_of(examples / "clip.mp4")[50:58]
    small = [np.ascontiguousarray(frame[:, 280:1000]) for frame in upright]
    coded = [np.ascontiguousarray(np.rot90(frame, k=-degrees // 90)) for frame in small]
    clip = write_clip(tmp_path / "phone.mp4", coded, Clip(degrees=degrees))
    assert swap(examples / "identity_2.jpg", clip, "-o", tmp_path / "out.mp4") == 0
    told = last_line(capsys)["files"][0]
    assert told["swaps"] == len(upright)
    with av.open(str(clip)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        old, new = (next(container.decode(video=0)) for container in (before, after))
        assert old.rotation == new.rotation != 0
        shown = np.rot90(new.to_ndarray(format="rgb24"), k=degrees // 90)
    changed = (np.abs(shown.astype(int) - small[0]) > 24).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert 0.3 < rows.mean() / 720 < 0.6, "the face is in the upper half of the upright picture"
    assert 0.3 < columns.mean() / 720 < 0.7


# --- how good it is -----------------------------------------------------------------------------------


def test_a_picture_ends_with_its_quality_in_words_and_beside_it(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert swap(examples / "identity_1.jpg", examples / "attribute_3.jpg", "-o", out) == 0
    said = capsys.readouterr().out.strip().splitlines()
    told = json.loads(said[-1])
    found = told["files"][0]["quality"]
    assert told["report"] == str(out) + ".report.json"
    assert json.loads((tmp_path / "out.png.report.json").read_text())["files"] == told["files"]
    assert (found["looked_at"], found["lost"], found["outside_pixels"]) == (2, 0, 0)
    assert 0 < found["pose_degrees"] < 8
    assert 0 <= found["expression_percent"] < 10
    assert 0 <= found["gaze_degrees"] < 20
    assert found["flicker_levels"] is None
    assert any(line.startswith("quality: off the attribute: pose") for line in said)
    assert "quality: 0 pixels changed outside the swapped faces" in said


def test_a_lossy_picture_says_what_it_cannot_tell(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person, photo = examples / "identity_1.jpg", examples / "attribute_1.jpg"
    for name, words, why in (("a.jpg", (), "lossy"), ("b.png", ("--watermark",), "invisible mark")):
        assert swap(person, photo, "-o", tmp_path / name, *words) == 0
        found = last_line(capsys)["files"][0]["quality"]
        assert found["outside_pixels"] is None
        assert [why in line for line in found["not_measured"] if line.startswith("pixels changed")] == [True]


def test_the_recogniser_judges_where_it_is(
    examples: Path, tmp_path: Path, recogniser: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert swap(examples / "identity_1.jpg", examples / "identity_2.jpg", "-o", out) == 0
    found = last_line(capsys)["files"][0]["quality"]
    assert found["judge"] == "dlib"
    assert found["identity_before"] < found["identity_cosine"] <= 1
    assert found["identity_cosine"] > 0.85


def test_the_judge_of_eval_has_no_part_in_the_report_of_a_swap(
    tmp_path: Path, judge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facegraft.evaluate.after import eyes_for
    from facegraft.faces.analyse import Analyser

    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    shutil.copy(judge, tmp_path)
    assert {name: one.size_px for name, one in eyes_for(Analyser()).judges.items()} == {"second": 112}


def test_without_a_recogniser_the_rest_is_measured(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path / "none"))
    monkeypatch.setattr("facegraft.evaluate.after.OWN_IDENTITY", tmp_path / "none.onnx")
    assert swap(examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", tmp_path / "out.png") == 0
    said = capsys.readouterr().out.strip().splitlines()
    found = json.loads(said[-1])["files"][0]["quality"]
    assert found["identity_cosine"] is None
    assert found["pose_degrees"] is not None
    assert sum("models fetch --recogniser" in line for line in said[:-1]) == 1


def test_a_clip_tells_how_steady_it_is_and_no_report_leaves_it_the_same(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person = examples / "identity_1.jpg"
    small = [np.ascontiguousarray(frame[::2, ::2]) for frame in frames_of(examples / "clip.mp4")[50:60]]
    clip = write_clip(tmp_path / "small.mp4", small, Clip(size_hw=small[0].shape[:2]))
    one, two = tmp_path / "one.mp4", tmp_path / "two.mp4"
    assert swap(person, clip, "-o", one, "--provenance", "none") == 0
    found = last_line(capsys)["files"][0]["quality"]
    assert found["looked_at"] == 4  # runs begin at frames 0, 3, 6 and 9
    assert 0 < found["flicker_levels"] < 30
    assert abs(found["landmark_jitter_percent"]) < 10
    assert found["outside_pixels"] is None
    assert swap(person, clip, "-o", two, "--provenance", "none", "--no-report") == 0
    told = last_line(capsys)
    assert "quality" not in told["files"][0]
    assert "report" not in told
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.mp4",
        "one.mp4.report.json",
        "small.mp4",
        "two.mp4",
    ]


def test_neither_a_report_that_cannot_be_written_nor_a_look_that_fails_fails_a_swap(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: object) -> None:
        raise MissingPartError("attributes.onnx is missing")

    monkeypatch.setattr("facegraft.cli.watching.eyes_for", missing)
    words = [examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", tmp_path / "out.png"]
    assert swap(*words, "--report", tmp_path / "missing" / "r.json") == 0
    said = capsys.readouterr().out.strip().splitlines()
    assert said[-2].startswith("warning: no report: ")
    told = json.loads(said[-1])
    assert told["report"] is None
    assert "not measured: quality: attributes.onnx is missing" in said
    assert told["files"][0]["quality"]["outside_pixels"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png"]


def test_what_was_already_there_keeps_its_place_in_the_report(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("attribute_1.jpg", "attribute_2.jpg"):
        (folder / name).write_bytes((examples / name).read_bytes())
        assert swap(examples / "identity_3.jpg", folder, "-o", out) == 0
    files = json.loads((out / "report.json").read_text())["files"]
    assert [one["quality"]["looked_at"] for one in files] == [1, 1]


def test_a_bundle_swaps_and_is_named(
    examples: Path, tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (examples / "identity_1.jpg", examples / "attribute_1.jpg", "--method", tiny_bundle, "--no-report")
    assert swap(*words, "-o", tmp_path / "out.png") == 0
    told = last_line(capsys)
    assert told["method"] == "simswap"
    assert told["files"][0]["swapped"] == 1
    assert read_provenance(tmp_path / "out.png").status == "intact"
    assert b"method simswap" in (tmp_path / "out.png").read_bytes()
    assert swap(*words[:2], "-o", tmp_path / "warp.png", "--no-report") == 0
    assert last_line(capsys)["method"] == "warp"
    frames = [read_picture(tmp_path / name).frame for name in ("out.png", "warp.png")]
    assert (frames[0] != frames[1]).any()


def test_a_method_that_is_none_is_one_line(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    words = (examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", tmp_path / "out.png", "--method")
    for method, says in (("nobody", "there is: warp"), (tmp_path / "photos", "expected a bundle")):
        assert swap(*words, method) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
