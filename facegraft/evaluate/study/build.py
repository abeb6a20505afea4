"""Builds a study folder from folders of pictures or clips: matched, checked, copied; whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import atomic_path, sha256, shown
from facegraft.core.image import read_picture
from facegraft.core.image_bytes import encode_frame
from facegraft.core.seeds import seed_for
from facegraft.evaluate.study.design import (
    DESIGNS,
    Check,
    Design,
    Question,
    Rules,
    Stimulus,
    Study,
    load_study,
    make_question,
    study_text,
)
from facegraft.evaluate.study.media import Medium, check_alike, check_medium, find_media, match_stems, media_name, store
from facegraft.evaluate.study.spoil import sharpness, spoilt_frame, write_spoilt_clip

PAGE = Path(__file__).parent / "page"
REAL = "real"
CHECKS, CLIP_CHECKS = 6, 2
"""Different spoilt copies."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}")
_RESERVED = {REAL, "clean", "spoilt"}


@dataclass(frozen=True)
class BuildOptions:
    """What `facegraft study build` is told."""

    design: Design
    conditions: dict[str, Path]
    questions: tuple[str, ...] = ()
    identity: Path | None = None
    attribute: Path | None = None
    real: Path | None = None
    trials: int = 30
    seed: int = 0
    title: str = "Which face looks better?"
    wording: dict[str, str] = field(default_factory=dict)
    min_view_ms: int = 1500
    hide_after_ms: int = 0
    ties: bool = False
    active: bool = False
    contact: str = ""
    purpose: str = ""
    rules: Rules = field(default_factory=Rules)

    @property
    def folders(self) -> dict[str, Path]:
        """Of everything that is rated."""
        return self.conditions | ({REAL: self.real} if self.real else {})


@dataclass(frozen=True)
class Plan:
    """A study that could be written, and where each of its media comes from."""

    study: Study
    media: dict[str, Medium]
    """Media name -> file."""


def plan_study(options: BuildOptions) -> Plan:
    """Checks everything and writes nothing.

    Raises:
        BadInputError: Options that do not fit together, files that are missing, unreadable or of unlike shape.
    """
    questions = _questions(options)
    clips = options.design == "video"
    found = {name: find_media(folder, clips=clips) for name, folder in options.folders.items()}
    stems = match_stems(found)
    beside = _reference_files(options, questions, stems)
    media: dict[str, Medium] = {}
    stimuli = []
    for stem in stems:
        rated = {name: check_medium(files[stem]) for name, files in found.items()}
        check_alike(rated)
        names = {name: media_name(options.seed, name, stem, medium.suffix) for name, medium in rated.items()}
        media |= {names[name]: medium for name, medium in rated.items()}
        kinds = {}
        for kind, files in beside.items():
            medium = check_medium(files[stem])
            kinds[kind] = media_name(options.seed, f"\0{kind}", stem, medium.suffix)
            media[kinds[kind]] = medium
        stimuli.append(Stimulus(stem, names, **kinds))
    study = Study(
        title=options.title,
        design=options.design,
        conditions=tuple(options.folders),
        stimuli=tuple(stimuli),
        questions=questions,
        checks=_choose_checks(options, stimuli, media),
        trials=options.trials,
        seed=options.seed,
        real=REAL if options.real else "",
        min_view_ms=options.min_view_ms,
        hide_after_ms=options.hide_after_ms,
        ties=options.ties,
        active=options.active,
        contact=options.contact,
        purpose=options.purpose,
        rules=options.rules,
        inputs_sha256=_digest(options, media),
    )
    return Plan(study, media)


def write_study(plan: Plan, folder: Path) -> bool:
    """Writes a planned study; a folder appears only when all is in it.

    Returns:
        False where the folder holds just this study already.

    Raises:
        BadInputError: The folder holds something else.
        OutputError: It cannot be written.
    """
    if _is_there(plan, folder):
        return False
    parent = folder.resolve().parent
    if not parent.is_dir():
        raise OutputError(f"{shown(folder)}: its folder {shown(parent)} does not exist; make it first")
    temporary = parent / f".facegraft-{secrets.token_hex(8)}"
    try:
        (temporary / "media").mkdir(parents=True)
        for name, medium in plan.media.items():
            store(medium, temporary / "media" / name)
        _write_checks(plan, temporary / "media")
        shutil.copytree(PAGE, temporary / "page")
        with atomic_path(temporary / "study.json") as path:
            path.write_text(study_text(plan.study), encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()  # an empty one, which some systems do not replace
        temporary.replace(folder)
    except OSError as error:
        raise OutputError(f"{shown(folder)}: cannot be written ({(error.strerror or str(error)).lower()})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def _is_there(plan: Plan, folder: Path) -> bool:
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    if (folder / "study.json").is_file() and load_study(folder).inputs_sha256 == plan.study.inputs_sha256:
        return True
    if folder.exists():
        raise BadInputError(f"{shown(folder)}: holds something else; name a new folder for this study")
    return False


def _questions(options: BuildOptions) -> tuple[Question, ...]:
    _check_options(options)
    names = options.questions or ("natural",)
    if len(set(names)) != len(names):
        raise BadInputError("--question: each question once; blocks are made of their trials")
    unasked = sorted(set(options.wording) - set(names))
    if unasked:
        raise BadInputError(f"--wording {unasked[0]}: is not asked; add --question {unasked[0]}")
    questions = tuple(make_question(name, options.design, options.wording.get(name, "")) for name in names)
    for question in questions:
        for kind in question.references:
            if getattr(options, kind) is None:
                raise BadInputError(f"--question {question.name}: is asked beside a reference; give --{kind} FOLDER")
    return questions


def _check_options(options: BuildOptions) -> None:
    for name in options.conditions:
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise BadInputError(
                f"--conditions {name!r}: expected a name of 1 to 40 letters, digits, spaces and ._+-, "
                f"other than {', '.join(sorted(_RESERVED))}"
            )
    if options.design not in DESIGNS:
        raise BadInputError(f"--design: expected one of {', '.join(DESIGNS)}, found {options.design}")
    fakes, paired = options.design == "real-or-fake", options.design in ("pairwise", "video")
    fewest = 1 if fakes else 2
    if len(options.conditions) < fewest:
        raise BadInputError(
            f"--conditions: the design {options.design} needs {fewest} or more, found {len(options.conditions)}; "
            "give NAME=FOLDER of each"
        )
    checks = [
        (fakes and not options.real, "--real: the design real-or-fake needs the FOLDER of unchanged pictures"),
        (bool(options.real) and not fakes, "--real: only for the design real-or-fake"),
        (not 1 <= options.trials <= 500, f"--trials: expected 1 to 500, found {options.trials}"),
        (options.seed < 0, f"--seed: expected 0 or more, found {options.seed}"),
        (not 0 <= options.min_view_ms <= 60_000, f"--min-view: expected 0 to 60 s, found {options.min_view_ms} ms"),
        (options.hide_after_ms < 0, f"--hide-after: expected 0 or more, found {options.hide_after_ms} ms"),
        (options.hide_after_ms > 0 and not fakes, "--hide-after: only for the design real-or-fake"),
        (options.ties and not paired, f"--ties: only for pairs, not for the design {options.design}"),
        (options.active and not paired, f"--active: only for pairs, not for the design {options.design}"),
    ]
    for wrong, message in checks:
        if wrong:
            raise BadInputError(message)


def _reference_files(
    options: BuildOptions, questions: tuple[Question, ...], stems: list[str]
) -> dict[str, dict[str, Path]]:
    """The folders of references that a question shows: others would only lie there."""
    needed = {kind for question in questions for kind in question.references}
    found: dict[str, dict[str, Path]] = {}
    for kind, folder in (("identity", options.identity), ("attribute", options.attribute)):
        if folder is None or kind not in needed:
            continue
        clips = options.design == "video" and kind == "attribute"
        files = find_media(folder, clips=clips)
        missing = [stem for stem in stems if stem not in files]
        if missing:
            raise BadInputError(f"--{kind}: {shown(folder)} lacks {len(missing)} stems, the first is {missing[0]!r}")
        found[kind] = files
    return found


def _choose_checks(options: BuildOptions, stimuli: list[Stimulus], media: Mapping[str, Medium]) -> tuple[Check, ...]:
    """Evenly over the stimuli; of each the sharpest picture, so that its spoilt copy is worse beyond dispute."""
    clips = options.design == "video"
    count = min(CLIP_CHECKS if clips else CHECKS, len(stimuli))
    chosen = []
    for at in np.linspace(0, len(stimuli) - 1, count).round().astype(int):
        names = list(stimuli[at].media.values())
        if options.real:
            clean = stimuli[at].media[REAL]
        else:
            clean = names[0] if clips else max(names, key=lambda name: sharpness(read_picture(media[name].path).frame))
        spoilt = media_name(options.seed, "\0spoilt", stimuli[at].stem, ".mp4" if clips else ".png")
        chosen.append(Check(int(at), clean, spoilt))
    return tuple(chosen)


def _write_checks(plan: Plan, folder: Path) -> None:
    for number, check in enumerate(plan.study.checks):
        rng = np.random.default_rng(seed_for(plan.study.seed, number, 0))
        clean = plan.media[check.clean].path
        if plan.study.design == "video":
            write_spoilt_clip(clean, folder / check.spoilt, rng)
        else:
            (folder / check.spoilt).write_bytes(encode_frame(spoilt_frame(read_picture(clean).frame, rng)))


def _digest(options: BuildOptions, media: Mapping[str, Medium]) -> str:
    """SHA-256 of what decides the study: options without the places of folders, and the files' content."""
    told = dataclasses.asdict(options)
    told["conditions"] = list(options.folders)
    for folder in ("identity", "attribute", "real"):
        told[folder] = told[folder] is not None
    files = {name: sha256(medium.path) for name, medium in media.items()}
    return hashlib.sha256(json.dumps([told, files], sort_keys=True).encode()).hexdigest()
