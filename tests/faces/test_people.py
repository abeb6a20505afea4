"""People of a clip, and the mapping file that a user edits."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError
from facegraft.core.types import Faces
from facegraft.faces.mapping import MappedPerson, keep_edits, mapped, read_mapping, write_mapping
from facegraft.faces.people import Sightings, cluster, view_quality
from facegraft.faces.smooth import face_size


def unit(*values: float) -> np.ndarray:
    vector = np.zeros(16, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def faces(*rows: tuple[int, np.ndarray | None], size: float = 100.0, yaw: float = 0.0, left: float = 50.0) -> Faces:
    """Faces side by side: number and embedding of each."""
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 6)), -1).reshape(-1, 2) * size
    dense = np.stack([np.column_stack([grid + np.array([left + 150 * k, 40]), np.zeros(36)]) for k in range(len(rows))])
    known = [embedding for _, embedding in rows if embedding is not None]
    return Faces(
        numbers=np.array([number for number, _ in rows], np.int64),
        boxes_xyxy=np.concatenate([dense[:, :, :2].min(1), dense[:, :, :2].max(1)], axis=1).astype(np.float32),
        scores=np.ones(len(rows), np.float32),
        points5=np.zeros((len(rows), 5, 2), np.float32),
        dense=dense.astype(np.float32),
        pose_degrees=np.tile(np.array([yaw, 0, 0], np.float32), (len(rows), 1)),
        embeddings=np.stack(known).astype(np.float32) if known else None,
    )


FRAME = np.random.default_rng(0).integers(0, 256, (200, 500, 3), dtype=np.uint8)
ANNA, BEN = unit(1), unit(0, 1)


def near(person: np.ndarray, seed: int, spread: float = 0.05) -> np.ndarray:
    vector = person + np.random.default_rng(seed).normal(0, spread, person.shape)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


# --- grouping ---------------------------------------------------------------------------------------------


def test_tracks_of_one_person_become_one() -> None:
    seen = Sightings()
    for frame, (number, person) in enumerate([(0, ANNA), (1, BEN), (2, near(ANNA, 1)), (3, near(BEN, 2)), (2, ANNA)]):
        seen.add(FRAME, faces((number, person)), time_s=frame * 1.0, duration_s=1.0)
    people = seen.people()
    assert [person.tracks for person in people] == [(0, 2), (1, 3)]
    assert [person.seconds for person in people] == [3.0, 2.0]
    assert [person.first_s for person in people] == [0.0, 1.0]
    assert people[0].embedding is not None
    assert people[0].embedding @ ANNA > 0.98


def test_faces_seen_together_are_two_people_even_if_they_look_alike() -> None:
    seen = Sightings()
    seen.add(FRAME, faces((0, ANNA), (1, near(ANNA, 1, 0.01))), duration_s=1.0)
    seen.add(FRAME, faces((2, ANNA)), duration_s=1.0)
    people = seen.people()
    assert len(people) == 2
    assert sorted(number for person in people for number in person.tracks) == [0, 1, 2]


def test_without_embeddings_every_track_is_a_person() -> None:
    seen = Sightings()
    seen.add(FRAME, faces((4, None), (7, None)), time_s=1.0, duration_s=0.5)
    assert [person.tracks for person in seen.people()] == [(4,), (7,)]
    assert all(person.embedding is None for person in seen.people())
    assert Sightings().people() == []


def test_pictures_are_grouped_too() -> None:
    seen = Sightings()
    seen.add_picture(FRAME, faces((0, ANNA), (1, BEN)))
    seen.add_picture(FRAME, faces((0, near(BEN, 3))))
    assert sorted(person.tracks for person in seen.people()) == [(0,), (1, 2)]


@given(st.integers(0, 2**32 - 1))
def test_grouping_keeps_its_promises(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    owners = rng.integers(0, 3, count)
    embeddings = np.stack([near(np.eye(16, dtype=np.float32)[owner], int(rng.integers(1e6)), 0.04) for owner in owners])
    apart = [pair for pair in itertools.combinations(range(count), 2) if rng.random() < 0.1]
    groups = cluster(embeddings, rng.random(count) + 0.1, apart, 0.9)
    assert sorted(row for group in groups for row in group) == list(range(count))
    for group in groups:
        assert len({owners[row] for row in group}) == 1  # strangers are orthogonal here
        assert not any(set(pair) <= set(group) for pair in apart)
    if not apart:
        assert len(groups) == len(set(owners.tolist()))


def test_grouping_does_not_depend_on_the_order() -> None:
    embeddings = np.stack([near(person, seed) for seed, person in enumerate([ANNA, BEN, ANNA, ANNA, BEN])])
    order = [3, 1, 4, 0, 2]
    plain = cluster(embeddings, np.ones(5), [], 0.8)
    mixed = cluster(embeddings[order], np.ones(5), [], 0.8)
    assert {frozenset(group) for group in plain} == {frozenset(order[row] for row in group) for group in mixed}


# --- thumbnails -------------------------------------------------------------------------------------------


def test_thumbnail_is_the_sharp_frontal_large_view() -> None:
    blurred = cv2.GaussianBlur(FRAME, (0, 0), 4)
    views = {
        "turned": (np.full_like(FRAME, 60) // 2 + FRAME // 2, faces((0, ANNA), yaw=50.0)),
        "small": (FRAME // 2, faces((0, ANNA), size=30.0)),
        "blurred": (blurred, faces((0, ANNA))),
        "best": (FRAME, faces((0, ANNA))),
    }
    for order in itertools.permutations(views):
        seen = Sightings()
        for name in order:
            seen.add(*views[name])
        alone = Sightings()
        alone.add(*views["best"])
        assert np.array_equal(seen.people()[0].thumbnail, alone.people()[0].thumbnail), order


def test_thumbnail_shows_the_face_in_its_middle_even_at_the_border() -> None:
    frame = np.zeros((200, 500, 3), np.uint8)
    face = faces((0, ANNA), left=-30.0)
    frame[40:140, 0:70] = 200
    seen = Sightings()
    seen.add(frame, face)
    thumbnail = seen.people()[0].thumbnail
    assert thumbnail.shape == (192, 192, 3)
    assert thumbnail[96, 96, 0] == 200
    assert thumbnail[4, 180, 0] == 0


def test_quality_prefers_frontal_and_large() -> None:
    plain = view_quality(faces((0, None))[0])
    assert 0 < view_quality(faces((0, None), yaw=40)[0]) < plain
    assert 0 < view_quality(faces((0, None), size=40)[0]) < plain
    assert view_quality(faces((0, None), yaw=120)[0]) == 0
    assert abs(face_size(faces((0, None))[0].dense) - 100) < 1e-3


# --- the mapping file -------------------------------------------------------------------------------------


def written(folder: Path, people: list[MappedPerson]) -> Path:
    path = folder / "people.toml"
    write_mapping(path, people, Path("clip.mp4"))
    return path


def test_mapping_survives_writing_and_reading(tmp_path: Path) -> None:
    (tmp_path / 'eva\'s \\ "face".jpg').write_bytes(b"x")
    people = [
        MappedPerson('a "quoted" \\ name\twith\x7f ünïcode', near(ANNA, 1), None, "person-1.jpg", 12.34, 0.5),
        MappedPerson("Ben", near(BEN, 2), tmp_path / 'eva\'s \\ "face".jpg'),
    ]
    found = read_mapping(written(tmp_path, people))
    for before, after in zip(people, found, strict=True):
        assert before.embedding @ after.embedding > 0.9999
        assert abs(np.linalg.norm(after.embedding) - 1) < 1e-6
        assert (before.name, before.identity, before.thumbnail) == (after.name, after.identity, after.thumbnail)
        assert (before.seconds, before.first_s) == (after.seconds, after.first_s)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_survives(name: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), [MappedPerson(name, ANNA)])
        assert read_mapping(path)[0].name == name


def test_file_explains_itself(tmp_path: Path) -> None:
    text = written(tmp_path, [MappedPerson("Anna", ANNA)]).read_text(encoding="utf-8")
    assert "facegraft swap --map people.toml clip.mp4" in text
    assert 'identity = ""' in text
    assert all(len(line) < 500 for line in text.splitlines())


def test_identity_is_seen_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "eva.jpg").write_bytes(b"x")
    path = written(tmp_path, [MappedPerson("Anna", ANNA)])
    path.write_text(path.read_text().replace('identity = ""', 'identity = "faces/eva.jpg"'))
    people = read_mapping(path)
    assert people[0].identity == tmp_path / "faces" / "eva.jpg"
    written(tmp_path, people)
    assert 'identity = "faces/eva.jpg"' in path.read_text()


def test_a_new_analysis_keeps_what_the_user_wrote(tmp_path: Path) -> None:
    old = [MappedPerson("Anna", near(ANNA, 1, 0.01), tmp_path / "eva.jpg"), MappedPerson("Ben", BEN)]
    new = [MappedPerson("person 1", BEN, seconds=3.0), MappedPerson("person 2", near(ANNA, 2, 0.01))]
    kept = keep_edits([*new, MappedPerson("person 3", unit(0, 0, 1))], old)
    assert [(person.name, person.identity) for person in kept] == [
        ("Ben", None),
        ("Anna", tmp_path / "eva.jpg"),
        ("person 3", None),
    ]
    assert kept[0].seconds == 3.0


def test_people_become_entries() -> None:
    seen = Sightings()
    seen.add(FRAME, faces((0, ANNA), (1, BEN)), time_s=2.0, duration_s=1.5)
    entries = mapped(seen.people(), ["a.jpg", "b.jpg"])
    assert [(e.name, e.thumbnail, e.seconds, e.first_s, e.identity) for e in entries] == [
        ("person 1", "a.jpg", 1.5, 2.0, None),
        ("person 2", "b.jpg", 1.5, 2.0, None),
    ]


GOOD = '# a comment\nversion = 1\n\n[[person]]\nname = "Anna"\nidentity = ""\nembedding = "{code}"\n'


def good() -> str:
    import base64

    return GOOD.format(code=base64.b64encode(ANNA.astype("<f2").tobytes()).decode())


def test_hand_written_file_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(good())
    assert read_mapping(path)[0].name == "Anna"


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (('name = "Anna"', "name = Anna"), 5, "not valid TOML"),
        (('name = "Anna"', "name = 5"), 5, "expected text"),
        (('name = "Anna"', 'nmae = "Anna"'), 5, "unknown key 'nmae'"),
        (('identity = ""', 'identity = "nobody.jpg"'), 6, "no picture"),
        (('identity = ""', "seconds = true"), 6, "expected a number"),
        (('embedding = "', 'embedding = "!'), 7, "damaged"),
        (('embedding = "ADw', 'embedding = "AAA'), 7, "damaged"),
        (('embedding = "', 'thumbnail = "'), 4, "missing or damaged"),
        (("version = 1", "version = 2"), 2, "expected version = 1, found 2"),
        (("version = 1\n", "\n"), 0, "found None"),
        (("[[person]]", "[person]"), 4, r"expected \[\[person\]\]"),
        (("[[person]]", "[[people]]"), 0, r"expected \[\[person\]\]"),
        (("version = 1", "version = 1\nhello = 3"), 3, "unknown key 'hello'"),
    ],
)
def test_broken_file_is_one_line_with_its_place(tmp_path: Path, change: tuple[str, str], line: int, says: str) -> None:
    path = tmp_path / "p.toml"
    assert change[0] in good()
    path.write_text(good().replace(*change, 1))
    with pytest.raises(BadInputError, match=says) as error:
        read_mapping(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert f"line {line}" in message if line else f"{path}: " in message


def test_faults_name_the_entry_they_are_in(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    second = good().split("version = 1")[1].replace('identity = ""', 'identity = "gone.jpg"')
    path.write_text(good() + second)
    with pytest.raises(BadInputError, match="line 12: identity of person 2: no picture"):
        read_mapping(path)


def test_not_text_at_all(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(BadInputError, match="UTF-8"):
        read_mapping(path)
    with pytest.raises(BadInputError, match="cannot be opened"):
        read_mapping(tmp_path / "none.toml")
