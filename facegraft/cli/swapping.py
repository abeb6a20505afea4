"""The work behind `facegraft swap`: who is who, one file after the other, and what to report."""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av.error
import cv2

from facegraft import __version__
from facegraft.cli.stopping import goes_on
from facegraft.cli.swap_files import check_out, default_out, pairs
from facegraft.cli.swap_kinds import check_kinds, check_options, is_clip
from facegraft.cli.swap_telling import Say, clip_bar, told_clip, told_picture, told_quality
from facegraft.cli.watching import Watch, WatchedSwapper
from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError, NoFaceError
from facegraft.core.files import check_output, output_place, sha256, shown
from facegraft.core.image import limit_of, read_picture
from facegraft.core.types import Frame
from facegraft.faces.analyse import Analyser
from facegraft.faces.embed import Recogniser
from facegraft.faces.fetch import recogniser_path
from facegraft.faces.track import Tracker
from facegraft.provenance.finish import prepare_marking
from facegraft.provenance.manifest import Origin, origin_now
from facegraft.provenance.watermark import check_room
from facegraft.runtime.clip import ClipSwap, check_clip, swap_clip
from facegraft.runtime.engine import load_engine
from facegraft.runtime.pictures import plan_picture, swap_picture
from facegraft.runtime.select import Rule, Selector, embed_person, map_rule, which_rule
from facegraft.runtime.swapper import DEFAULT, Swapper
from facegraft.runtime.video import VideoOptions
from facegraft.runtime.video.journal import job_folder
from facegraft.runtime.video.probe import probe


@dataclass(frozen=True)
class Work:
    """All options of one `facegraft swap`."""

    identities: list[Path]
    attribute: Path
    out: Path
    which: str
    mapping: list[str]
    method: str
    min_score: float
    on_no_face: str
    quality: int | None
    video: VideoOptions
    level: Any
    consent: str | None
    watermark: bool
    dry_run: bool
    max_pixels: int
    quality_told: bool
    """Whether the faces are looked at again once a file is done."""

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> Work:
        """Checks what can be checked before any file is opened."""
        identities, attribute = list(args.inputs[:-1]), args.inputs[-1]
        if args.map and identities:
            raise BadInputError("with --map, name the attribute file alone: the identities are in the map")
        if args.map and args.which != "all":
            raise BadInputError("--map and --which exclude each other; use one")
        if not args.map and not identities:
            raise BadInputError(
                "expected an identity picture and an attribute file, found one file; name both, and the output by -o"
            )
        if not 0 <= args.min_score <= 1:
            raise BadInputError(f"--min-score must be 0 to 1, found {args.min_score}")
        max_pixels = limit_of(args.max_megapixels)
        out = args.output or default_out(attribute)
        check_options(args, attribute, out)
        video = VideoOptions(
            codec=args.codec,
            quality=args.crf,
            preset=args.preset or "veryfast",
            start_s=args.start,
            end_s=args.end,
            drop=tuple(args.drop),
            restart=args.restart,
        )
        check_out(out, attribute, [*identities, *_map_pictures(args.map), Path(args.which)])
        return cls(
            identities, attribute, out, args.which, args.map, args.method, args.min_score, args.on_no_face,
            args.quality, video, args.provenance, args.consent, args.watermark, args.dry_run, max_pixels,
            not args.no_report and not args.dry_run,
        )  # fmt: skip


@dataclass
class Report:
    """What was done to all files."""

    method: str = ""
    files: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0

    @property
    def exit_code(self) -> int:
        return 2 if self.failed else 0

    def as_dict(self) -> dict[str, Any]:
        return {"facegraft": __version__, "method": self.method, "files": self.files, "failed": self.failed}


def swap_all(work: Work, report: Report, say: Say) -> None:
    """Does one file, or each file of a folder; a file that fails does not stop a folder.

    Args:
        work: What to do.
        report: Is filled file by file, so that it holds what was done when an interruption ends the work.
        say: Gets a line for each thing that happens.

    Raises:
        FacegraftError: A single file failed, or nothing could be begun.
    """
    with _People(work) as people:
        report.method = people.method
        for line in (*people.remarks, *prepare_marking(work.level)):
            say(f"note: {line}")
        if not work.attribute.is_dir():
            report.files.append(people.swap_file(work.attribute, work.out, say))
            return
        with goes_on(lambda: not work.video.restart and any(one.get("written") for one in report.files)):
            _swap_folder(people, work, report, say)


def _swap_folder(people: _People, work: Work, report: Report, say: Say) -> None:
    for attribute, out in pairs(work.attribute, work.out, say, dry_run=work.dry_run):
        if out.exists() and not work.video.restart:
            say(f"{shown(out)}: already there; --restart makes it anew")
            report.files.append({"attribute": str(attribute), "written": str(out), "already_there": True})
            continue
        try:
            report.files.append(people.swap_file(attribute, out, say))
        except (FacegraftError, OSError, MemoryError, ValueError, cv2.error, av.error.FFmpegError) as error:
            say(f"failed: {shown(attribute)}: {type(error).__name__}: {error}".replace("\n", " "))
            report.files.append({"attribute": str(attribute), "error": str(error)})
            report.failed += 1


def _map_pictures(mapping: list[str]) -> list[Path]:
    return [Path(part) for entry in mapping for part in (entry, *entry.split("="))]


class _People:
    """The loaded networks, the identities, and the rule that says who gets which."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.remarks: list[str] = []
        self._analyser = Analyser(min_score=work.min_score)
        self._recogniser = self._load_recogniser()
        engine = load_engine(work.method)
        watched = WatchedSwapper(self._analyser, engine) if work.quality_told else None
        self._swapper = watched or Swapper(self._analyser, engine)
        embed = self._embed if self._recogniser else None
        if work.mapping:
            rule, pictures = map_rule(work.mapping, embed)
            self._rule: Rule = rule
            self._pictures = {key: [path] for key, path in pictures.items()}
        else:
            self._rule = which_rule(work.which, DEFAULT, embed)
            self._pictures = {DEFAULT: list(work.identities)}
        for key, paths in self._pictures.items():
            self._learn(key, paths)
        self._watch = None if watched is None else Watch(watched, self._pictures, work.max_pixels)

    def __enter__(self) -> _People:
        return self

    def __exit__(self, *_: object) -> None:
        self._recogniser = None

    @property
    def method(self) -> str:
        return self._swapper.method

    def _load_recogniser(self) -> Recogniser | None:
        """Only where people have to be told apart: it costs time, and not everybody has fetched it."""
        if not self._work.mapping and (self._work.which in ("all", "largest") or self._work.which.isdecimal()):
            return None
        try:
            return Recogniser(recogniser_path())
        except MissingPartError:
            return None  # the rule says which option needs it

    def _embed(self, path: Path) -> Any:
        assert self._recogniser is not None  # noqa: S101 - only passed on where there is one
        return embed_person(self._read(path), path, self._analyser, self._recogniser)

    def _read(self, path: Path) -> Frame:
        return read_picture(path, max_pixels=self._work.max_pixels).frame

    def _learn(self, key: str, paths: list[Path]) -> None:
        frames = [self._read(path) for path in paths]
        self.remarks += self._swapper.set_identity(frames, key, names=[shown(path) for path in paths])

    def swap_file(self, attribute: Path, out: Path, say: Say) -> dict[str, Any]:
        """Swaps one picture or clip and says what was done."""
        check_out(out, attribute, [path for paths in self._pictures.values() for path in paths])
        check_kinds(attribute, out)
        title = "swapped clip" if is_clip(out) else "swapped picture"  # a file's name may say who is in it
        origin = origin_now(self.method, consent=self._work.consent, title=title)
        if is_clip(out):
            return self._clip(attribute, out, origin, say)
        return self._picture(attribute, out, origin, say)

    def _place(self, out: Path) -> Path:
        """Where it is tried whether a file can be written: in a dry run a folder's own folder is not there yet."""
        if not (self._work.dry_run and self._work.attribute.is_dir()):
            return out
        above = next(parent for parent in out.parents if parent.exists())
        return above / out.name if above == out.parent or not (above / out.name).exists() else above / f"new-{out.name}"

    def _picture(self, attribute: Path, out: Path, origin: Origin, say: Say) -> dict[str, Any]:
        selector, mark = Selector(self._rule, self._recogniser), self._work.watermark
        check_output(place := self._place(out))
        if self._work.dry_run:
            limit, level = self._work.max_pixels, self._work.level
            faces = plan_picture(self._swapper, selector.choose, attribute, place, limit, level=level, watermark=mark)
            if not faces[1] and self._work.on_no_face == "fail":
                raise NoFaceError(f"{shown(attribute)}: none of {faces[0]} faces would be swapped")
            say(f"would swap {faces[1]} of {faces[0]} faces of {shown(attribute)} into {shown(out)}")
            return {"attribute": str(attribute), "written": None, "faces": faces[0], "swapped": faces[1]}
        if self._watch:
            self._watch.begin()
        done = swap_picture(
            self._swapper,
            selector.choose,
            attribute,
            out,
            origin=origin,
            level=self._work.level,
            quality=self._work.quality,
            on_no_face=self._work.on_no_face,
            watermark=mark,
            max_pixels=self._work.max_pixels,
        )
        told = told_picture(attribute, done, say)
        if self._watch and done.swapped and done.written:
            told["quality"] = told_quality(self._watch.picture(done.written, watermark=mark), say)
        return told

    def _clip(self, attribute: Path, out: Path, origin: Origin, say: Say) -> dict[str, Any]:
        tracker = Tracker(self._analyser, self._recogniser)
        selector, make = Selector(self._rule, self._recogniser), self._watch.edit if self._watch else ClipSwap
        edit = make(self._swapper, tracker, selector, watermark=self._work.watermark)
        if self._work.watermark:
            check_room(*probe(attribute).size_hw)
        if self._work.dry_run:
            clip = check_clip(attribute, self._place(out), self._work.video, origin=origin, level=self._work.level)
            say(f"would swap {shown(attribute)} ({clip.size_hw[1]} x {clip.size_hw[0]}) into {shown(out)}")
            return {"attribute": str(attribute), "written": None}
        began = time.perf_counter()
        with goes_on(job_folder(output_place(out)).exists), clip_bar(shown(attribute)) as progress:
            done = swap_clip(
                edit,
                attribute,
                out,
                self._work.video,
                job_key=self._key(),
                origin=origin,
                level=self._work.level,
                on_no_face=self._work.on_no_face,
                progress=progress,
            )
        told = told_clip(attribute, done, time.perf_counter() - began, say)
        if self._watch and done.counts.swaps:
            told["quality"] = told_quality(self._watch.clip(resumed_from=done.video.resumed_from), say)
        return told

    def _key(self) -> str:
        """Stands for who goes on whom: the pictures' content, the rule's words, the method and the version."""
        digest = hashlib.blake2b(digest_size=16)
        for key, paths in sorted(self._pictures.items()):
            digest.update(f"{key}:{','.join(sha256(path) for path in paths)};".encode())
        digest.update(repr((self._work.which, self._work.mapping, self._work.min_score)).encode())
        digest.update(_rule_bytes(self._rule))
        digest.update(f"{self.method} {self._swapper.engine.stamp} {__version__} {self._work.watermark}".encode())
        return digest.hexdigest()


def _rule_bytes(rule: Rule) -> bytes:
    people = getattr(rule, "people", ())
    return b"".join(person.embedding.tobytes() + str(person.key).encode() for person in people)
