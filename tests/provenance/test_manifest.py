from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facegraft.core.errors import BadInputError
from facegraft.provenance.containers import read_tags
from facegraft.provenance.manifest import (
    DIGITAL_SOURCE_TYPE,
    Origin,
    container_metadata,
    origin_now,
    read_container_metadata,
    says_algorithmic,
)


def test_origin_is_stamped_in_utc() -> None:
    origin = origin_now("warp")
    assert origin.created.endswith("Z")
    assert len(origin.created) == 20
    assert origin.as_dict() == {
        "method": "warp",
        "created": origin.created,
        "version": origin.version,
        "tool": "facegraft",
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }


def test_unprintable_text_is_replaced_and_long_text_refused() -> None:
    assert origin_now("warp", consent="a\x00b\ud800c").consent == "a\ufffdb\ufffdc"
    with pytest.raises(BadInputError, match="consent: at most 4000"):
        origin_now("warp", consent="x" * 4001)


@pytest.mark.parametrize(
    ("name", "muxer", "full"),
    [
        ("clip.mp4", {}, False),
        ("clip.mp4", {"movflags": "use_metadata_tags"}, True),
        ("clip.mov", {}, False),
        ("clip.mov", {"movflags": "use_metadata_tags+faststart"}, True),
        ("clip.mkv", {}, True),
        ("clip.webm", {}, True),
    ],
)
def test_tags_come_back_from_every_container(
    make_clip: Callable[..., Path], tmp_path: Path, origin: Origin, name: str, muxer: dict[str, str], full: bool
) -> None:
    tags = container_metadata(origin, {"title": "Their title", "comment": "Their comment"})
    path = make_clip(tmp_path / name, tags, muxer=muxer)
    kind = "video/mp4" if path.suffix in (".mp4", ".mov") else "video/x-matroska"
    found = read_tags(path, kind)
    told = read_container_metadata(found)
    lower = {key.lower(): value for key, value in found.items()}
    assert lower["title"] == "Their title"
    assert "Their comment" in lower["comment"]
    assert told.items() >= {
        ("tool", "facegraft"),
        ("version", origin.version),
        ("method", "warp"),
        ("digital_source_type", DIGITAL_SOURCE_TYPE),
    }
    assert (told.get("consent") == origin.consent) is full


def test_marking_a_marked_clip_again_keeps_one_line_of_ours(origin: Origin) -> None:
    once = container_metadata(origin, {"comment": "Theirs"})
    again = container_metadata(origin, {key.upper(): value for key, value in once.items()})
    assert again["comment"] == once["comment"]
    assert json.loads(again["facegraft"]) == origin.as_dict()


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"comment": "holiday"},
        {"facegraft": "{"},
        {"facegraft": "[1]"},
        {"facegraft": "[" * 100_000},
        {"facegraft": '{"method": 1}'},
    ],
)
def test_other_tags_say_nothing(tags: dict[str, str]) -> None:
    assert read_container_metadata(tags) == {}


@pytest.mark.parametrize(
    ("source_type", "expected"),
    [
        (DIGITAL_SOURCE_TYPE, True),
        ("trainedAlgorithmicMedia", True),
        (" http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia\n", True),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", False),
        ("", False),
    ],
)
def test_which_source_types_count(source_type: str, expected: bool) -> None:
    assert says_algorithmic(source_type) is expected
