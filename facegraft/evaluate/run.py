"""`evaluate(methods, data) -> Report`: cases to methods, answers to suites, figures to a report. READ SECOND."""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import ModuleType

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.data.dataset import Dataset
from facegraft.evaluate import identity
from facegraft.evaluate.clip_files import Clips
from facegraft.evaluate.contestants import Contestant, Method, contestants
from facegraft.evaluate.eyes import Opened, given, open_eyes
from facegraft.evaluate.floors import floors
from facegraft.evaluate.look import Eyes
from facegraft.evaluate.made import made_now
from facegraft.evaluate.protocol import PROTOCOL, Metric, Scores
from facegraft.evaluate.questions import FolderSet, Questions, identity_frames, keys_of, questions_of, set_facts
from facegraft.evaluate.results import Report, grouped, summarise, with_left_out
from facegraft.evaluate.run_clips import clip_answerers, clips_of, judge_clips
from facegraft.evaluate.score import Progress, score
from facegraft.evaluate.stats import Figure
from facegraft.evaluate.strips import Strips

SUITES = ("truth", "identity", "attributes", "realism")
"""Modules of this folder that judge still pictures."""


def evaluate(
    methods: Method | Mapping[str, Method],
    data: Dataset | Questions | Path | str | None,
    *,
    suites: Sequence[str | ModuleType] | None = None,
    clips: Clips | Path | str | None = None,
    most: int | None = None,
    seed: int = 0,
    eyes: Eyes | Opened | None = None,
    progress: Progress | None = None,
) -> Report:
    """Puts the same cases to all methods, and measures every answer.

    Args:
        methods: Name -> method: a call (identity frame, attribute frame) -> swapped frame, as `swapper.swap_pair`;
            `protocol.Swaps`, which takes several pictures of a person or whole clips as well; a folder of answers named
            by the cases' keys; the name of a floor ("true-swap", "copy", "paste", "mean-face"). A single one needs no
            name.
        data: A dataset with pairs, its folder, or cases. None = clips alone, and theirs is the report.
        suites: Of "truth", "identity", "attributes", "realism", or modules of your own; None = all four.
        clips: Clips to judge as well, or a dataset that has some; None = none.
        most: So many cases, spread over the strata; None = all.
        seed: Chooses cases, and draws of intervals.
        eyes: The networks that look; None = ours, and the judges that are here.
        progress: Called with cases and clips done, and how many there are in all.

    Raises:
        BadInputError: No such suite, floor or folder; no cases; a damaged picture.
        MissingPartError: One of our own networks is missing.
    """
    named = methods if isinstance(methods, Mapping) else {"method": methods}
    if not named:
        raise BadInputError("expected at least one method to evaluate, found none")
    questions = None if data is None else questions_of(data, most, seed)
    films = None if clips is None else clips_of(clips, most)
    modules = load_suites(SUITES if suites is None else suites)
    opened = open_eyes() if eyes is None else given(eyes) if isinstance(eyes, Eyes) else eyes
    tell = progress or (lambda _done, _of: None)
    of_clips: Container[str] = ()
    if films is not None:
        of_clips = clip_answerers(named, films, opened)  # now, not after an hour of judging pictures
    if questions is None:
        if films is None:
            raise BadInputError("expected cases or clips to evaluate on, found neither")
        found = judge_clips(named, films, opened, seed=seed, progress=tell)
        return dataclasses.replace(found, left_out=(*found.left_out, *opened.left_out))
    stills = len(questions)
    of = stills + (0 if films is None else len(films))
    report = _judge(named, questions, modules, opened, seed, lambda done, _of: tell(done, of), of_clips)
    if films is not None:
        began = time.perf_counter()
        found = judge_clips(named, films, opened, seed=seed, progress=lambda done, _of: tell(stills + done, of))
        report = dataclasses.replace(report, clips=dataclasses.replace(found, made={}))
        report.seconds["clips"] = round(time.perf_counter() - began, 3)
    return report


def _judge(
    methods: Mapping[str, Method],
    questions: Questions,
    modules: list[ModuleType],
    opened: Opened,
    seed: int,
    progress: Progress,
    of_clips: Container[str],
) -> Report:
    """The report of still pictures."""
    known = floors(opened.eyes.analyser, lambda: identity_frames(questions))
    truths = not isinstance(questions, FolderSet)
    asked = contestants(methods, known, keys_of(questions), truths=truths, of_clips=of_clips)
    if not opened.eyes.judges:
        modules = [module for module in modules if not module.__name__.endswith(".identity")]
    strips = Strips()
    began = time.perf_counter()
    scores = score(
        {name: one.answer for name, one in asked.items()},
        questions,
        opened.eyes,
        modules,
        progress=progress,
        keep=strips.keep,
    )
    judged = time.perf_counter()
    report = _report(questions, opened, modules, asked, scores, strips, seed)
    answering = {f"answers of {name}": one.milliseconds.sum() / 1000 for name, one in scores.items()}
    looking = judged - began - sum(answering.values())
    seconds = {**answering, "looking and judging": looking, "figures": time.perf_counter() - judged}
    report.seconds.update({name: round(float(value), 3) for name, value in seconds.items()})
    without = [
        f"pictures: {name}: {shown(method)} holds no answers to pictures"
        for name, method in methods.items()
        if isinstance(method, Path) and name not in asked
    ]
    return dataclasses.replace(report, left_out=(*without, *report.left_out))


def load_suites(suites: Sequence[str | ModuleType]) -> list[ModuleType]:
    """Modules of suites, each once.

    Raises:
        BadInputError: No such suite, or none at all.
    """
    unknown = [suite for suite in suites if isinstance(suite, str) and suite not in SUITES]
    if unknown or not suites:
        raise BadInputError(f"expected suites of {', '.join(SUITES)}; found {', '.join(unknown) or 'none'}")
    return [
        importlib.import_module(f"facegraft.evaluate.{suite}") if isinstance(suite, str) else suite
        for suite in dict.fromkeys(suites)
    ]


def _report(
    questions: Questions,
    opened: Opened,
    modules: Sequence[ModuleType],
    asked: Mapping[str, Contestant],
    scores: Mapping[str, Scores],
    strips: Strips,
    seed: int,
) -> Report:
    any_scores = next(iter(scores.values()))
    judges = [judge for judge in identity.JUDGES if f"identity_{judge}" in any_scores.features]
    results = {
        name: summarise(
            found,
            asked[name].kind,
            asked[name].about,
            _set_figures(modules, found),
            seed=seed,
            timed=asked[name].kind == "method",
        )
        for name, found in scores.items()
    }
    suites = {module.__name__.rpartition(".")[2]: tuple(metric.name for metric in all_of(module)) for module in modules}
    report = Report(
        protocol=PROTOCOL,
        name=questions.name,
        set_facts=set_facts(questions),
        made=made_now(datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        networks=opened.networks,
        suites=suites,
        metrics={metric.name: metric for metric in chain.from_iterable(map(all_of, modules))},
        of=len(any_scores),
        keys=any_scores.keys,
        people=any_scores.people,
        groups=grouped(any_scores),
        methods=results,
        seconds={},
        left_out=(),
        thresholds={judge: identity.threshold(any_scores, judge) for judge in judges},
        agreement=identity.agreement(scores) if len(judges) > 1 else None,
        strips=strips.made,
    )
    return with_left_out(report, [*_not_asked(any_scores), *opened.left_out])


def _not_asked(scores: Scores) -> list[str]:
    """How many cases count for nobody."""
    if not scores.not_asked:
        return []
    cases = f"{scores.not_asked} of {len(scores)} cases"
    return [f"{cases}: no face is found in the attribute picture, so they count for no method"]


def all_of(module: ModuleType) -> list[Metric]:
    """All metrics of a suite, in order: of cases, late ones, of sets."""
    names = ("METRICS", "LATE_METRICS", "SET_METRICS")
    return list(chain.from_iterable(getattr(module, name, ()) for name in names))


def _set_figures(modules: Iterable[ModuleType], scores: Scores) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for module in modules:
        made: Callable[[Scores], dict[str, Figure]] | None = getattr(module, "set_figures", None)
        found |= made(scores) if made is not None else {}
    return found
