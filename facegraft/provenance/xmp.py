"""XMP packets: make one, add ours to somebody else's, read ours back.

XMP is RDF in XML inside a picture. Other people's properties stay; a packet that cannot be read is replaced and a
warning logged. Names follow ISO 16684-1.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from xml.parsers import expat

from facegraft.provenance.manifest import Origin

log = logging.getLogger(__name__)

JPEG_LIMIT_BYTES = 65_502
"""Longest packet that fits a JPEG segment."""

_X = "adobe:ns:meta/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_MM = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_TERMS = "http://purl.org/dc/terms/"
_OURS = "https://github.com/facegraft/facegraft/ns/1.0/"
_XML = "http://www.w3.org/XML/1998/namespace"
_PREFIXES = {
    "x": _X,
    "rdf": _RDF,
    "xmp": _XMP,
    "xmpMM": _MM,
    "stEvt": _EVENT,
    "Iptc4xmpExt": _IPTC,
    "facegraft": _OURS,
}

_DESCRIPTION = f"{{{_RDF}}}Description"
_ABOUT = f"{{{_RDF}}}about"
_HISTORY = f"{{{_MM}}}History"
_REMOTE = f"{{{_TERMS}}}provenance"
_SOURCE_TYPE = f"{{{_IPTC}}}DigitalSourceType"
_CREATOR_TOOL = f"{{{_XMP}}}CreatorTool"
_OUR_FIELDS = ("method", "version", "created", "consent", "attribute_name", "attribute_sha256")

_LARGEST_BYTES = 32 << 20
_DEEPEST = 100  # XMP of real programs stays under 30; the writer below recurses


class BrokenXmpError(ValueError):
    """Bytes that are no XMP, or XMP that is not safe to read."""


def xmp_packet(origin: Origin, existing: bytes | None = None, *, limit_bytes: int | None = None) -> bytes:
    """An XMP packet that says how the picture was made.

    Sets the digital source type, adds an event to the history, and puts method, version and time into facegraft's
    own namespace. The creator tool is set only where there is none: XMP defines it as the first tool. A link to a
    remote C2PA manifest (dcterms:provenance) is removed, because it vouches for the pixels before the swap.

    Args:
        origin: What to say.
        existing: The packet the attribute picture came with.
        limit_bytes: Longest packet the picture's format holds; for JPEG `JPEG_LIMIT_BYTES`. Where it is passed,
            the largest properties of others are left out, each named in a logged warning.

    Returns:
        UTF-8 bytes with the packet wrapper. The same origin twice gives the same packet.
    """
    root, prefixes = _start(existing)
    rdf = _rdf_of(root)
    _remove_ours(rdf)
    _add_event(rdf, origin)
    _add_ours(rdf, origin)
    packet = _serialise(root, prefixes)
    if limit_bytes is not None and len(packet) > limit_bytes:
        packet = _shrink(root, rdf, prefixes, limit_bytes)
    return packet


def read_xmp(packet: bytes) -> dict[str, str]:
    """What a packet says about the making; empty if nothing.

    Returns:
        Keys as in `Origin` (`method`, `version`, `created`, `consent`, `digital_source_type` ...), plus
        `creator_tool`; `tool` where facegraft wrote the packet; `remote_manifest`, an address that is named but
        never fetched.

    Raises:
        BrokenXmpError: It cannot be read.
    """
    root, _ = _parse(packet)
    values = {name: value for name, value in _simple_properties(_rdf_of(root)) if value}
    found = {name: values[f"{{{_OURS}}}{name}"] for name in _OUR_FIELDS if f"{{{_OURS}}}{name}" in values}
    if found:
        found["tool"] = "facegraft"
    others = ((_SOURCE_TYPE, "digital_source_type"), (_CREATOR_TOOL, "creator_tool"), (_REMOTE, "remote_manifest"))
    for name, key in others:
        if name in values:
            found[key] = values[name]
    return found


def _parse(data: bytes) -> tuple[ET.Element, dict[str, str]]:
    """The tree and its prefix -> namespace map; document types, and so entities, are refused."""
    if len(data) > _LARGEST_BYTES:
        raise BrokenXmpError(f"{len(data)} bytes, more than {_LARGEST_BYTES}")
    builder = ET.TreeBuilder()
    prefixes: dict[str, str] = {}
    depth = 0

    def refuse(*_: object) -> None:
        raise BrokenXmpError("it declares a document type")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise BrokenXmpError(f"nested deeper than {_DEEPEST}")
        builder.start(_clark(name), {_clark(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_clark(name))

    parser = expat.ParserCreate("utf-8", namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartNamespaceDeclHandler = lambda prefix, uri: prefixes.setdefault(prefix or "", uri or "")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(_as_utf8(data).strip(b"\0 \t\r\n"), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise BrokenXmpError(str(error)) from error
    return builder.close(), prefixes


def _as_utf8(data: bytes) -> bytes:
    """The packet in UTF-8; XMP may also be UTF-16, with or without a byte order mark."""
    encoding = {b"<\0": "utf-16-le", b"\0<": "utf-16-be", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}.get(data[:2])
    return data.decode(encoding).encode() if encoding else data


def _clark(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _start(existing: bytes | None) -> tuple[ET.Element, dict[str, str]]:
    """The tree to add to: the existing packet's, or a new one if there is none to be had."""
    if existing and existing.strip(b"\0 \t\r\n"):
        try:
            root, prefixes = _parse(existing)
            if root.tag in (f"{{{_X}}}xmpmeta", f"{{{_X}}}xapmeta", f"{{{_RDF}}}RDF"):
                return root, prefixes
            raise BrokenXmpError(f"its root is {root.tag}")
        except BrokenXmpError as error:
            log.warning("the XMP metadata of the picture cannot be read (%s): a new packet replaces it", error)
    return ET.Element(f"{{{_X}}}xmpmeta"), {}


def _rdf_of(root: ET.Element) -> ET.Element:
    if root.tag == f"{{{_RDF}}}RDF":
        return root
    rdf = root.find(f"{{{_RDF}}}RDF")
    return ET.SubElement(root, f"{{{_RDF}}}RDF") if rdf is None else rdf


def _is_ours(name: str, value: str | None) -> bool:
    if name == _CREATOR_TOOL:
        return (value or "").startswith("facegraft ")
    return name.startswith(f"{{{_OURS}}}") or name in (_SOURCE_TYPE, _REMOTE)


def _remove_ours(rdf: ET.Element) -> None:
    """Takes out what we are about to write; a property may be an attribute or a child of a description."""
    for description in rdf.findall(_DESCRIPTION):
        for name in [name for name, value in description.attrib.items() if _is_ours(name, value)]:
            del description.attrib[name]
        for child in [child for child in description if _is_ours(child.tag, child.text)]:
            description.remove(child)
        if len(description) == 0 and set(description.attrib) <= {_ABOUT}:
            rdf.remove(description)


def _add_ours(rdf: ET.Element, origin: Origin) -> None:
    about = next((d.attrib[_ABOUT] for d in rdf.findall(_DESCRIPTION) if _ABOUT in d.attrib), "")
    has_tool = any(name == _CREATOR_TOOL for name, _ in _simple_properties(rdf))
    description = ET.SubElement(rdf, _DESCRIPTION, {_ABOUT: about})
    ET.SubElement(description, _SOURCE_TYPE).text = origin.digital_source_type
    if not has_tool:
        ET.SubElement(description, _CREATOR_TOOL).text = origin.agent
    told = origin.as_dict()
    for name in _OUR_FIELDS:
        if name in told:
            ET.SubElement(description, f"{{{_OURS}}}{name}").text = told[name]


def _add_event(rdf: ET.Element, origin: Origin) -> None:
    """One entry in the history of the resource; not again if it is already there."""
    event = {
        f"{{{_EVENT}}}action": "edited",
        f"{{{_EVENT}}}changed": "/",
        f"{{{_EVENT}}}parameters": f"facegraft swap, method {origin.method}",
        f"{{{_EVENT}}}softwareAgent": origin.agent,
        f"{{{_EVENT}}}when": origin.created,
    }
    history = rdf.find(f"{_DESCRIPTION}/{_HISTORY}")
    if history is None:
        history = ET.SubElement(_history_home(rdf), _HISTORY)
    sequence = history.find(f"{{{_RDF}}}Seq")
    if sequence is None:
        sequence = ET.SubElement(history, f"{{{_RDF}}}Seq")
    if not any(event.items() <= entry.attrib.items() for entry in sequence):
        ET.SubElement(sequence, f"{{{_RDF}}}li", event)


def _history_home(rdf: ET.Element) -> ET.Element:
    for description in rdf.findall(_DESCRIPTION):
        description.attrib.pop(_HISTORY, None)  # a history is a list; as an attribute it is broken
    first = rdf.find(_DESCRIPTION)
    return ET.SubElement(rdf, _DESCRIPTION, {_ABOUT: ""}) if first is None else first


def _simple_properties(rdf: ET.Element) -> Iterator[tuple[str, str]]:
    """Name and value of each property that is plain text or a link."""
    for description in rdf.findall(_DESCRIPTION):
        for name, value in description.attrib.items():
            yield name, value.strip()
        for child in description:
            if len(child) == 0:
                yield child.tag, (child.text or "").strip() or child.attrib.get(f"{{{_RDF}}}resource", "").strip()


def _shrink(root: ET.Element, rdf: ET.Element, prefixes: dict[str, str], limit_bytes: int) -> bytes:
    """Leaves out other people's properties, largest first, until the packet fits."""
    packet = _serialise(root, prefixes)
    while len(packet) > limit_bytes:
        sizes = [
            (size, name, description) for description in rdf.findall(_DESCRIPTION) for name, size in _sizes(description)
        ]
        if not sizes:
            break
        _, name, description = max(sizes, key=lambda entry: entry[0])
        description.attrib.pop(name, None)
        for child in description.findall(name):
            description.remove(child)
        log.warning("XMP property %s is left out: the packet would be larger than %d bytes", name, limit_bytes)
        packet = _serialise(root, prefixes)
    return packet


def _sizes(description: ET.Element) -> Iterator[tuple[str, int]]:
    """Name and rough size of each property that is not ours."""
    for name, value in description.attrib.items():
        if name != _ABOUT and not _is_ours(name, value):
            yield name, len(value)
    for child in description:
        if not _is_ours(child.tag, child.text):
            yield child.tag, len(ET.tostring(child))


def _serialise(root: ET.Element, prefixes: dict[str, str]) -> bytes:
    """The packet. ElementTree's own writer keeps prefixes in a global table, so it is not used here."""
    by_uri = _choose_prefixes(root, prefixes)
    pieces = ['<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n']
    _write(root, by_uri, pieces, declare=True)
    pieces.append('\n<?xpacket end="w"?>')
    return "".join(pieces).encode()


def _choose_prefixes(root: ET.Element, prefixes: dict[str, str]) -> dict[str, str]:
    """Namespace -> prefix for all namespaces used: the source's own where it is free."""
    used = dict.fromkeys(
        name[1:].partition("}")[0]
        for element in root.iter()
        for name in (element.tag, *element.attrib)
        if name[0] == "{"
    )
    chosen = {_XML: "xml"}
    for prefix, uri in [*prefixes.items(), *_PREFIXES.items()]:
        if prefix and uri in used and uri not in chosen and prefix not in chosen.values():
            chosen[uri] = prefix
    for number, uri in enumerate(used):
        chosen.setdefault(uri, f"fgns{number}")
    return {uri: prefix for uri, prefix in chosen.items() if uri in used}


def _write(element: ET.Element, by_uri: dict[str, str], pieces: list[str], *, declare: bool = False) -> None:
    name = _prefixed(element.tag, by_uri)
    pieces.append(f"<{name}")
    if declare:
        pieces += [f' xmlns:{prefix}="{_escape_attribute(uri)}"' for uri, prefix in by_uri.items() if uri != _XML]
    pieces += [f' {_prefixed(key, by_uri)}="{_escape_attribute(value)}"' for key, value in element.attrib.items()]
    if len(element) == 0 and not element.text:
        pieces.append("/>")
    else:
        pieces.append(f">{_escape(element.text or '')}")
        for child in element:
            _write(child, by_uri, pieces)
            pieces.append(_escape(child.tail or ""))
        pieces.append(f"</{name}>")


def _prefixed(name: str, by_uri: dict[str, str]) -> str:
    uri, separator, local = name[1:].partition("}")
    return f"{by_uri[uri]}:{local}" if separator else name


def _escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("\r", "&#13;")


def _escape_attribute(text: str) -> str:
    """An XML reader turns bare tabs and line breaks of an attribute into spaces."""
    return _escape(text).replace("\n", "&#10;").replace("\t", "&#9;")
