"""`facegraft verify`: reads what files say about how they were made."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from facegraft.cli.arguments import some_path

if TYPE_CHECKING:
    from facegraft.provenance.report import ProvenanceReport

EPILOG = """exit codes:
  0  every file says that it was made or changed by an algorithm, and no signature is broken
  1  a file says nothing, or was changed after it was signed
  2  a file is missing or neither a picture nor a video

examples:
  facegraft verify swapped.jpg
  facegraft verify out/*.mp4 --watermark
  facegraft verify swapped.png | tail -1 | python -m json.tool

The last line of the output is JSON. Nothing is sent or fetched. Metadata is easily removed: a file
that says nothing may still be swapped. What is written, and how to turn it off: docs/provenance.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("files", type=some_path, nargs="+", metavar="FILE", help="pictures and videos")
    parser.add_argument(
        "--watermark",
        action="store_true",
        help="also decode the pixels and look for facegraft's invisible mark (written only on request)",
    )


def run(args: argparse.Namespace) -> int:
    from facegraft.cli.main import complain
    from facegraft.core.errors import BadInputError
    from facegraft.provenance.report import read_provenance  # loads the decoders, which --help must not wait for

    reports: list[dict[str, object]] = []
    codes = [0]
    for path in args.files:
        try:
            report = read_provenance(path, watermark=args.watermark)
        except BadInputError as error:  # the other files are still worth reading
            complain("verify", str(error))
            reports.append({"path": str(path), "status": "error", "verdict": str(error)})
            codes.append(2)
            continue
        print(as_text(report))
        reports.append(report.as_dict())
        codes.append(0 if report.status == "intact" else 1)
    print(json.dumps({"files": reports}))
    return max(codes)


def as_text(report: ProvenanceReport) -> str:
    """A few lines for people: the verdict, then each layer."""
    from facegraft.cli.main import one_line

    mark = "not looked for (--watermark)"
    if report.watermark is not None:
        found = "found" if report.watermark.found else "not found"
        mark = f"{found} (confidence {report.watermark.confidence:.2f})"
    layers = {
        "signed manifest": _manifest_text(report),
        "XMP": _told(report.xmp),
        "container tags": _told(report.tags),
        "watermark": mark,
        **{f"note {number}": note for number, note in enumerate(report.notes, 1)},
    }
    lines = [f"{report.path}: {report.status.upper()}: {report.verdict}"]
    lines += [f"  {name:<16} {text}" for name, text in layers.items()]
    return "\n".join(one_line(line) for line in lines)


def _manifest_text(report: ProvenanceReport) -> str:
    manifest = report.manifest
    if manifest is None:
        return "none"
    known = "trusted" if manifest.trusted else "unknown"
    whose = "own key" if manifest.own_key else f"{known} signer {manifest.signer!r}"
    parts = [manifest.state, whose, manifest.tool, ", ".join(manifest.actions), ", ".join(manifest.reasons)]
    return "; ".join(part for part in parts if part)


def _told(told: dict[str, str]) -> str:
    return "; ".join(f"{name}: {value.rpartition('/')[2] or value}" for name, value in told.items()) or "none"
