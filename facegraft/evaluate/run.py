"""`evaluate(methods, data) -> Report`: cases to methods, answers to suites, figures to a report. READ SECOND."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.evaluate import identity, temporal
from facegraft.evaluate.cases import Answers, CaseSet, case_set, folder_cases, read_case
from facegraft.evaluate.clips import ClipSet, clip_set, frame_by_frame
from facegraft.evaluate.eyes import Opened, given, open_eyes
from facegraft.evaluate.floors import CEILING, FLOORS, Floor, floors
from facegraft.evaluate.look import Eyes
from facegraft.evaluate.made import made_now
from facegraft.evaluate.protocol import CLIP_PROTOCOL, PROTOCOL, Case, Metric, Scores, SwapPair
from facegraft.evaluate.results import CASES, Kind, Report, grouped, summarise
from facegraft.evaluate.score import Answer, Progress, answer_of, score
from facegraft.evaluate.stats import Figure
from facegraft.evaluate.strips import Strips

SUITES = ("truth", "identity", "attributes", "realism")
"""Modules of this folder that judge still pictures."""
Method = SwapPair | Floor | Path | str
"""A call; a floor, or its name; a folder of answers made elsewhere."""


@dataclass(frozen=True, eq=False)
class FolderSet:
    """Cases of two plain folders: no truth, nobody known.

    Attributes:
        name: For the report.
        pictures: Key, identity picture, attribute picture.
    """

    name: str
    pictures: tuple[tuple[str, Path, Path], ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Case]:
        return (read_case(*row) for row in self.pictures)


Questions = CaseSet | FolderSet


@dataclass(frozen=True, eq=False)
class _Contestant:
    answer: Answer
    kind: Kind
    about: str


def evaluate(
    methods: Method | Mapping[str, Method],
    data: Dataset | Questions | Path | str,
    *,
    suites: Sequence[str | ModuleType] | None = None,
    clips: ClipSet | Path | str | None = None,
    most: int | None = None,
    seed: int = 0,
    eyes: Eyes | Opened | None = None,
    progress: Progress | None = None,
) -> Report:
    """Puts the same cases to all methods, and measures every answer.

    Args:
        methods: Name -> method: a call (identity frame, attribute frame) -> swapped frame, as `swapper.swap_pair`; a
            folder of pictures named by the cases' keys; the name of a floor ("true-swap", "copy", "paste",
            "mean-face"). A single one needs no name.
        data: A dataset with pairs, its folder, or cases.
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
    questions = questions_of(data, most, seed)
    modules = load_suites(SUITES if suites is None else suites)
    opened = open_eyes() if eyes is None else given(eyes) if isinstance(eyes, Eyes) else eyes
    contestants = _contestants(methods if isinstance(methods, Mapping) else {"method": methods}, opened.eyes, questions)
    if not opened.eyes.judges:
        modules = [module for module in modules if not module.__name__.endswith(".identity")]
    films = clips if clips is None or isinstance(clips, ClipSet) else clip_set(open_dataset(clips), most=most)
    if films is not None:
        _can_be_called(contestants)
    of = len(questions) + (0 if films is None else len(films))
    tell = progress or (lambda _done, _of: None)
    strips = Strips()
    began = time.perf_counter()
    scores = score(
        {name: one.answer for name, one in contestants.items()},
        questions,
        opened.eyes,
        modules,
        progress=lambda done, _of: tell(done, of),
        keep=strips.keep,
    )
    judged = time.perf_counter()
    report = _report(questions, opened, modules, contestants, scores, strips, seed)
    answering = {f"answers of {name}": one.milliseconds.sum() / 1000 for name, one in scores.items()}
    looking = judged - began - sum(answering.values())
    seconds = {**answering, "looking and judging": looking, "figures": time.perf_counter() - judged}
    if films is not None:
        began = time.perf_counter()
        found = _clips(
            contestants, films, opened, seed=seed, progress=lambda done, _of: tell(len(questions) + done, of)
        )
        report = dataclasses.replace(report, clips=found)
        seconds["clips"] = time.perf_counter() - began
    report.seconds.update({name: round(float(value), 3) for name, value in seconds.items()})
    return report


def _can_be_called(contestants: Mapping[str, _Contestant]) -> dict[str, _Contestant]:
    """Those that can answer clips: a folder holds answers to other questions."""
    able = {name: one for name, one in contestants.items() if one.kind != "folder"}
    if not able:
        raise BadInputError("clips: expected a method that can be called here, found only folders of answers")
    return able


def _clips(
    contestants: Mapping[str, _Contestant], asked: ClipSet, opened: Opened, *, seed: int, progress: Progress
) -> Report:
    """Judges methods on clips, frame by frame."""
    able = {name: frame_by_frame(one.answer) for name, one in _can_be_called(contestants).items()}
    scores = temporal.score_clips(able, asked, opened.eyes, of=len(asked), progress=progress)
    first = next(iter(scores.values()))
    missing = [f"clips: {name}: its answers are pictures in a folder" for name in contestants if name not in able]
    report = Report(
        protocol=CLIP_PROTOCOL,
        name=asked.name,
        set_facts={CASES: _digest(first.keys)} | _card_facts(asked.dataset),
        made={},
        networks=opened.networks,
        suites={"clips": tuple(metric.name for metric in temporal.CLIP_METRICS)},
        metrics={metric.name: metric for metric in temporal.CLIP_METRICS},
        of=len(first),
        keys=first.keys,
        people=first.people,
        groups=grouped(first),
        methods={
            name: summarise(found, contestants[name].kind, contestants[name].about, {}, seed=seed)
            for name, found in scores.items()
        },
        seconds={},
    )
    return _with_left_out(report, missing)


def questions_of(data: Dataset | Questions | Path | str, most: int | None = None, seed: int = 0) -> Questions:
    """Cases of whatever holds some.

    Raises:
        BadInputError: It holds none.
    """
    if isinstance(data, FolderSet):
        return data if most is None else FolderSet(data.name, data.pictures[:most])
    if isinstance(data, CaseSet):
        return data
    return case_set(data if isinstance(data, Dataset) else open_dataset(data), most=most, seed=seed)


def folder_set(identities: Path, attributes: Path) -> FolderSet:
    """The pictures of two folders that have the same names.

    Folders that are called `identity` and `attribute` have the name of the folder that holds them both.

    Raises:
        BadInputError: There are none.
    """
    name = f"{identities.name} + {attributes.name}"
    first, second = identities.resolve(), attributes.resolve()
    if first.parent == second.parent and (first.name, second.name) == ("identity", "attribute"):
        name = first.parent.name
    return FolderSet(name, tuple(folder_cases(identities, attributes)))


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


def identity_frames(questions: Questions) -> Iterator[Frame]:
    """One picture of each person who gives an identity."""
    if isinstance(questions, FolderSet):
        yield from (case.identity for case in questions)
        return
    seen = set()
    for pair in questions.pairs:
        person = questions.dataset.row(pair.identity).person or pair.identity
        if person not in seen:
            seen.add(person)
            yield questions.dataset.item(pair.identity).frame()


def keys_of(questions: Questions) -> list[str]:
    """Of all cases, without reading them."""
    if isinstance(questions, FolderSet):
        return [key for key, _, _ in questions.pictures]
    return [f"{pair.identity}+{pair.attribute}" for pair in questions.pairs]


def _contestants(methods: Mapping[str, Method], eyes: Eyes, questions: Questions) -> dict[str, _Contestant]:
    if not methods:
        raise BadInputError("expected at least one method to evaluate, found none")
    known = floors(eyes.analyser, lambda: identity_frames(questions))
    return {name: _contestant(method, known, questions) for name, method in methods.items()}


def _contestant(method: Method, known: Mapping[str, Floor], questions: Questions) -> _Contestant:
    if isinstance(method, str):
        if method not in known:
            raise BadInputError(f"expected a floor of {', '.join(FLOORS)}; found {method!r}")
        if method == CEILING and isinstance(questions, FolderSet):
            raise BadInputError(f"{method}: plain folders have no right answers; leave it out, or judge on a dataset")
        return _Contestant(known[method].answer, "ceiling" if method == CEILING else "floor", known[method].about)
    if isinstance(method, Floor):
        return _Contestant(method.answer, "floor", method.about)
    if isinstance(method, Path):
        answers = Answers(method)
        keys = keys_of(questions)
        if not any(key in answers for key in keys):
            raise BadInputError(
                f"{shown(method)}: expected a picture per case, such as {keys[0]}.png; found none of them"
            )
        return _Contestant(answers.get, "folder", f"{len(answers)} pictures made elsewhere")
    return _Contestant(answer_of(method), "method", "")


def _report(
    questions: Questions,
    opened: Opened,
    modules: Sequence[ModuleType],
    contestants: Mapping[str, _Contestant],
    scores: Mapping[str, Scores],
    strips: Strips,
    seed: int,
) -> Report:
    any_scores = next(iter(scores.values()))
    judges = [judge for judge in identity.JUDGES if f"identity_{judge}" in any_scores.features]
    results = {
        name: summarise(
            found,
            contestants[name].kind,
            contestants[name].about,
            _set_figures(modules, found),
            seed=seed,
            timed=contestants[name].kind == "method",
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
    return _with_left_out(report, [*_not_asked(any_scores), *opened.left_out])


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


def _with_left_out(report: Report, missing: Sequence[str]) -> Report:
    """What no method has a figure of was not measured: the set or a network lacks what it needs."""
    lines = list(missing)
    for suite, names in report.suites.items():
        without = [name for name in names if not report.measured(name)]
        if without:
            lines.append(
                f"{suite}: {', '.join(without)}: no case of this set has what it needs, or a network is missing"
            )
    return dataclasses.replace(report, left_out=tuple(lines))


def set_facts(questions: Questions) -> dict[str, str]:
    """What makes the set known again, whoever has it."""
    facts = {CASES: _digest(keys_of(questions))}
    first = next(iter(questions), None)
    if first is not None:
        facts["pictures"] = f"{first.attribute.shape[1]} x {first.attribute.shape[0]}"
    return facts | (_card_facts(questions.dataset) if isinstance(questions, CaseSet) else {})


def _card_facts(dataset: Dataset) -> dict[str, str]:
    card = dataset.card
    told = {"command": card.command, "commit": card.commit, "seed": card.seed, "assets": card.assets_digest}
    told |= {name: str(value) for name, value in card.options.items() if name.endswith("sha256")}
    return {name: str(value) for name, value in told.items() if value not in ("", None)}


def _digest(keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode("utf-8", "surrogatepass")).hexdigest()
