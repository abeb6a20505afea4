"""What `facegraft eval` asks: pictures of a dataset or of folders, clips of a dataset or of files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.core.errors import BadInputError

if TYPE_CHECKING:
    from facegraft.evaluate.clip_files import Clips
    from facegraft.evaluate.protocol import Case
    from facegraft.evaluate.questions import Questions

# facegraft.evaluate has the same number; importing it would load numpy, and --help should not wait
FEWEST_FRAMES = 3


def check_words(args: argparse.Namespace) -> None:
    """What can be told without opening anything.

    Raises:
        BadInputError: The words do not fit together.
    """
    if not args.methods and args.export is None:
        raise BadInputError(
            "expected a method: warp, true-swap, copy, paste, mean-face, a bundle or a folder of answers; see --help"
        )
    if args.methods and args.output is None:
        raise BadInputError("expected -o OUT, a folder for report.html and results.json")
    if args.output is not None and args.output.exists() and not args.output.is_dir():
        raise BadInputError(f"-o {args.output}: expected a folder, found a file")
    for name, least in (("pairs", 1), ("frames", FEWEST_FRAMES)):
        if getattr(args, name) is not None and getattr(args, name) < least:
            raise BadInputError(f"--{name}: expected {least} or more, found {getattr(args, name)}")
    _check_sets(args)
    if args.export is not None and args.attribute is not None:
        written = {(args.export / name).resolve() for name in ("identity", "attribute")}
        if written & {args.identity[0].resolve(), args.attribute.resolve()}:
            raise BadInputError(f"--export {args.export}: would write over the pictures that are asked about")


def _check_sets(args: argparse.Namespace) -> None:
    files = _clip_files(args)
    if args.data is not None and args.attribute is not None:
        raise BadInputError("expected either --data DIR, or --identity DIR and --attribute DIR, found both")
    if args.data is None and not args.identity and args.attribute is None and not args.clips:
        raise BadInputError("expected either --data DIR, or --identity DIR and --attribute DIR, or --clips PATH")
    if files and len(files) < len(args.clips):
        raise BadInputError("--clips: expected one dataset, or files; found both")
    if len(args.clips) > 1 and not files:
        raise BadInputError(f"--clips: expected one dataset, or files; found {len(args.clips)} datasets")
    if files and (not args.identity or args.attribute is not None):
        raise BadInputError("--clips FILE: expected --identity PICTURE, which says who is put into it, no --attribute")
    if not files and len(args.identity) > 1:
        raise BadInputError("--identity: expected one folder of pictures, found several")
    if not files and bool(args.identity) != (args.attribute is not None):
        raise BadInputError("--identity and --attribute belong together; name both folders")
    if not _asks_pictures(args) and (args.suite or args.itself):
        raise BadInputError("--suite and --itself are about pictures; add --data, or --identity and --attribute")
    if args.frames is not None and not args.clips:
        raise BadInputError("--frames is about clips; add --clips")


def _asks_pictures(args: argparse.Namespace) -> bool:
    return args.data is not None or args.attribute is not None


def _clip_files(args: argparse.Namespace) -> list[Path]:
    return [path for path in args.clips if path.is_file() or (path.suffix and not path.is_dir())]


def asked_questions(args: argparse.Namespace) -> Questions | None:
    """The cases; None where clips alone are asked.

    Raises:
        BadInputError: There are none.
    """
    if not _asks_pictures(args):
        return None
    from facegraft.evaluate.questions import ItselfSet, folder_set, questions_of  # numpy; --help must not wait for it

    found = folder_set(args.identity[0], args.attribute) if args.data is None else args.data
    questions = questions_of(found, args.pairs, args.seed)
    if args.itself and not isinstance(questions, ItselfSet):
        return ItselfSet(questions)
    return questions


def asked_clips(args: argparse.Namespace) -> Clips | None:
    """The clips, where any are asked.

    Raises:
        BadInputError: There are none, or a file cannot be asked.
    """
    if not args.clips:
        return None
    from facegraft.data.dataset import open_dataset
    from facegraft.evaluate.clip_files import clip_files
    from facegraft.evaluate.clips import clip_set

    files = _clip_files(args)
    if not files:
        return clip_set(open_dataset(args.clips[0]), most=args.pairs, frames=args.frames)
    missing = next((path for path in (*args.identity, *files) if not path.is_file()), None)
    if missing is not None:
        raise BadInputError(f"{missing}: expected a file, found none")
    found = clip_files(args.identity, files[: args.pairs], frames=args.frames)
    found.check()  # now, not after an hour of judging pictures
    return found


def cases_of(questions: Questions | None, clips: Clips | None) -> Iterator[Case]:
    """All cases, one after the other; of clips alone their frames."""
    if questions is not None:
        return iter(questions)
    return chain.from_iterable(clip.cases() for clip in clips or ())


def compared_by(questions: Questions | None, clips: Clips | None) -> tuple[str, str, dict[str, str]]:
    """Protocol, name and facts of the set by which results compare."""
    from facegraft.evaluate.protocol import CLIP_PROTOCOL, PROTOCOL
    from facegraft.evaluate.questions import set_facts
    from facegraft.evaluate.run_clips import clip_facts

    if questions is not None:
        return PROTOCOL, questions.name, set_facts(questions)
    if clips is None:
        raise ValueError("expected cases or clips")
    return CLIP_PROTOCOL, clips.name, clip_facts(clips)


def export(questions: Questions | None, clips: Clips | None, folder: Path) -> dict[str, object]:
    """Writes all pictures for other tools, says so, and returns it for the last line.

    What an earlier export wrote under the same keys is written anew, or removed; nothing else that is there is touched.
    identity/KEY.png and attribute/KEY.png of every case; of clips clips/identity/KEY.png and frames
    clips/attribute/KEY/0000.png and so on.

    Raises:
        OutputError: A file cannot be written.
    """
    from facegraft.core.image import save_frame
    from facegraft.evaluate.clip_files import write_identities
    from facegraft.evaluate.run_clips import export_clips

    facts: dict[str, object] = {}
    if questions is not None:
        (folder / "attribute").mkdir(parents=True, exist_ok=True)
        for case in questions:
            write_identities(case.identities, folder / "identity", case.key)
            save_frame(folder / "attribute" / f"{case.key}.png", case.attribute)
        print(f"{len(questions)} cases: {folder}")
        facts |= {"cases": len(questions), "set": questions.name}
    if clips is not None:
        count = export_clips(clips, folder / "clips")
        print(f"{count} clips, each with a photo that stands still: {folder / 'clips'}")
        facts |= {"clips": count, "clips_set": clips.name}
    return facts


def describe(args: argparse.Namespace, questions: Questions | None, clips: Clips | None, methods: list[str]) -> int:
    """Says what would be done."""
    parts = [(questions, "cases"), (clips, "clips")]
    asked = " and ".join(f"{len(part)} {what} of {part.name}" for part, what in parts if part is not None)
    print(f"would put {asked} to {', '.join(methods) or 'nobody'}: {args.output}")
    facts: dict[str, object] = {} if questions is None else {"cases": len(questions), "set": questions.name}
    facts |= {} if clips is None else {"clips": len(clips), "clips_set": clips.name}
    facts |= {"methods": methods, "output": str(args.output)}
    print(json.dumps(facts | {"export": None if args.export is None else str(args.export)}))
    return 0
