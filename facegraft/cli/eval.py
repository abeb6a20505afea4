"""`facegraft eval`: how good a swap is, measured the same way for every method."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.cli.eval_questions import (
    asked_clips,
    asked_questions,
    cases_of,
    check_words,
    compared_by,
    describe,
    export,
)
from facegraft.core.errors import BadInputError

if TYPE_CHECKING:
    from facegraft.evaluate.clip_files import Clips
    from facegraft.evaluate.contestants import Method
    from facegraft.evaluate.questions import Questions
    from facegraft.evaluate.report import Against
    from facegraft.evaluate.results import Report
    from facegraft.runtime.swapper import Swapper

EPILOG = """examples:
  facegraft eval warp paste copy true-swap --data data/exact-1k -o measured
  facegraft eval warp --data data/exact-1k --pairs 60 --suite identity --suite attributes -o quick
  facegraft eval bundles/simswap warp --data data/exact-1k -o measured
  facegraft eval warp --clips anna.mp4 --clips ben.mp4 --identity me.jpg -o measured    clips of your own
  facegraft eval warp copy --clips data/clips-50 --pairs 20 -o measured     rendered clips, whose right answer is known
  facegraft eval warp paste --data data/exact-1k --itself -o measured       each picture into itself: what changes?
  facegraft eval --data data/exact-1k --export questions            the pictures, for any other tool to swap
  facegraft eval answers/mine warp --data data/exact-1k -o measured   its answers: one PNG per case, named by its key
  facegraft eval --clips data/clips-50 --export questions          the same of clips, as numbered frames
  facegraft eval warp --data data/exact-1k -o new --against old/results.json
  facegraft eval answers --identity people --attribute photos -o measured    plain folders of the same names

METHOD is warp; a bundle: the name of one that comes along, or the folder of one made by `facegraft export`; a floor:
true-swap (the right answer), copy (changes nothing), paste, mean-face; or a folder of answers. Everything is measured
by networks that come with facegraft; the identity is judged by two recognisers of others, which `facegraft models fetch
--recogniser --judge` brings. OUT/report.html is for people, OUT/results.json has every number. The last line printed is
JSON."""
WARP = "warp"
# facegraft.evaluate has the same lists; importing it would load numpy, and --help should not wait
SUITES = ("truth", "identity", "attributes", "realism")
FLOORS = ("true-swap", "copy", "paste", "mean-face")
JUDGES = ("dlib", "second")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="warp, a bundle, a floor, or a folder of answers")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for report.html and results.json")
    cases = parser.add_argument_group("what is asked")
    cases.add_argument("--data", type=Path, metavar="DIR", help="dataset with exact swaps, as exact-1k")
    cases.add_argument(
        "--identity",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="without a dataset: pictures that say who; for clip files a picture of the person, may repeat",
    )
    cases.add_argument("--attribute", type=Path, metavar="DIR", help="with --identity: the pictures to put them into")
    cases.add_argument("--pairs", type=int, metavar="N", help="so many cases, and clips at most (default: all)")
    cases.add_argument("--seed", type=int, default=0, metavar="K", help="chooses the cases (default: 0)")
    cases.add_argument("--itself", action="store_true", help="put each attribute picture into itself")
    cases.add_argument(
        "--clips",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="dataset with clips, as clips-50, or a clip file (may repeat), to judge as well or alone",
    )
    cases.add_argument("--frames", type=int, metavar="N", help="so many frames of each clip at most (files: 48)")
    cases.add_argument(
        "--export", type=Path, metavar="DIR", help="write the pictures of the cases here, for other tools"
    )
    how = parser.add_argument_group("how it is measured")
    how.add_argument("--suite", choices=SUITES, action="append", help="may repeat (default: all)")
    how.add_argument(
        "--judge",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a recogniser in ONNX that judges identity, as dlib=FILE or second=FILE; may repeat",
    )
    how.add_argument(
        "--against",
        metavar="WHAT",
        help="results.json of another evaluation, or a method, to test the others against (default: the first method)",
    )
    how.add_argument(
        "--cost",
        action="store_true",
        help="also time methods with 1 and 2 threads and take their memory (some seconds)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, say what would be done, write nothing"
    )


def run(args: argparse.Namespace) -> int:
    check_words(args)
    methods = _methods([*args.methods, *_against_method(args)])
    questions, clips = asked_questions(args), asked_clips(args)
    if args.dry_run:
        return describe(args, questions, clips, list(methods))
    facts = {} if args.export is None else export(questions, clips, args.export)
    if not methods:
        print(json.dumps({"export": str(args.export)} | facts))
        return 0
    try:
        with _made(args.output):
            return _evaluate(args, questions, clips, methods)
    except KeyboardInterrupt:
        from facegraft.cli.main import complain

        complain("eval", "interrupted; nothing was written")
        return 130


def _methods(words: list[str]) -> dict[str, Method]:
    """Name -> method, in the order they were named."""
    found: dict[str, Method] = {}
    for word in words:
        name, method = _method(word)
        if name in found and word in (WARP, *FLOORS):
            continue
        if name in found:
            raise BadInputError(f"{word}: a second method of the name {name!r}; give its folder another name")
        found[name] = method
    return found


def _method(word: str) -> tuple[str, Method]:
    if word in FLOORS:
        return word, word
    if word == WARP:
        from facegraft.runtime.swapper import Swapper

        return WARP, _swaps(Swapper())
    folder = Path(word)
    if (folder / "card.json").is_file():
        from facegraft.runtime.bundle import is_bundle
        from facegraft.runtime.swapper import load_swapper

        if is_bundle(folder):
            return folder.resolve().name, _swaps(load_swapper(folder))
    if folder.is_dir():
        return folder.resolve().name, folder
    from facegraft.runtime.engine import installed_bundles

    installed = installed_bundles()
    if word in installed:
        from facegraft.runtime.swapper import load_swapper

        return word, _swaps(load_swapper(installed[word]))
    raise BadInputError(_unknown(word, sorted(installed)))


def _swaps(swapper: Swapper) -> Method:
    """All that a swapper can be asked."""
    from facegraft.evaluate.protocol import Swaps

    return Swaps(swapper.swap_pair, swapper.swap_several, swapper.swap_frames)


def _unknown(word: str, installed: Sequence[str]) -> str:
    from difflib import get_close_matches

    known = (WARP, *installed, *FLOORS)
    near = get_close_matches(word, known, n=3, cutoff=0.5)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"method {word!r}: expected {', '.join(known)}, or a folder of a bundle or of answers{guess}"


def _against_method(args: argparse.Namespace) -> list[str]:
    """The method that --against adds, where it names one that is not judged anyway."""
    if args.against is None or args.against.endswith(".json") or args.against in args.methods:
        return []
    return [args.against]


def _judges(words: list[str]) -> dict[str, Path]:
    found = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not (equals and file) or name not in JUDGES:
            raise BadInputError(f"--judge {word!r}: expected NAME=FILE.onnx, with a name of {', '.join(JUDGES)}")
        found[name] = Path(file)
    return found


def _evaluate(
    args: argparse.Namespace, questions: Questions | None, clips: Clips | None, methods: dict[str, Method]
) -> int:
    from facegraft.cli.data import progress_bar
    from facegraft.cli.eval_cost import costs
    from facegraft.evaluate.comparison import check_comparable
    from facegraft.evaluate.eyes import open_eyes
    from facegraft.evaluate.report import summary, write_report
    from facegraft.evaluate.results import load, with_cost
    from facegraft.evaluate.run import evaluate

    other = load(Path(args.against)) if args.against is not None and args.against.endswith(".json") else None
    opened = open_eyes(_judges(args.judge))
    if other is not None:
        protocol, name, facts = compared_by(questions, clips)
        check_comparable(other, protocol, name, opened.networks, facts)  # now, not after an hour of judging
    known = costs(methods, cases_of(questions, clips), timed=args.cost)
    with progress_bar("cases", sum(len(part) for part in (questions, clips) if part is not None)) as update:
        report = evaluate(
            methods,
            questions,
            suites=args.suite,
            clips=clips,
            seed=args.seed,
            eyes=opened,
            progress=lambda done, _of: update(done),
        )
    report = with_cost(report, known)
    against = _against(args, report, other)
    write_report(report, args.output, against)
    _print(report)
    print(f"\n{args.output / 'report.html'}")
    print(json.dumps(summary(report, against) | {"output": str(args.output)}))  # last line: for programs
    return 0


def _print(report: Report) -> None:
    from facegraft.evaluate.protocol import CLIP_PROTOCOL
    from facegraft.evaluate.report import as_table
    from facegraft.evaluate.report_cost import cost_lines, judge_lines

    for one in (report, report.clips):
        if one is not None:
            what = "clip" if one.protocol == CLIP_PROTOCOL else "case"
            number = f"{one.of} {what}{'' if one.of == 1 else 's'}"
            print(f"{number} of {one.name}, protocol {one.protocol}; mean [95 % interval over people]\n")
            print(f"{as_table(one)}\n")
    for line in (*judge_lines(report), *cost_lines(report)):
        print(line)
    for line in (*report.left_out, *(report.clips.left_out if report.clips else ())):
        print(f"not measured: {line}")


def _against(args: argparse.Namespace, report: Report, other: Report | None) -> Against:
    from facegraft.evaluate.report import compare_with

    if other is not None:
        return compare_with(report, other=other)
    base = None if args.against is None else _name_of(args.against)
    return compare_with(report, base if base in report.methods else None)  # a folder may answer clips alone


def _name_of(word: str) -> str:
    return word if word in (WARP, *FLOORS) else Path(word).resolve().name


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes the folder before the work, so that what cannot be written is told at once; takes it away if that fails."""
    before = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not before:
            with suppress(OSError):
                folder.rmdir()  # fails where something was written, which then stays
        raise
