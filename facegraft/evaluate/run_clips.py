"""Clips to methods, frame by frame and as a whole; answers to the metrics of time, figures to a report."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

from facegraft.core.files import shown
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.evaluate import temporal
from facegraft.evaluate.clip_files import ClipFiles, Clips, write_clip
from facegraft.evaluate.clips import ClipSet, clip_set
from facegraft.evaluate.comparison import ASKED
from facegraft.evaluate.contestants import ClipContestant, Method, clip_contestants
from facegraft.evaluate.eyes import Opened
from facegraft.evaluate.floors import floors
from facegraft.evaluate.look import Eyes
from facegraft.evaluate.made import made_now
from facegraft.evaluate.protocol import CLIP_PROTOCOL
from facegraft.evaluate.questions import card_facts, digest
from facegraft.evaluate.results import CASES, Report, grouped, summarise, with_left_out
from facegraft.evaluate.score import Progress
from facegraft.evaluate.temporal_still import still_clip
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader


def clips_of(data: Clips | Dataset | Path | str, most: int | None = None) -> Clips:
    """Clips of whatever holds some.

    Raises:
        BadInputError: It holds none.
    """
    if isinstance(data, ClipSet | ClipFiles):
        return data
    return clip_set(data if isinstance(data, Dataset) else open_dataset(data), most=most)


def clip_answerers(methods: Mapping[str, Method], asked: Clips, opened: Opened) -> dict[str, ClipContestant]:
    """Those of the methods that can answer clips.

    Raises:
        BadInputError: None can, or there is no such floor.
    """
    known = floors(opened.eyes.analyser, asked.identity_frames)
    return clip_contestants(methods, known, asked.keys(), truths=isinstance(asked, ClipSet))


def judge_clips(
    methods: Mapping[str, Method], asked: Clips, opened: Opened, *, seed: int, progress: Progress
) -> Report:
    """The report of methods on clips.

    Raises:
        BadInputError: As `clip_answerers`; a damaged picture or clip.
    """
    able = clip_answerers(methods, asked, opened)
    answers = {name: one.answer for name, one in able.items()}
    scores = temporal.score_clips(answers, asked, opened.eyes, of=len(asked), progress=progress)
    first = next(iter(scores.values()))
    report = Report(
        protocol=CLIP_PROTOCOL,
        name=asked.name,
        set_facts=clip_facts(asked),
        made=made_now(datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        networks=opened.networks,
        suites=dict(temporal.SUITES),
        metrics={metric.name: metric for metric in temporal.ALL_METRICS},
        of=len(first),
        keys=first.keys,
        people=first.people,
        groups=grouped(first),
        methods={
            name: summarise(found, able[name].kind, able[name].about, {}, seed=seed, timed=able[name].kind == "method")
            for name, found in scores.items()
        },
        seconds={},
    )
    missing = [
        f"clips: {name}: {shown(method)} holds no answers to clips"
        for name, method in methods.items()
        if isinstance(method, Path) and name not in able
    ]
    return with_left_out(report, missing)


def clip_facts(asked: Clips) -> dict[str, str]:
    """What makes the clips known again, whoever has them."""
    facts = {CASES: digest(asked.keys())}
    if isinstance(asked, ClipSet):
        return facts | card_facts(asked.dataset)
    return facts | {ASKED: digest(asked.hashes()), "frames of a clip": f"{asked.frames} at most"}


def export_clips(asked: Clips, folder: Path) -> int:
    """Writes every clip for other tools, and after it the photo that stands still; returns how many clips.

    Raises:
        BadInputError, OutputError: A file cannot be read or written.
    """
    eyes = Eyes(Analyser(), AttributeReader(), {})
    for number, clip in enumerate(asked):
        write_clip(clip, folder)
        seen = (at for at, frame in enumerate(clip.frames) if eyes.look(frame).face is not None)
        write_clip(still_clip(clip, next(seen, 0), seed=number).clip, folder)
    return len(asked)
