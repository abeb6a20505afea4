"""`facegraft swap`: a person's face into pictures and clips."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from facegraft.cli.arguments import some_path, some_text

EPILOG = """examples:
  facegraft swap person.jpg photo.jpg -o swapped.jpg
  facegraft swap person.jpg clip.mp4 -o swapped.mp4
  facegraft swap front.jpg side.jpg clip.mp4 -o swapped.mp4        several photos of one person: best pose is used
  facegraft swap person.jpg group.jpg -o one.jpg --which 1         face 1 in `facegraft analyse group.jpg`; 0 is largest
  facegraft swap person.jpg clip.mp4 -o one.mp4 --which anna.jpg   only the person who looks like anna.jpg
  facegraft swap clip.mp4 -o two.mp4 --map anna.jpg=x.jpg --map ben.jpg=y.jpg
  facegraft analyse clip.mp4 --people people; facegraft swap clip.mp4 -o out.mp4 --map people/people.toml
  facegraft swap person.jpg holiday/ -o swapped/                   every picture and clip of a folder
  facegraft swap person.jpg photo.jpg --method bundles/simswap     by a bundle that `facegraft export` made

An interrupted clip goes on with the same command. Hidden files of a folder, whose names begin with a dot, are left out.
Every output says that it was made (`facegraft verify FILE`); --provenance none turns that off. Where nobody was swapped
nothing says so. The last line of the output is JSON."""

# facegraft.runtime.video.options has the same lists; importing it would load numpy, and --help should not wait for that
CODECS = ("h264", "hevc", "vp9", "av1")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
KINDS = ("audio", "subtitles", "data", "attachments", "video", "chapters")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "inputs",
        type=some_path,
        nargs="+",
        metavar="FILE",
        help="pictures of the identity, then the attribute picture, clip or folder (with --map: that alone)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=some_path,
        metavar="FILE",
        help="default: NAME-swapped beside the attribute file; GIFs that move become .mp4, others .png; a folder's "
        "a.avi becomes a.avi.mp4",
    )
    who = parser.add_argument_group("who is swapped")
    who.add_argument(
        "--which",
        type=some_text,
        default="all",
        metavar="WHO",
        help="all, largest, a face's number, or a picture of the person (default: all)",
    )
    who.add_argument(
        "--map",
        type=some_text,
        action="append",
        default=[],
        metavar="PERSON=IDENTITY",
        help="person.jpg=identity.jpg, or a mapping file of `facegraft analyse`; may repeat",
    )
    who.add_argument("--min-score", type=float, default=0.5, metavar="S", help="least detector score (default: 0.5)")
    who.add_argument(
        "--on-no-face",
        choices=("fail", "keep", "skip"),
        default="fail",
        help="nobody to swap: an error, a plain copy of the file (its pixels where the format or an option changes "
        "them), or, pictures only, no output (default: fail)",
    )
    parser.add_argument(
        "--method",
        type=some_text,
        default="warp",
        metavar="NAME",
        help="a bundle's folder or name, or warp, which needs no training (default: warp)",
    )
    _add_output_options(parser)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("output")
    out.add_argument("--quality", type=int, metavar="Q", help="of lossy pictures, 1..100 (default: as the attribute's)")
    out.add_argument("--crf", type=int, metavar="N", help="of clips: the encoder's constant quality, lower is better")
    out.add_argument("--max-megapixels", type=float, default=200, metavar="M", help="largest picture (default: 200)")
    out.add_argument("--codec", choices=CODECS, help="of clips (default: by container and bit depth)")
    out.add_argument("--preset", choices=PRESETS, help="encoder speed (default: veryfast)")
    out.add_argument("--start", type=float, metavar="S", help="clips: begin this many seconds in")
    out.add_argument("--end", type=float, metavar="S", help="clips: stop there")
    out.add_argument("--drop", action="append", choices=KINDS, default=[], help="streams to leave out; may repeat")
    out.add_argument(
        "--restart",
        action="store_true",
        help="throw away what a job with other settings left; do a folder's files anew",
    )
    out.add_argument(
        "--provenance",
        choices=("full", "metadata", "none"),
        default="full",
        help="what the file says about being made: signed manifest and metadata, metadata, nothing (default: full). "
        "BMP holds none of it and is written with none only",
    )
    out.add_argument("--consent", metavar="TEXT", help="who agreed to what; written into the provenance")
    out.add_argument("--watermark", action="store_true", help="also an invisible mark in all of the pixels")
    report = out.add_mutually_exclusive_group()
    report.add_argument(
        "--report",
        type=some_path,
        metavar="FILE",
        help="JSON with what was done and how good it is (default: OUTPUT.report.json, or report.json in a folder)",
    )
    report.add_argument("--no-report", action="store_true", help="look at nothing afterwards, write no report")
    out.add_argument("--dry-run", action="store_true", help="check everything, say what would be done, write nothing")


def run(args: argparse.Namespace) -> int:
    from facegraft.cli.swapping import Report, Work, swap_all  # loads the decoders, which --help must not wait for

    work, report, ended = Work.from_arguments(args), Report(), False
    try:
        swap_all(work, report, say=print)
        ended = True
    finally:  # what an interrupted folder has done is told as well: the next run finds it there and does not look again
        facts = report.as_dict()
        if not args.dry_run and (ended or report.files):
            facts.update(_written_report(facts, args))
    print(json.dumps(facts))
    return report.exit_code


def _written_report(facts: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Where the report is, if there is to be one; what earlier ones say of files since written over goes."""
    from facegraft.cli.swap_report import forget_overwritten, write_report

    path: Path | None = None
    if not args.no_report:
        path, warning = write_report(facts, args.inputs[-1], args.report)
        if warning:
            print(f"warning: {warning}")
    for stale in forget_overwritten(facts["files"], path):
        print(f"note: {stale} told of a file that has been written over; that is taken out")
    return {} if args.no_report else {"report": None if path is None else str(path)}
