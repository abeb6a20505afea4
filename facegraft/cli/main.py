"""The `facegraft` command: finds the verb, prints errors as one line, decides the exit code.

Exit codes: 0 done; 1 a check came out negative, or facegraft itself failed; 2 the input, an option or the
machine has to change first; 130 interrupted, by Ctrl-C or SIGTERM; 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Never

import facegraft
from facegraft.cli.stopping import terminated_like_interrupted
from facegraft.core.errors import FacegraftError
from facegraft.core.log import set_up_logging

VERBS = {
    "swap": "put a person's face into pictures and videos",
    "analyse": "list the faces of a picture, or the people of a video with a mapping file to edit",
    "verify": "read what a file says about how it was made",
    "ingest": "make an aligned dataset of photographs and clips",
    "synth": "render people with exact labels, and the true answer of a swap, into a dataset",
    "data": "fetch the assets that people are rendered from; look into a dataset; build benchmark sets; reverse swaps",
    "methods": "list the face-swapping methods: paper, cost, trained weights and scores",
    "train": "train a method or a network by its config; the same command goes on where it was stopped",
    "export": "write a trained method as a bundle, a trained network as ONNX, with its card",
    "eval": "measure how good swaps are: identity, attributes, realism, and the true answer where there is one",
    "study": "ask people which swap looks better, and score their answers",
    "models": "list, fetch and check the model files",
    "doctor": "show versions, try every device, name what each verb lacks",
}
"""Verb -> its line in `facegraft --help`. `facegraft/cli/<verb>.py` defines `add_arguments` and `run`."""

EXAMPLES = """examples:
  facegraft doctor
  facegraft swap identity.jpg holiday.jpg -o swapped.jpg
  facegraft swap identity.jpg clip.mp4 -o swapped.mp4
  facegraft analyse clip.mp4
  facegraft verify swapped.jpg
  facegraft ingest photos -o data/mine
  facegraft synth -o data/rendered --people 100

`facegraft VERB --help` shows the options of a verb."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; `argv` is without the program's name.

    Raises:
        SystemExit: From argparse: 0 after `--help` and `--version`, 2 after a wrong option.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        _print_anything(stream)
    verb = next((word for word in arguments if not word.startswith("-")), None)
    with terminated_like_interrupted():
        return _run(verb, arguments)


def _run(verb: str | None, arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        args = make_parser(verb).parse_args(arguments)
        args.words = arguments
        set_up_logging(debug=debug)
        code: int = args.run(args)
        sys.stdout.flush()  # a closed pipe shows here, not while Python shuts down
    except KeyboardInterrupt as stop:
        complain(verb, "; ".join(["interrupted", *map(str, stop.args)]))
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (FacegraftError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        complain(verb, _message(error))
        return 2
    except Exception as error:  # noqa: BLE001 - the last stop: whatever it is, the user gets one line
        if debug:
            traceback.print_exc()
        hint = "" if debug else " (a fault in facegraft: run with --debug for the traceback)"
        complain(verb, f"{type(error).__name__}: {error}{hint}")
        return 1
    return code


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and whose examples keep their line breaks."""

    def __init__(self, **options: object) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]  # argparse's own keywords, passed on

    def error(self, message: str) -> Never:
        complain(self.prog.partition(" ")[2] or None, f"{message}. See `{self.prog} --help`.")
        sys.exit(2)


def make_parser(verb: str | None) -> Parser:
    """The parser of the whole command.

    Args:
        verb: Only this verb's module is imported and only its options are added, so that help is
            fast and a broken verb breaks no other. None, or a word that is no verb: none is.
    """
    parser = Parser(
        prog="facegraft",
        description="Face swapping that can be trained, measured and trusted: pictures and video.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"facegraft {facegraft.__version__}")
    _add_debug(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    for name, line in VERBS.items():
        child = verbs.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        if name == verb:
            module = importlib.import_module(f"facegraft.cli.{name}")
            _add_debug(child)
            module.add_arguments(child)
            child.set_defaults(run=module.run)
    return parser


def complain(verb: str | None, message: str) -> None:
    """Prints `facegraft VERB: message` to standard error as one line, whatever the message holds."""
    if sys.stderr is not None:
        name = f"facegraft {verb}" if verb in VERBS else "facegraft"
        print(f"{name}: {one_line(message)}", file=sys.stderr)


def one_line(text: str) -> str:
    r"""The text with line breaks, control characters and undecodable bytes of file names escaped (\n, \x1b, \udcff)."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="log everything; show the traceback of an error"
    )


def _message(error: FacegraftError | OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory: close other programs, or give a smaller picture or video"
    if isinstance(error, OSError) and error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        return error.strerror if name is None else f"{name}: {error.strerror}"
    return str(error) or type(error).__name__


def _open_closed_streams() -> None:
    """A stream that the caller closed leads nowhere; else the next file to be opened would take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.fstat(number)
                continue
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _print_anything(stream: object) -> None:
    """Lets the stream escape what its encoding cannot hold instead of raising."""
    reconfigure = getattr(stream, "reconfigure", None)  # absent where a caller put its own object there
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
