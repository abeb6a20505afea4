"""Reads every layer that says how a file was made, and sums it up in one line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError
from facegraft.core.files import shown, sniff
from facegraft.provenance.containers import DEMUXERS, find_picture_xmp, find_video_xmp, read_tags
from facegraft.provenance.manifest import read_container_metadata, says_algorithmic
from facegraft.provenance.signing import Manifest, read_manifest
from facegraft.provenance.watermark import WatermarkReading
from facegraft.provenance.xmp import BrokenXmpError, read_xmp

Status = Literal["intact", "broken", "none"]

PICTURES = frozenset(
    f"image/{name}" for name in ("avif", "bmp", "gif", "heic", "jp2", "jpeg", "jxl", "png", "tiff", "webp")
)


@dataclass(frozen=True)
class ProvenanceReport:
    """What a file says about how it was made.

    Attributes:
        path: The file.
        kind: Its content type.
        status: "intact": some layer says it was made or changed by an algorithm, and no signature is broken.
            "broken": there is a signed manifest, but it no longer fits the file. "none": nothing says so.
        verdict: The same in one line of words.
        xmp: What the XMP packet says, named as in `Origin`; empty if nothing.
        tags: The same from container tags.
        manifest: The signed manifest, if any.
        watermark: None unless it was looked for.
        notes: Layers that could not be read, and why.
    """

    path: Path
    kind: str
    status: Status
    verdict: str
    xmp: dict[str, str]
    tags: dict[str, str]
    manifest: Manifest | None
    watermark: WatermarkReading | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        manifest = None
        if self.manifest is not None:
            manifest = {**asdict(self.manifest), "details": dict(self.manifest.details)}
        return {**asdict(self), "path": str(self.path), "manifest": manifest}


def read_provenance(path: Path | str, *, watermark: bool = False, key_folder: Path | None = None) -> ProvenanceReport:
    """Reads what a picture or video says about how it was made. Changes nothing and uses no network.

    Args:
        path: JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF, MP4, MOV, MKV, WebM and some more; known by content.
        watermark: Also look for facegraft's mark in the pixels, which decodes the picture, or a few frames.
        key_folder: Whose signing key counts as one's own; default `config_folder()`.

    Raises:
        BadInputError: No such file, no permission, or neither a picture nor a video.
    """
    path = Path(path)
    kind = sniff(path)
    if kind not in PICTURES and kind not in DEMUXERS:
        found = {None: "unknown content", "inode/x-empty": "an empty file"}.get(kind, kind)
        raise BadInputError(f"{shown(path)}: expected a picture or video, found {found}; nothing to verify")
    notes: list[str] = []
    xmp = _xmp(path, kind, notes)
    tags = _tags(path, kind, notes)
    manifest = _manifest(path, key_folder, notes)
    mark = _watermark(path, kind, notes) if watermark else None
    status, verdict = _judge(xmp, tags, manifest, mark)
    return ProvenanceReport(path, kind, status, verdict, xmp, tags, manifest, mark, tuple(notes))


def _xmp(path: Path, kind: str, notes: list[str]) -> dict[str, str]:
    packet = None
    if kind in PICTURES:
        packet = find_picture_xmp(path, kind)
    elif DEMUXERS[kind] == "mov":
        packet = find_video_xmp(path)
    try:
        return read_xmp(packet) if packet else {}
    except BrokenXmpError as error:
        notes.append(f"the XMP packet is broken ({error})")
        return {}


def _tags(path: Path, kind: str, notes: list[str]) -> dict[str, str]:
    if kind not in DEMUXERS:
        return {}
    try:
        return read_container_metadata(read_tags(path, kind))
    except BadInputError as error:
        notes.append(f"the container tags cannot be read ({error})")
        return {}


def _manifest(path: Path, key_folder: Path | None, notes: list[str]) -> Manifest | None:
    try:
        return read_manifest(path, key_folder=key_folder)
    except MissingPartError as error:
        notes.append(f"signed manifests are not checked: {error}")
        return None


def _watermark(path: Path, kind: str, notes: list[str]) -> WatermarkReading | None:
    from facegraft.provenance.look import look_for_mark  # loads the decoders

    try:
        return look_for_mark(path, kind)
    except FacegraftError as error:
        notes.append(f"the watermark was not looked for: {error}")
        return None


def _judge(
    xmp: dict[str, str], tags: dict[str, str], manifest: Manifest | None, mark: WatermarkReading | None
) -> tuple[Status, str]:
    if manifest is not None and manifest.state != "valid":
        reasons = ", ".join(manifest.reasons) or "no reason given"
        if manifest.state == "unreadable":
            return "broken", f"there is a signed manifest, but it is damaged ({reasons})"
        return "broken", f"signed by {_signer(manifest)}, but changed since then ({reasons})"
    if manifest is not None and any(says_algorithmic(kind) for kind in manifest.source_types):
        told = dict(manifest.details)
        method = f", method {told['method']}" if "method" in told else ""
        return "intact", f"{_made(manifest.tool)}{method}; unchanged since it was signed by {_signer(manifest)}"
    for told, where in ((xmp, "XMP"), (tags, "container tags")):
        if says_algorithmic(told.get("digital_source_type", "")):
            tool = (
                f"{told['tool']} {told.get('version', '')}".strip() if "tool" in told else told.get("creator_tool", "")
            )
            method = f", method {told['method']}" if "method" in told else ""
            return "intact", f"{_made(tool)}{method}, says its {where}; not signed, so anyone could have written that"
    if mark is not None and mark.found:
        return "intact", f"the pixels carry facegraft's mark (confidence {mark.confidence:.2f}); nothing else is left"
    if manifest is not None:
        return "none", f"signed by {_signer(manifest)}, but nothing says that an algorithm made or changed it"
    return "none", "nothing says how it was made, which proves nothing: metadata is easily removed"


def _made(tool: str) -> str:
    return f"made or changed by an algorithm with {tool or 'an unnamed tool'}"


def _signer(manifest: Manifest) -> str:
    if manifest.own_key:
        return "this computer's own key"
    return f"{'a trusted' if manifest.trusted else 'an unknown'} signer ({manifest.signer or 'no name'!r})"
