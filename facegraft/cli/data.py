"""`facegraft data`: the assets that people are rendered from, a look into datasets, benchmark sets, reversed swaps."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from facegraft.cli.stopping import goes_on
from facegraft.core.errors import BadInputError

EPILOG = """examples:
  facegraft data assets                        fetch MakeHuman's CC0 assets (150 MB, checked by SHA-256)
  facegraft data assets --from FOLDER          check and copy a folder that has them; --link only points there
  facegraft data info faces                    counts per split, stratum and licence
  facegraft data report faces -o report.html   the diversity report: what is there, what is missing
  facegraft data sheet faces -o sheet.png      samples to look at
  facegraft data benchmark exact-1k -o exact   build a benchmark set; the same on every machine up to rounding
  facegraft data reverse faces -o undone       swaps whose right answer is a photograph, to train with

The same command again continues where it stopped, or says that all is done."""
ACTIONS = {
    "assets": "fetch the CC0 assets that people are rendered from",
    "info": "print what a dataset holds",
    "report": "write the diversity report of a dataset",
    "sheet": "draw samples of a dataset",
    "benchmark": "build a benchmark set",
    "reverse": "put faces on photographs, so that methods can learn to undo it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    children = {name: actions.add_parser(name, help=line, description=line) for name, line in ACTIONS.items()}
    _add_assets(children["assets"])
    for name in ("info", "report", "sheet"):
        children[name].add_argument("dataset", type=Path, metavar="DIR", help="a dataset")
    children["report"].add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="an .html file; its figures go beside it as .json",
    )
    children["report"].add_argument("--thumbnails", action="store_true", help="show samples of real people too")
    children["sheet"].add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a picture")
    children["sheet"].add_argument("--count", type=int, default=64, metavar="N", help="pictures (default: 64)")
    children["sheet"].add_argument("--seed", type=int, default=0, help="chooses the pictures (default: 0)")
    _add_benchmark(children["benchmark"])
    _add_reverse(children["reverse"])


def _add_assets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="given", type=Path, metavar="FOLDER", help="take them from here, offline")
    parser.add_argument("--link", action="store_true", help="with --from: point to that folder instead of copying")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="default: FACEGRAFT_MAKEHUMAN, or the user's cache")
    parser.add_argument("--jobs", type=int, default=8, metavar="N", help="downloads at a time (default: 8)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be fetched, and from where")


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", choices=("exact-1k", "clips-50"), help="exact swaps, or clips with exact frames")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder of the set")
    parser.add_argument("--size", type=int, metavar="PX", help="side of the pictures (default: 256; clips-50: 128)")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    parser.add_argument(
        "--assets", type=Path, metavar="DIR", help="MakeHuman's assets; default: `facegraft data assets`"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def _add_reverse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DIR", help="photographs, made by `facegraft ingest`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the new dataset's folder")
    parser.add_argument("--pairs", type=int, metavar="N", help="how many (default: two of each photograph)")
    parser.add_argument("--method", default="warp", metavar="NAME", help="warp, or a bundle (default: warp)")
    parser.add_argument("--seed", type=int, default=0, help="another one has other meetings (default: 0)")
    parser.add_argument(
        "--plain", type=float, default=0.25, metavar="SHARE", help="identity images not swapped (default: 0.25)"
    )
    parser.add_argument(
        "--both-ways", action="store_true", help="for each pair one more, whose right answer is the method's own swap"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def run(args: argparse.Namespace) -> int:
    action: Callable[[argparse.Namespace], dict[str, object]] = {
        "assets": _assets,
        "info": _info,
        "report": _report,
        "sheet": _sheet,
        "benchmark": _benchmark,
        "reverse": _reverse,
    }[args.action]
    print(json.dumps(action(args)))  # last line: for programs
    return 0


def _assets(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.data.assets import asset_folder, copy_assets, fetch_assets, read_manifest

    folder = args.to or asset_folder()
    if args.jobs < 1:
        raise BadInputError(f"--jobs: expected 1 or more, found {args.jobs}")
    if args.link and not args.given:
        raise BadInputError("--link: needs --from FOLDER, the folder to point to")
    assets = read_manifest()
    size = sum(asset.size for asset in assets)
    licences = ", ".join(sorted({f"{asset.repository} at {asset.commit[:8]} ({asset.licence})" for asset in assets}))
    print(f"{len(assets)} files, {size / 1e6:.0f} MB, of {licences}")
    if args.dry_run:
        print(f"would {'take them from ' + str(args.given) if args.given else 'fetch them'} to {folder}")
        return {"folder": str(folder), "files": len(assets), "bytes": size}
    with goes_on(lambda: any(map(Path.is_file, folder.rglob("*")))), progress_bar("assets", len(assets)) as update:
        if args.given:
            copied = copy_assets(args.given, folder, link=args.link, progress=lambda done, *_: update(done))
            facts: dict[str, object] = {"copied": copied.files, "converted": copied.converted}
            text = f"{copied.files} files are sound; {copied.converted} pictures are converted copies, not as published"
        else:
            fetched = fetch_assets(folder, jobs=args.jobs, progress=lambda done, *_: update(done))
            facts = {"fetched": fetched}
            text = f"{fetched} files fetched, {len(assets) - fetched} were there"
    print(f"{text}: {folder}")
    return {"folder": str(folder), "files": len(assets), **facts}


def _info(args: argparse.Namespace) -> dict[str, object]:
    import dataclasses

    from facegraft.data.card import as_markdown
    from facegraft.data.dataset import open_dataset

    card = open_dataset(args.dataset).card
    print(as_markdown(card))
    return dataclasses.asdict(card)


def _report(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.data.dataset import open_dataset
    from facegraft.data.report import write_report

    dataset = open_dataset(args.dataset)
    facts = write_report(dataset, args.output, args.thumbnails)
    print(f"report of {facts['items']} pictures: {args.output}")
    return {"pictures": facts["items"], "people": facts["people"], "output": str(args.output)}


def _sheet(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.data.dataset import open_dataset
    from facegraft.data.sheet import write_sheet

    if args.count < 1:
        raise BadInputError(f"--count: expected 1 or more, found {args.count}")
    shown = write_sheet(open_dataset(args.dataset), args.output, count=args.count, seed=args.seed)
    print(f"{shown} pictures: {args.output}")
    return {"pictures": shown, "output": str(args.output)}


def _benchmark(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.cli.synth import describe_plan, write_with_bar
    from facegraft.data.benchmark_sets import benchmark_options

    options = benchmark_options(args.set, size_px=args.size, device=args.device)
    if args.dry_run:
        return describe_plan(options, args.output)
    return write_with_bar(options, args.output, jobs=args.jobs, assets=args.assets)


def _reverse(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.data.dataset import open_dataset
    from facegraft.data.meetings import usable
    from facegraft.data.reverse import ReverseOptions, shard_count, write_reversed
    from facegraft.runtime.engine import load_engine
    from facegraft.runtime.swapper import pair_swapper

    photographs = len(usable(open_dataset(args.dataset)))
    pairs = 2 * photographs if args.pairs is None else args.pairs
    stamp = load_engine(args.method).stamp
    options = ReverseOptions(args.method, pairs, args.seed, args.plain, stamp, both_ways=args.both_ways)
    shards = shard_count(options)
    if args.dry_run:
        pairs *= 1 + options.both_ways
        print(f"would write {pairs} pairs of {photographs} photographs in {shards} shards to {args.output}")
        return {"output": str(args.output), "pairs": pairs, "photographs": photographs, "shards": shards}
    with shards_stay(args.output), progress_bar("shards", shards) as update:
        dataset = write_reversed(
            args.dataset, args.output, options, pair_swapper, jobs=args.jobs, progress=lambda done, _: update(done)
        )
    made = len(dataset.pairs)
    lost = options.pairs - made // (1 + options.both_ways)
    print(f"{made} pairs with their right answers, {lost} left out (no face found, or nobody swapped): {args.output}")
    return {"output": str(args.output), "pairs": made, "left_out": lost}


def shards_stay(folder: Path) -> AbstractContextManager[None]:
    """For writing a dataset: an interruption leaves whole shards, from which the same command goes on."""
    from facegraft.data.card import shard_paths

    return goes_on(lambda: bool(shard_paths(folder)))


@contextmanager
def progress_bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error with a count and the time left; yields what is called with how much is done.

    It shows itself at the first call, so that what fails before says its one line alone, and goes away at the end.
    Without a terminal there is none.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(name, total=total)

    def update(done: int) -> None:
        bar.start()
        bar.update(task, completed=done)

    try:
        yield update
    finally:
        bar.stop()
