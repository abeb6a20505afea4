from __future__ import annotations

import logging
import xml.dom.minidom
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.provenance.manifest import DIGITAL_SOURCE_TYPE, Origin
from facegraft.provenance.xmp import JPEG_LIMIT_BYTES, BrokenXmpError, read_xmp, xmp_packet

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
DC = "http://purl.org/dc/elements/1.1/"

# As exiftool, Lightroom and phones write them: attributes and elements, lists, languages, structures, padding.
FOREIGN = (
    """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.76'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <rdf:Description rdf:about='uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b'
  xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:lens='http://example.org/lens/' lens:Model='50 mm&#10;f/1.8'>
  <dc:creator><rdf:Seq><rdf:li>Zoë O&apos;Neil &amp; Söhne</rdf:li></rdf:Seq></dc:creator>
  <dc:title><rdf:Alt><rdf:li xml:lang='x-default'>A &lt;title&gt;</rdf:li></rdf:Alt></dc:title>
  <lens:Maker rdf:parseType='Resource'><lens:Town>Jena</lens:Town></lens:Maker>
 </rdf:Description>
 <rdf:Description rdf:about='uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b' xmlns:xmp='http://ns.adobe.com/xap/1.0/'
  xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/' xmlns:stEvt='http://ns.adobe.com/xap/1.0/sType/ResourceEvent#'
  xmp:CreatorTool='Camera 5' xmp:Rating='4'>
  <xmpMM:History><rdf:Seq><rdf:li stEvt:action='created' stEvt:softwareAgent='Camera 5'/></rdf:Seq></xmpMM:History>
  <Iptc4xmpExt:DigitalSourceType xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'
   >http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</Iptc4xmpExt:DigitalSourceType>
  <dcterms:provenance xmlns:dcterms='http://purl.org/dc/terms/'>https://example.org/m.c2pa</dcterms:provenance>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
"""
    + " " * 200
    + "\n<?xpacket end='w'?>"
).encode()


def parsed(packet: bytes) -> xml.dom.minidom.Document:
    """By a library that the code under test does not use."""
    return xml.dom.minidom.parseString(packet)


def texts(packet: bytes, namespace: str, name: str) -> list[str]:
    nodes = parsed(packet).getElementsByTagNameNS(namespace, name)
    return ["".join(part.data for part in node.childNodes if part.nodeType == part.TEXT_NODE) for node in nodes]


def test_new_packet_says_everything(origin: Origin) -> None:
    packet = xmp_packet(origin)
    assert packet.startswith(b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    assert packet.endswith(b'<?xpacket end="w"?>')
    assert texts(packet, IPTC, "DigitalSourceType") == [DIGITAL_SOURCE_TYPE]
    assert texts(packet, "http://ns.adobe.com/xap/1.0/", "CreatorTool") == [origin.agent]
    assert read_xmp(packet) == {
        "method": "warp",
        "version": origin.version,
        "created": origin.created,
        "consent": origin.consent,
        "tool": "facegraft",
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "creator_tool": origin.agent,
    }
    assert len(packet) < 1400


def test_merging_keeps_what_others_wrote(origin: Origin) -> None:
    packet = xmp_packet(origin, FOREIGN)
    document = parsed(packet)
    creator = document.getElementsByTagNameNS(DC, "creator")[0].getElementsByTagNameNS(RDF, "li")[0]
    title = document.getElementsByTagNameNS(DC, "title")[0].getElementsByTagNameNS(RDF, "li")[0]
    first, second = document.getElementsByTagNameNS(RDF, "Description")[:2]
    assert creator.firstChild.data == "Zoë O'Neil & Söhne"
    assert title.firstChild.data == "A <title>"
    assert title.getAttributeNS("http://www.w3.org/XML/1998/namespace", "lang") == "x-default"
    assert first.getAttributeNS("http://example.org/lens/", "Model") == "50 mm\nf/1.8"
    assert texts(packet, "http://example.org/lens/", "Town") == ["Jena"]
    assert second.getAttributeNS("http://ns.adobe.com/xap/1.0/", "Rating") == "4"
    assert b"xmlns:lens=" in packet
    assert b"Image::ExifTool 12.76" in packet


def test_merging_replaces_the_source_type_and_the_stale_manifest_link(origin: Origin) -> None:
    packet = xmp_packet(origin, FOREIGN)
    assert texts(packet, IPTC, "DigitalSourceType") == [DIGITAL_SOURCE_TYPE]
    assert b"example.org/m.c2pa" not in packet
    assert read_xmp(FOREIGN)["remote_manifest"] == "https://example.org/m.c2pa"
    assert read_xmp(FOREIGN)["digital_source_type"].endswith("/digitalCapture")


def test_history_grows_and_the_first_tool_keeps_its_honour(origin: Origin) -> None:
    packet = xmp_packet(replace(origin, created="2026-11-23T00:00:00Z"), xmp_packet(origin, FOREIGN))
    events = parsed(packet).getElementsByTagNameNS("http://ns.adobe.com/xap/1.0/mm/", "History")
    agents = [
        entry.getAttributeNS("http://ns.adobe.com/xap/1.0/sType/ResourceEvent#", "softwareAgent")
        for entry in events[0].getElementsByTagNameNS(RDF, "li")
    ]
    assert len(events) == 1
    assert agents == ["Camera 5", origin.agent, origin.agent]
    assert read_xmp(packet)["creator_tool"] == "Camera 5"


@pytest.mark.parametrize("existing", [None, FOREIGN])
def test_the_same_origin_twice_changes_nothing(origin: Origin, existing: bytes | None) -> None:
    once = xmp_packet(origin, existing)
    assert xmp_packet(origin, once) == once


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_packets_are_read(origin: Origin, encoding: str) -> None:
    packet = xmp_packet(origin, FOREIGN.decode().encode(encoding))
    assert b"Jena" in packet


def test_packet_without_xmpmeta_is_merged(origin: Origin) -> None:
    start, end = FOREIGN.index(b"<rdf:RDF"), FOREIGN.index(b"</rdf:RDF>") + 10
    assert b"Jena" in xmp_packet(origin, FOREIGN[start:end] + b"\0\0\0")


BOMB = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xd8\xff\xe0 not xml at all",
        b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>",
        b"<html><body/></html>",
        b"<x:xmpmeta/>",
        FOREIGN.replace(b"</rdf:RDF>", b""),
        FOREIGN.replace(b"Jena", b"&undefined;"),
        FOREIGN.replace(b"Jena", b"\xff\xfe\xfd"),
        FOREIGN.replace(b"<x:xmpmeta", BOMB + b"<x:xmpmeta"),
        FOREIGN.replace(b"Jena", b"<a>" * 5000 + b"</a>" * 5000),
    ],
    ids=["bytes", "cut", "html", "prefix", "tags", "entity", "utf8", "bomb", "deep"],
)
def test_broken_packets_are_replaced_with_a_warning(
    origin: Origin, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        packet = xmp_packet(origin, broken)
    assert packet == xmp_packet(origin)
    assert "a new packet replaces it" in caplog.text


@pytest.mark.parametrize("empty", [b"", b"\0\0", b"  \n"])
def test_empty_packets_are_no_reason_to_warn(origin: Origin, empty: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert xmp_packet(origin, empty) == xmp_packet(origin)
    assert not caplog.records


def test_entities_are_never_expanded() -> None:
    with pytest.raises(BrokenXmpError, match="document type"):
        read_xmp(FOREIGN.replace(b"<x:xmpmeta", BOMB + b"<x:xmpmeta").replace(b"Jena", b"&b;"))


def test_a_packet_too_long_for_jpeg_loses_its_largest_property(
    origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    bulky = FOREIGN.replace(b"Jena", b"J" * 70_000)
    with caplog.at_level(logging.WARNING):
        packet = xmp_packet(origin, bulky, limit_bytes=JPEG_LIMIT_BYTES)
    assert len(packet) <= JPEG_LIMIT_BYTES
    assert "{http://example.org/lens/}Maker" in caplog.text
    assert "Söhne" in packet.decode()
    assert read_xmp(packet)["method"] == "warp"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_packets_never_raise(data: st.DataObject) -> None:
    origin = Origin(method="warp", created="2026-11-22T11:00:00Z")
    start = data.draw(st.integers(0, len(FOREIGN)))
    garbage = data.draw(st.binary(max_size=30))
    damaged = FOREIGN[:start] + garbage + FOREIGN[start + data.draw(st.integers(0, 40)) :]
    told = read_xmp(xmp_packet(origin, damaged))
    assert told["method"] == "warp"
    assert told["digital_source_type"] == DIGITAL_SOURCE_TYPE


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=60))
def test_any_text_comes_back_as_xml_can_hold_it(text: str) -> None:
    origin = Origin(method="warp", created="2026", consent=text)
    told = read_xmp(xmp_packet(origin)).get("consent", "")
    assert told == (origin.consent or "").strip()
