"""The diversity report: it counts right, names what is missing, and shows no real person unasked."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.data.dataset import Dataset, DatasetCard, Item, open_dataset, write_card, write_shard
from facegraft.data.report import QUESTIONS, bin_of, write_report
from facegraft.data.report_page import bars, heat_map
from facegraft.data.skin_tone import MONK_SWATCHES
from facegraft.faces.topology import landmarks68, load_topology

QUESTION = {question.name: question for question in QUESTIONS}


def face(tone: int, yaw: float = 0.0, **facts: float | int | str | bool) -> Item:
    """A flat picture of one swatch with the mean face's landmarks."""
    swatch = MONK_SWATCHES[tone - 1]
    rgb = [int(swatch[at : at + 2], 16) for at in (1, 3, 5)]
    frame = np.tile(np.array(rgb, np.uint8), (96, 96, 1))
    points = landmarks68(load_topology().xyz * np.float32(26)) + np.float32([48, 48])
    return Item(
        key="",
        person="",
        image=encode_frame(frame),
        licence="CC0-1.0",
        consent="",
        origin="",
        synthetic=True,
        arrays={"landmarks68": points, "pose_degrees": np.array([yaw, 5, 0], np.float32)},
        facts=dict(facts),
    )


def dataset(folder: Path, items: list[Item]) -> Dataset:
    named = [dataclasses.replace(item, key=f"{number:03}") for number, item in enumerate(items)]
    write_shard(folder, 0, named)
    write_card(folder, DatasetCard("drawn <b>"))
    return open_dataset(folder)


def counts(facts: dict[str, object], name: str) -> dict[str, int]:
    histograms = facts["histograms"]
    assert isinstance(histograms, list)
    found = next(histogram for histogram in histograms if histogram["name"] == name)
    return {label: count for label, count in zip(found["labels"], found["counts"], strict=True) if count}


def test_counts_are_those_of_the_pictures(tmp_path: Path) -> None:
    items = [face(tone, yaw) for tone, yaw in ((5, 0), (5, 20), (9, -70), (10, 0))]
    items[0] = dataclasses.replace(items[0], person="anna")
    items[1] = dataclasses.replace(items[1], person="anna", split="train", licence="")
    items.append(dataclasses.replace(face(1), role="truth"))
    facts = write_report(dataset(tmp_path, items), tmp_path / "report.html")
    assert facts["items"] == 4, "right answers of swaps are no pictures of their own"
    assert facts["people"] == 1
    assert facts["without_person"] == 2
    assert counts(facts, "monk") == {"5": 2, "9": 1, "10": 1}
    assert counts(facts, "yaw") == {"-90..-60°": 1, "-15..15°": 2, "15..30°": 1}
    assert np.sum(facts["pose"]["counts"]) == 4
    assert facts["licences"] == {"CC0-1.0": 3, "unknown": 1}
    assert facts["pictures_per_person"]["2"] == 1
    assert json.loads((tmp_path / "report.json").read_text()) == facts


def test_missing_names_every_thin_bin_and_what_is_not_known(tmp_path: Path) -> None:
    drawn = dataset(tmp_path, [face(5) for _ in range(60)] + [face(9)])
    facts = write_report(drawn, tmp_path / "report.html")
    missing = facts["missing"]
    assert "Age: not known of any picture" in missing
    assert "Skin tone, Monk scale: 9 is 1.6% (1 of 61)" in missing
    assert "Skin tone, Monk scale: 10 is 0.0% (0 of 61)" in missing
    assert not any("Monk scale: 5 " in line for line in missing)
    fewer = write_report(drawn, tmp_path / "report.html", min_share=0.001)["missing"]
    assert "Skin tone, Monk scale: 9 is 1.6% (1 of 61)" not in fewer


def test_stated_facts_of_renders_win_over_what_pixels_say(tmp_path: Path) -> None:
    facts = write_report(dataset(tmp_path, [face(5, monk=8, age=44, occluded_share=0.4)]), tmp_path / "report.html")
    assert counts(facts, "monk") == {"8": 1}
    assert counts(facts, "age") == {"35-49": 1}
    assert counts(facts, "occluded_share") == {"30-50 %": 1}


def test_an_occluder_plane_is_measured_over_the_face(tmp_path: Path) -> None:
    plane = np.zeros((96, 96), np.uint8)
    plane[:, :48] = 255
    item = dataclasses.replace(face(5), planes={"occluder": encode_plane(plane)})
    assert counts(write_report(dataset(tmp_path, [item]), tmp_path / "r.html"), "occluded_share") in (
        {"30-50 %": 1},
        {"over 50 %": 1},
    )


def test_pictures_without_landmarks_are_counted_where_they_can_be(tmp_path: Path) -> None:
    bare = dataclasses.replace(face(5), arrays={})
    facts = write_report(dataset(tmp_path, [bare]), tmp_path / "report.html")
    assert facts["items"] == 1
    assert counts(facts, "monk") == counts(facts, "yaw") == {}


def test_the_page_needs_nothing_else_and_is_well_formed(tmp_path: Path) -> None:
    write_report(dataset(tmp_path, [face(5), face(6, 40)]), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "<script" not in text
    assert "drawn &lt;b&gt;" in text
    plots = re.findall(r"<svg.*?</svg>", text)
    assert len(plots) >= len(QUESTIONS) - 2, "age and size in the picture are not known of these"
    for plot in plots:
        ElementTree.fromstring(plot)


def test_real_people_are_shown_only_when_asked(tmp_path: Path) -> None:
    drawn = dataset(tmp_path, [face(5), dataclasses.replace(face(9), synthetic=False)])
    write_report(drawn, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    monk = text[text.index("Monk scale</h3>") : text.index("typology angle</h3>")]
    assert monk.count("<img") == 1, "tone 5 holds renders only, tone 9 a person"
    assert "<img" not in text[text.index("<h3>Head raised") : text.index("<h3>Mouth<")], "there both are in one bin"
    write_report(drawn, tmp_path / "report.html", thumbnails=True)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text[text.index("<h3>Head raised") : text.index("<h3>Mouth<")].count("<img") == 2


def test_large_sets_are_sampled_evenly_and_it_is_said(tmp_path: Path) -> None:
    drawn = dataset(tmp_path, [face(5) for _ in range(30)] + [face(9) for _ in range(30)])
    facts = write_report(drawn, tmp_path / "report.html", most_items=10)
    assert (facts["items"], facts["measured"]) == (60, 10)
    assert counts(facts, "monk") == {"5": 5, "9": 5}
    assert "Measured on 10 of them" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_bins_hold_every_value(tmp_path: Path) -> None:
    for question in QUESTIONS:
        assert len(question.edges) == len(question.labels) + 1
        found = [bin_of(question, value) for value in (-1e9, *question.edges, 1e9)]
        assert found == sorted(found)
        assert set(found) == set(range(len(question.labels)))
    assert bin_of(QUESTION["monk"], 10.0) == 9
    assert bin_of(QUESTION["yaw"], -15.0) == 4


def test_bars_are_as_long_as_their_counts() -> None:
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', bars(["a", "b", "c"], [10, 5, 0]))]
    assert widths[1] == pytest.approx(widths[0] / 2, abs=0.1)
    assert widths[2] == 0
    assert "&lt;x&gt;" in heat_map(["<x>"], ["y"], [[3]])


def test_wrong_calls_are_one_line(tmp_path: Path) -> None:
    drawn = dataset(tmp_path, [face(5)])
    with pytest.raises(BadInputError, match=r"a name that ends in \.html"):
        write_report(drawn, tmp_path / "report.pdf")
    with pytest.raises(BadInputError, match="min share: expected 0 to 1"):
        write_report(drawn, tmp_path / "report.html", min_share=3)
    with pytest.raises(BadInputError, match="no pictures to report on"):
        write_report(dataclasses.replace(drawn, rows=()), tmp_path / "report.html")


@pytest.mark.parametrize("text", ['{"mine": 1}', "[1]", "not JSON", ""])
def test_a_file_beside_that_is_no_report_stays(tmp_path: Path, text: str) -> None:
    drawn, beside = dataset(tmp_path, [face(5)]), tmp_path / "r.json"
    beside.write_text(text)
    with pytest.raises(BadInputError, match=r"r\.json: is there and is no report"):
        write_report(drawn, tmp_path / "r.html")
    assert beside.read_text() == text
    assert not (tmp_path / "r.html").exists()
    beside.unlink()
    facts = write_report(drawn, tmp_path / "r.html")
    assert write_report(drawn, tmp_path / "r.html") == facts, "a report of ours is replaced"
