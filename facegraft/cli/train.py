"""`facegraft train`: a method's or a network's config becomes a run; the same command goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.cli.stopping import goes_on
from facegraft.core.errors import BadInputError, MissingPartError

if TYPE_CHECKING:
    from facegraft.train.loop import Progress, Status

EPILOG = """examples:
  facegraft train configs/ghost.toml --run runs/ghost --set 'data.path=["data/faces"]'
  facegraft train configs/landmarks.toml --run runs/landmarks
  facegraft train configs/landmarks.toml --run runs/small --set train.batch=16 --images 20000

Needs the extra `train`. The same command again continues where it stopped, bit for bit on the same device with as many
threads, or says that all is done. Ctrl-C saves first. The folder holds log.jsonl, preview/ and weights.safetensors;
`facegraft export` makes a bundle, or the network's file, of it. Several processes: docs/training-methods.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a .toml file")
    parser.add_argument("--run", dest="folder", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value, as train.batch=8; may repeat"
    )
    parser.add_argument("--images", type=int, metavar="N", help="stop after so many; as --set train.images=N")
    parser.add_argument("--seed", type=int, metavar="K", help="as --set seed=K")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch on the CPU (default: torch's own choice)")
    parser.add_argument("--dry-run", action="store_true", help="check the config and print it whole")


def run(args: argparse.Namespace) -> int:
    try:
        import torch
    except ImportError as error:
        raise MissingPartError("torch is missing: pip install 'facegraft[train]'") from error
    from facegraft.core.config import load_config
    from facegraft.core.memory import keep_freed
    from facegraft.train.devices import pick_device
    from facegraft.train.folder import STATE
    from facegraft.train.loop import train

    if args.threads is not None:
        if args.threads < 1:
            raise BadInputError(f"--threads: expected 1 or more, found {args.threads}")
        torch.set_num_threads(args.threads)
    tables = load_config(args.config, _overrides(args))
    pick_device(args.device)
    if args.dry_run:
        return _describe(tables)
    keep_freed()
    with goes_on((args.folder / STATE).exists), _live_line() as progress:
        done = train(tables, args.folder, device=args.device, progress=progress)
    trained = done.images_seen - done.images_before
    print(f"{trained} images trained, {done.images_seen} in all: {args.folder}" if trained else f"done: {args.folder}")
    facts = {"run": str(args.folder), "images_seen": done.images_seen, "trained": trained, "scores": done.scores}
    print(json.dumps(facts))  # last line: for programs
    return 0


def _overrides(args: argparse.Namespace) -> list[str]:
    images = [] if args.images is None else [f"train.images={args.images}"]
    seed = [] if args.seed is None else [f"seed={args.seed}"]
    return [*args.set, *images, *seed]


def _describe(tables: dict[str, object]) -> int:
    import dataclasses

    from facegraft.methods._method import build_method
    from facegraft.train.options import MethodRunConfig, run_config
    from facegraft.train.recipe import find_recipe

    config = run_config(tables)
    if isinstance(config, MethodRunConfig):
        build_method({"method": config.method, "model": config.model})
        name = config.method
    else:
        find_recipe(config.network)
        name = config.network
    print(f"would train {name} on {config.train.images} images")
    print(json.dumps(dataclasses.asdict(config)))
    return 0


@contextmanager
def _live_line() -> Iterator[Progress]:
    """Speed, losses and time left on one line of standard error that is drawn anew; nothing without a terminal."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _status: None
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield lambda status: live.update(Text(status_line(status), overflow="ellipsis", no_wrap=True), refresh=True)


def status_line(status: Status) -> str:
    """One line for people."""
    minutes, seconds = divmod(round(status.left_s), 60)
    losses = "  ".join(f"{name} {value:.4g}" for name, value in status.losses.items() if name != "gradient")
    share = status.images_seen / status.images
    left = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} left"
    return f"{share:4.0%}  {status.images_seen:,} images  {status.images_per_s:.0f} images/s  {left}  {losses}"
