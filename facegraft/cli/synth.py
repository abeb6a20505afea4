"""`facegraft synth`: people who do not exist, rendered with exact labels, into a dataset."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.data.synth_plan import PLANES, USUAL_PLANES

if TYPE_CHECKING:
    from facegraft.data.synth_plan import SynthOptions

EPILOG = """examples:
  facegraft synth -o faces --people 1000 --images 8000 --size 128
  facegraft synth -o swaps --people 200 --images 1000 --pairs exact      200 swaps with their true answers
  facegraft synth -o faces --people 20 --images 160 --sheet faces.jpg    and a picture to look at

Needs the extra `train` and MakeHuman's assets (`facegraft data assets`). The same command again continues where it
stopped; the files do not depend on --jobs or on how often it was stopped."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    what = parser.add_argument_group("what is rendered")
    what.add_argument("--people", type=int, required=True, metavar="N", help="how many people")
    what.add_argument(
        "--images", type=int, metavar="M", help="pictures in all (default: 8 of each person; with --pairs exact 5)"
    )
    what.add_argument("--size", type=int, default=256, metavar="PX", help="side of the pictures (default: 256)")
    what.add_argument("--seed", type=int, default=0, metavar="K", help="another one: other people, other scenes")
    what.add_argument("--pairs", choices=("none", "exact"), default="none", help="exact: swaps with their true answers")
    what.add_argument("--dial", type=float, default=0.35, help="people from 0, ordinary, to 1, extreme (default: 0.35)")
    what.add_argument("--stratum", default="mixed", metavar="NAME", help='of the scenes, e.g. "large pose"')
    what.add_argument(
        "--backgrounds",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="photographs to put behind; may repeat; default: procedural",
    )
    what.add_argument("--environments", type=Path, metavar="DIR", help=".hdr files that light; default: procedural")
    how = parser.add_argument_group("how and where")
    how.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the dataset's folder")
    how.add_argument("--format", choices=("png", "jpg"), help="default: jpg; png with --pairs exact")
    how.add_argument(
        "--planes",
        default=USUAL_PLANES,
        metavar="LIST",
        help=f"labels of every pixel to store, out of {','.join(PLANES)} (default: {USUAL_PLANES})",
    )
    how.add_argument("--split", choices=("train", "val", "test"), default="train", help="of all people of this set")
    how.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    how.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    how.add_argument("--assets", type=Path, metavar="DIR", help="default: where `facegraft data assets` puts them")
    how.add_argument("--sheet", type=Path, metavar="FILE", help="also draw samples to this picture")
    how.add_argument("--dry-run", action="store_true", help="say what would be written")


def run(args: argparse.Namespace) -> int:
    options = _options(args)
    if args.dry_run:
        print(json.dumps(describe_plan(options, args.output)))
        return 0
    if args.sheet:
        from facegraft.core.image import output_format

        output_format(args.sheet)  # what cannot be written is told before hours of rendering
        folder = args.sheet.resolve().parent
        if not folder.is_dir() and folder != args.output.resolve():
            raise BadInputError(f"--sheet: its folder {shown(folder)} does not exist; make it first")
    facts = write_with_bar(options, args.output, jobs=args.jobs, assets=args.assets)
    if args.sheet:
        from facegraft.data.dataset import open_dataset
        from facegraft.data.sheet import write_sheet

        print(f"{write_sheet(open_dataset(args.output), args.sheet)} samples: {args.sheet}")
    print(json.dumps(facts))  # last line: for programs
    return 0


def _options(args: argparse.Namespace) -> SynthOptions:
    from facegraft.data.synth_plan import joined
    from facegraft.data.synthesise import sampled_options

    chosen = {"picture": args.format} if args.format else {}
    chosen |= {"environments": str(args.environments.resolve())} if args.environments else {}
    chosen |= {"backgrounds": joined(folder.resolve() for folder in args.backgrounds)} if args.backgrounds else {}
    return sampled_options(
        args.people,
        images=args.images,
        pairs=args.pairs,
        size_px=args.size,
        seed=args.seed,
        dial=args.dial,
        stratum=args.stratum,
        device=args.device,
        split=args.split,
        planes=args.planes,
        **chosen,
    )


def describe_plan(options: SynthOptions, out: Path) -> dict[str, object]:
    """Prints what a run would write, and returns it."""
    from facegraft.data.synthesise import make_plan

    plan = make_plan(options)
    size = f"{options.size_px} x {options.size_px} {options.picture}"
    print(f"would write {plan.pictures} pictures ({size}) of {plan.people} people in {plan.shards} shards to {out}")
    return {"output": str(out), **dataclasses.asdict(plan), "options": dataclasses.asdict(options)}


def write_with_bar(options: SynthOptions, out: Path, *, jobs: int | None, assets: Path | None) -> dict[str, object]:
    """Writes a set with a progress bar, says what is there, and returns it."""
    from facegraft.cli.data import progress_bar, shards_stay
    from facegraft.data.synthesise import make_plan, write_set

    with shards_stay(out), progress_bar("shards", make_plan(options).shards) as update:
        dataset = write_set(options, out, jobs=jobs, assets=assets, progress=lambda done, _: update(done))
    card = dataset.card
    print(f"{card.items} pictures of {card.people} people, {card.pairs} exact pairs: {out}")
    digests: dict[str, object] = {name: value for name, value in card.options.items() if name.endswith("_sha256")}
    facts = {"pictures": card.items, "people": card.people, "pairs": card.pairs, "shards": card.shards}
    return {"output": str(out), **facts, **digests}
