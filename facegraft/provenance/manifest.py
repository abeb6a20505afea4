"""What a written file says about itself: who made it, with what, when, and with whose consent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Literal

from facegraft import __version__
from facegraft.core.errors import BadInputError

Level = Literal["full", "metadata", "none"]
"""full: metadata and, where the extra is installed, a signed manifest. metadata: XMP or container tags only."""

LEVELS: tuple[Level, ...] = ("full", "metadata", "none")

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC NewsCode: a composite in which parts were made by a trained model; what a face swap is."""

AI_SOURCE_TYPES = frozenset(
    {
        "algorithmicMedia",
        "compositeSynthetic",
        "compositeWithTrainedAlgorithmicMedia",
        "trainedAlgorithmicMedia",
    }
)
"""Last parts of the source types that say a picture was made or changed by an algorithm."""

TAG = "facegraft"
"""Container tag whose value is `Origin` as JSON."""

_LONGEST_TEXT = 4000  # several such texts must fit a JPEG's XMP segment of 65,502 bytes
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Origin:
    """How a file was made. Texts are made printable: what XML cannot hold becomes U+FFFD.

    Attributes:
        method: Name of the swap method, for example "warp".
        created: UTC time in ISO 8601, for example "2026-11-22T11:00:00Z".
        consent: Who agreed to what, in free words; at most 4000 characters, like every text here.
        title: What the signed manifest calls the file, such as "swapped clip"; written nowhere else.
        attribute_name: File name of the attribute picture or video; left out unless the caller wants it told.
        attribute_sha256: Its hash, as 64 hexadecimal digits.

    Raises:
        BadInputError: A text is longer than 4000 characters.
    """

    method: str
    created: str
    version: str = __version__
    tool: str = "facegraft"
    digital_source_type: str = DIGITAL_SOURCE_TYPE
    consent: str | None = None
    title: str | None = None
    attribute_name: str | None = None
    attribute_sha256: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            text = getattr(self, field.name)
            if text is None:
                continue
            if len(text) > _LONGEST_TEXT:
                raise BadInputError(
                    f"{field.name}: at most {_LONGEST_TEXT} characters are written into a file, found {len(text)}. "
                    "Shorten it."
                )
            object.__setattr__(self, field.name, _NOT_XML.sub("\ufffd", text))

    @property
    def agent(self) -> str:
        """Tool and version, as other programs show it."""
        return f"{self.tool} {self.version}"

    def as_dict(self) -> dict[str, str]:
        """The fields that are set, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}


def origin_now(
    method: str,
    *,
    consent: str | None = None,
    title: str | None = None,
    attribute_name: str | None = None,
    attribute_sha256: str | None = None,
) -> Origin:
    """An `Origin` of this version of facegraft and this second."""
    return Origin(
        method=method,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        consent=consent,
        title=title,
        attribute_name=attribute_name,
        attribute_sha256=attribute_sha256,
    )


def container_metadata(origin: Origin, existing: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tags for MP4, MOV, MKV and WebM, on top of those a clip already has.

    `comment` is the one tag that every container writes. The JSON under `facegraft` needs a container with free
    keys: MKV and WebM always, MP4 and MOV when the muxer gets `movflags=use_metadata_tags`.

    Args:
        origin: What to say.
        existing: Tags of the attribute clip. They are kept; its comment stays ahead of ours.

    Returns:
        All tags to set on the output container.
    """
    theirs = {key: value for key, value in (existing or {}).items() if key.lower() not in (TAG, "comment")}
    comment = next((value for key, value in (existing or {}).items() if key.lower() == "comment"), "")
    kept = [line for line in comment.splitlines() if not _COMMENT.search(line)]
    ours = f"Face swapped with {origin.agent} (method {origin.method}). digitalSourceType={origin.digital_source_type}"
    told = {name: value for name, value in origin.as_dict().items() if name != "title"}
    return {**theirs, "comment": "\n".join([*kept, ours]), TAG: json.dumps(told)}


_COMMENT = re.compile(r"Face swapped with (\S+) (\S+) \(method (.*)\)\. digitalSourceType=(\S+)")


def read_container_metadata(tags: Mapping[str, str]) -> dict[str, str]:
    """What container tags say about the making, with the names of `Origin`'s fields; empty if nothing."""
    lower = {key.lower(): value for key, value in tags.items()}  # Matroska returns keys in capitals
    found: dict[str, str] = {}
    if match := _COMMENT.search(lower.get("comment", "")):
        found = dict(zip(("tool", "version", "method", "digital_source_type"), match.groups(), strict=True))
    try:
        told = json.loads(lower.get(TAG, "{}"))
    except (ValueError, RecursionError):  # anyone may write this tag; a broken one says nothing
        return found
    if isinstance(told, dict):
        names = {field.name for field in fields(Origin)}
        found |= {key: value for key, value in told.items() if key in names and isinstance(value, str)}
    return found


def says_algorithmic(digital_source_type: str) -> bool:
    """Whether a source type, as URI or bare word, says that an algorithm made or changed the picture."""
    return re.split(r"[/:#]", digital_source_type.strip())[-1] in AI_SOURCE_TYPES
