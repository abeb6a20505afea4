"""Signed manifests (C2PA) in pictures and videos. Needs the extra `provenance`; never uses the network."""

from __future__ import annotations

import json
import logging
import mmap
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from facegraft.core.errors import BadInputError, MissingPartError, OutputError
from facegraft.core.files import shown, sniff
from facegraft.provenance.keys import INSTALL, KEY_FILE, SigningKey, config_folder, read_signing_key, signing_key
from facegraft.provenance.manifest import Origin

log = logging.getLogger(__name__)

SIGNABLE = frozenset(
    {
        "image/avif",
        "image/gif",
        "image/heic",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "image/webp",
        "video/mp4",
        "video/quicktime",
        "video/x-msvideo",
    }
)
"""Content types that can hold a manifest; Matroska and WebM cannot."""

State = Literal["valid", "invalid", "unreadable"]

_CHUNKED_ABOVE_BYTES = 64 << 20  # below, one hash over the video, which the oldest readers know too
_C2PA_NAMES = {"video/x-msvideo": "video/avi"}
_TIMELESS = ("signingCredential.untrusted",)  # says who signed, not whether the file was changed


@dataclass(frozen=True)
class Manifest:
    """What the newest signed manifest of a file says, and whether it still holds.

    Attributes:
        state: "valid": signature and content agree. "invalid": the file was changed after signing, or the
            manifest was. "unreadable": there is one, but it is damaged.
        own_key: Signed with the key of this user on this computer; False also for every other signer.
        trusted: The signer is one's own or vouched for by an authority that c2pa-python knows.
        signer: Name in the signer's certificate, which anyone can choose freely.
        reasons: C2PA codes of what failed, such as "assertion.dataHash.mismatch".
        tool: Program that made the claim, with its version.
        actions: What was done, such as "c2pa.edited".
        source_types: Digital source types of those actions.
        ingredients: Names of the files it was made from.
        details: Fields of `Origin` that facegraft wrote.
    """

    state: State
    own_key: bool = False
    trusted: bool = False
    signer: str = ""
    reasons: tuple[str, ...] = ()
    tool: str = ""
    actions: tuple[str, ...] = ()
    source_types: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()


def sign_file(path: Path, origin: Origin, *, key_folder: Path | None = None, attribute: Path | None = None) -> None:
    """Puts a signed manifest into a file, in place; the pixels and samples stay as they are.

    The format is known by content, so a temporary name will do. While it works, a second copy lies beside the file;
    an interruption leaves the unsigned file as it was.

    Args:
        path: The finished file. Whatever is written to it later breaks the signature.
        origin: What to say.
        key_folder: Where the signing key is or will be; default `config_folder()`.
        attribute: The picture or video that was edited. Named as parent with its own manifest, if it has one;
            its file name is not told (`Origin.attribute_name` is).

    Raises:
        MissingPartError: The extra is not installed.
        BadInputError: The format holds no manifest, the file is broken, or the key is.
        OutputError: The disk is full or the folder not writable.
    """
    library = _library()
    kind = sniff(path)
    if kind not in SIGNABLE:
        raise BadInputError(f"{shown(path)}: a {kind or 'file of unknown content'} cannot hold a signed manifest")
    key = signing_key(key_folder)
    chunked = path.stat().st_size > _CHUNKED_ABOVE_BYTES
    with _replacing(path) as signed, path.open("rb") as unsigned:
        try:
            with library.Context.from_dict(_settings(chunked=chunked)) as context:
                builder = _builder(library, context, origin, attribute)
                builder.sign(_signer(library, key), _C2PA_NAMES.get(kind, kind), unsigned, signed)
        except library.C2paError as error:
            raise BadInputError(f"{shown(path)}: cannot be signed ({_one_line(error)})") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path` that takes its place when the block ends well.

    `core.files.atomic_path` also waits for the disk. The job that called does so anyway before it gives the final name.
    """
    final = path.resolve()
    temporary = final.with_name(f".facegraft-{secrets.token_hex(8)}")
    try:
        with temporary.open("x+b") as stream:
            yield stream
        shutil.copymode(final, temporary)
        temporary.replace(final)
    except OSError as error:
        raise OutputError(f"{shown(path)}: the signed copy cannot be written ({error.strerror}); free space") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_manifest(path: Path, *, key_folder: Path | None = None) -> Manifest | None:
    """The newest manifest in a file, or None if there is none.

    Args:
        path: A picture or video.
        key_folder: Whose key counts as one's own; default `config_folder()`. None is made.

    Raises:
        MissingPartError: The extra is not installed.
        BadInputError: The file cannot be opened.
    """
    library = _library()
    kind = sniff(path)
    if kind not in SIGNABLE:
        return None
    own = _own_key(key_folder)
    try:
        with library.Context.from_dict(_settings(own)) as context, path.open("rb") as stream:
            reader = library.Reader.try_create(_C2PA_NAMES.get(kind, kind), stream, None, context)
            if reader is None:
                return None
            with reader:
                return _manifest(json.loads(reader.json()), own)
    except (library.C2paError, ValueError) as error:
        log.debug("%s: %s", shown(path), error)
        return Manifest(state="unreadable", reasons=(_one_line(error),)) if _has_manifest_box(path) else None


def is_installed() -> bool:
    """Whether files can be signed and signatures read."""
    try:
        _library()
    except MissingPartError:
        return False
    return True


def _library() -> Any:
    try:
        import c2pa
    except (ImportError, OSError) as error:  # OSError: the native part does not load on this machine
        raise MissingPartError(f"c2pa-python is not installed; run `{INSTALL}`") from error
    return c2pa


def _settings(own: SigningKey | None = None, *, chunked: bool = False) -> dict[str, object]:
    core: dict[str, object] = {"allowed_network_hosts": [], "backing_store_memory_threshold_in_mb": 16}
    if chunked:  # the library hashes a video in pieces of 256 MB, which it holds in memory, unless told otherwise
        core |= {"merkle_tree_chunk_size_in_kb": 1024, "merkle_tree_max_proofs": 0}
    settings: dict[str, object] = {
        "version": 1,
        "core": core,
        "verify": {"verify_after_sign": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},  # it would be most of the manifest's size
    }
    return settings if own is None else {**settings, "trust": {"user_anchors": own.root}}


def _own_key(folder: Path | None) -> SigningKey | None:
    path = (config_folder() if folder is None else folder) / KEY_FILE
    if not path.exists():
        return None
    try:
        return read_signing_key(path)
    except (BadInputError, MissingPartError) as error:
        log.warning("own signatures cannot be told from others: %s", error)
        return None


def _signer(library: Any, key: SigningKey) -> Any:
    info = library.C2paSignerInfo(b"es256", key.chain.encode(), key.private_key.encode(), None)
    return library.Signer.from_info(info)


def _builder(library: Any, context: Any, origin: Origin, attribute: Path | None) -> Any:
    """A claim with a parent says opened, then edited; one without says created, then edited."""
    if attribute is not None:
        builder = library.Builder(_claim(origin, has_parent=True), context=context)
        parent = {"title": origin.attribute_name or "attribute", "relationship": "parentOf", "label": "attribute"}
        try:
            kind = sniff(attribute)
            if kind in SIGNABLE:
                with attribute.open("rb") as stream:
                    builder.add_ingredient(parent, _C2PA_NAMES.get(kind, kind), stream)
                return builder
            reason = f"{kind or 'its format'} is not known to C2PA"
        except (library.C2paError, BadInputError, OSError) as error:
            reason = _one_line(error)
        builder.close()
        log.info("%s: left out of the manifest: %s", shown(attribute), reason)
    return library.Builder(_claim(origin, has_parent=False), context=context)


def _claim(origin: Origin, *, has_parent: bool) -> dict[str, object]:
    first: dict[str, object] = (
        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["attribute"]}}
        if has_parent
        else {"action": "c2pa.created", "digitalSourceType": origin.digital_source_type}
    )
    agent = {"name": origin.tool, "version": origin.version}
    edited = {
        "action": "c2pa.edited",
        "when": origin.created,
        "digitalSourceType": origin.digital_source_type,
        "softwareAgent": agent,
        "description": f"Face swapped, method {origin.method}",
        "parameters": {f"org.facegraft.{key}": value for key, value in origin.as_dict().items() if key in _DETAILS},
    }
    return {
        "claim_generator_info": [agent],
        "title": origin.title or "swapped",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [first, edited]}}],
    }


_DETAILS = ("method", "version", "created", "consent", "attribute_name", "attribute_sha256")


def _manifest(store: Any, own: SigningKey | None) -> Manifest:
    """Reads defensively: the manifest may be anyone's."""
    active = _get(_get(store, "manifests"), str(_get(store, "active_manifest")))
    signature = _get(active, "signature_info")
    actions = [
        action
        for assertion in _list(_get(active, "assertions"))
        if str(_get(assertion, "label")).startswith("c2pa.actions")
        for action in _list(_get(_get(assertion, "data"), "actions"))
    ]
    parameters = [_get(action, "parameters") for action in actions]
    results = _get(_get(store, "validation_results"), "activeManifest")
    failures = dict.fromkeys(str(_get(result, "code")) for result in _list(_get(results, "failure")))
    successes = [str(_get(result, "code")) for result in _list(_get(results, "success"))]
    trusted = "signingCredential.trusted" in successes  # a changed file still says whose it was
    valid = _get(store, "validation_state") in ("Valid", "Trusted")
    return Manifest(
        state="valid" if valid else "invalid",
        own_key=trusted and own is not None and str(_get(signature, "cert_serial_number")) == own.serial,
        trusted=trusted,
        signer=str(_get(signature, "common_name") or _get(signature, "issuer") or ""),
        reasons=tuple(code for code in failures if code not in _TIMELESS),
        tool=_tool(active, actions),
        actions=tuple(str(_get(action, "action")) for action in actions),
        source_types=tuple(str(found) for action in actions if (found := _get(action, "digitalSourceType"))),
        ingredients=tuple(str(_get(entry, "title") or "?") for entry in _list(_get(active, "ingredients"))),
        details=tuple(
            (name, str(value))
            for name in _DETAILS
            for entry in parameters
            if (value := _get(entry, f"org.facegraft.{name}"))
        ),
    )


def _tool(active: Any, actions: list[Any]) -> str:
    agents = [*_list(_get(active, "claim_generator_info")), *(_get(action, "softwareAgent") for action in actions)]
    for agent in agents:
        if name := _get(agent, "name"):
            return f"{name} {_get(agent, 'version') or ''}".strip()
    return str(_get(active, "claim_generator") or "")


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_manifest_box(path: Path) -> bool:
    """Whether the file holds the header of a manifest store, however broken the rest is."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"jumdc2pa") >= 0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
