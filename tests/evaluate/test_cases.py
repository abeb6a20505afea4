"""Where cases come from: datasets with pairs, folders, and answers of other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.image import save_frame
from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.data.dataset import DatasetCard, Item, Pair, open_dataset, write_card, write_shard
from facegraft.evaluate.cases import Answers, CaseSet, case_set, folder_cases, read_case


def item(key: str, person: str, level: int, **more: object) -> Item:
    image = encode_frame(np.full((8, 8, 3), level, np.uint8))
    known = {"licence": "CC0-1.0", "consent": "", "origin": "drawn", "synthetic": True, "split": "test"}
    return Item(key=key, person=person, image=image, **{**known, **more})  # type: ignore[arg-type]


@pytest.fixture
def cases(tmp_path: Path) -> CaseSet:
    changed = np.zeros((8, 8), np.uint8)
    changed[2:5, 2:5] = 255
    items, pairs = [], []
    for n in range(12):
        facts = {"age": 30.0 + 10 * n % 50, "female": n % 2, "monk": 1 + n % 10}
        items.append(item(f"i{n}", f"a{n}", n, facts=facts))
        items.append(item(f"t{n}", f"b{n}", 100 + n, arrays={"pose_degrees": np.full(3, n, np.float32)}))
        items.append(item(f"s{n}", f"a{n}", 200 + n, role="truth", planes={"changed": encode_plane(changed)}))
        truths = {"inner": f"s{n}"}
        if n % 2:
            items.append(item(f"r{n}", f"a{n}", 230 + n, role="truth"))
            truths["inner_recoloured"] = f"r{n}"
        pairs.append(Pair(f"i{n}", f"t{n}", truths, "hard" if n % 3 else "easy"))
    write_shard(tmp_path, 0, items, pairs)
    write_card(tmp_path, DatasetCard(name="drawn", about="Squares."))
    return case_set(open_dataset(tmp_path))


def test_a_case_holds_both_pictures_the_truth_and_what_is_known(cases: CaseSet) -> None:
    assert len(cases) == 12
    case = list(cases)[3]
    assert (case.identity[0, 0, 0], case.attribute[0, 0, 0]) == (3, 103)
    assert case.truth is not None
    assert case.truth[0, 0, 0] == 203
    assert case.toned is not None
    assert case.toned[0, 0, 0] == 233
    assert list(cases)[4].toned is None
    assert (case.identity_person, case.attribute_person, case.stratum) == ("a3", "b3", "easy")
    assert case.exact.pose_degrees is not None
    assert case.exact.pose_degrees[0] == 3
    assert case.exact.changed is not None
    assert case.exact.changed[2, 2] == 255
    assert case.exact.occluder is None
    assert dict(case.groups) == {"age": "60 and over", "sex": "women", "skin": "Monk 4-6"}
    assert len({case.key for case in cases}) == 12


def test_fewer_cases_keep_all_strata_and_are_the_same_every_time(cases: CaseSet) -> None:
    few = case_set(cases.dataset, most=6, seed=1)
    assert [pair.stratum for pair in few.pairs].count("easy") == 3
    assert few.pairs == case_set(cases.dataset, most=6, seed=1).pairs
    assert few.pairs != case_set(cases.dataset, most=6, seed=2).pairs
    assert len(case_set(cases.dataset, most=99)) == 12
    with pytest.raises(BadInputError, match="1 or more"):
        case_set(cases.dataset, most=0)


def test_a_dataset_without_pairs_is_told(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [item("x", "p", 1)])
    write_card(tmp_path, DatasetCard(name="none", about="One."))
    with pytest.raises(BadInputError, match="expected pairs"):
        case_set(open_dataset(tmp_path))


def test_folders_meet_by_name_whatever_the_ending(tmp_path: Path) -> None:
    for folder, name, level in (("i", "a.png", 1), ("i", "b.jpg", 2), ("t", "a.webp", 3), ("t", "c.png", 4)):
        (tmp_path / folder).mkdir(exist_ok=True)
        save_frame(tmp_path / folder / name, np.full((8, 8, 3), level, np.uint8))
        (tmp_path / folder / f"._{name}").write_bytes(b"\0\5\x16\7")  # as macOS leaves beside each
    ((key, identity, attribute),) = folder_cases(tmp_path / "i", tmp_path / "t")
    assert (key, identity.name, attribute.name) == ("a", "a.png", "a.webp")
    case = read_case(key, identity, attribute)
    assert case.identity.shape == (8, 8, 3)
    assert case.identity_person != case.attribute_person
    (tmp_path / "t" / "a.png").write_bytes(b"x")
    with pytest.raises(BadInputError, match="second picture"):
        folder_cases(tmp_path / "i", tmp_path / "t")
    with pytest.raises(BadInputError, match="expected a folder"):
        folder_cases(tmp_path / "i", tmp_path / "nowhere")
    (tmp_path / "e").mkdir()
    with pytest.raises(BadInputError, match="same names"):
        folder_cases(tmp_path / "i", tmp_path / "e")


def test_answers_are_found_by_key_and_missing_ones_are_none(cases: CaseSet, tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    answers.mkdir()
    first, second = list(cases)[:2]
    save_frame(answers / f"{first.key}.png", np.full((8, 8, 3), 77, np.uint8))
    found = Answers(answers)
    assert len(found) == 1
    got = found.get(first)
    assert got is not None
    assert got[0, 0, 0] == 77
    assert found.get(second) is None
