"""`facegraft study`: ask people which swaps are better, on this machine, and score what they say."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, shown

if TYPE_CHECKING:
    from facegraft.evaluate.study.build import BuildOptions
    from facegraft.evaluate.study.design import Rules, Study
    from facegraft.evaluate.study.votes import VoteStore

EPILOG = """examples:
  facegraft study plan --conditions 4 --effect 0.65
  facegraft study build look --conditions ours=out/ours warp=out/warp --identity people --question identity natural
  facegraft study serve look --port 8080         prints the address that raters open; Ctrl-C ends it
  facegraft study simulate look --raters 40 --scale ours=1,warp=0
  facegraft study score look -o scores.json --html scores.html

Files are matched by their stem: out/ours/7.png, out/warp/7.jpg and people/7.png belong together.
Ask only people of age who agreed, and show only people who agreed to be shown, or synthetic ones."""
ACTIONS = {
    "build": "make a study folder of folders of pictures or clips",
    "serve": "serve a study as a web page on this machine alone",
    "score": "scales, intervals and tests from the votes",
    "plan": "how many votes and raters a study needs",
    "withdraw": "delete the answers of raters who ask for it, by their number",
    "simulate": "rehearse: raters who do not exist vote, with a scale that you give",
}
DESIGNS = ("pairwise", "mos", "real-or-fake", "video")
QUESTIONS = ("identity", "natural", "expression", "gaze", "attributes", "steady")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    children = {name: actions.add_parser(name, help=line, description=line) for name, line in ACTIONS.items()}
    for name in ("build", "serve", "score", "withdraw", "simulate"):
        children[name].add_argument("study", type=Path, metavar="STUDY_DIR", help="the study's folder")
    _add_build(children["build"])
    _add_rules(children["build"].add_argument_group("who will be left out of the scores (fixed now; 0: nobody by it)"))
    serve = children["serve"]
    serve.add_argument("--port", type=int, default=0, metavar="N", help="default: a free one")
    serve.add_argument(
        "--token", default="", help="part of the address; default: drawn anew, so give it to go on later"
    )
    score = children["score"]
    score.add_argument("-o", "--output", type=Path, metavar="FILE", help="the scores as JSON")
    score.add_argument("--html", type=Path, metavar="FILE", help="a page with a plot; needs no other file")
    score.add_argument("--csv", type=Path, metavar="FILE", help="the raw votes, to be published with the scores")
    score.add_argument("--simulated", action="store_true", help="score the votes of `simulate`")
    children["withdraw"].add_argument("raters", type=int, nargs="+", metavar="NUMBER", help="what the last page showed")
    _add_plan(children["plan"])
    simulate = children["simulate"]
    simulate.add_argument("--raters", type=int, default=40, metavar="N", help="default: 40")
    simulate.add_argument(
        "--scale", required=True, metavar="NAME=X,...", help="the true place of each condition, in JOD"
    )
    simulate.add_argument("--careless", type=int, default=0, metavar="N", help="raters more who press at random")
    simulate.add_argument("--seed", type=int, default=0, metavar="K", help="chooses their votes (default: 0)")


def _add_build(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is shown and asked")
    what.add_argument("--conditions", nargs="+", required=True, metavar="NAME=FOLDER", help="what is compared")
    what.add_argument("--design", choices=DESIGNS, default="pairwise", help="default: pairwise")
    what.add_argument("--question", nargs="+", choices=QUESTIONS, default=[], help="a block of each (default: natural)")
    what.add_argument("--wording", nargs="+", default=[], metavar="QUESTION=TEXT", help="in words of your own")
    what.add_argument(
        "--identity", type=Path, metavar="FOLDER", help="who the person is; shown where identity is asked"
    )
    what.add_argument(
        "--attribute", type=Path, metavar="FOLDER", help="what was swapped; shown for expression and gaze"
    )
    what.add_argument("--real", type=Path, metavar="FOLDER", help="unchanged pictures, for real-or-fake")
    what.add_argument("--trials", type=int, default=30, metavar="N", help="of each rater and question (default: 30)")
    what.add_argument("--seed", type=int, default=0, metavar="K", help="chooses orders, sides and checks (default: 0)")
    what.add_argument("--active", action="store_true", help="choose each next pair by what the votes have told so far")
    what.add_argument("--ties", action="store_true", help='allow "no difference"')
    what.add_argument("--min-view", type=float, default=1.5, metavar="S", help="before an answer (default: 1.5)")
    what.add_argument("--hide-after", type=float, default=0, metavar="S", help="real-or-fake: default: never")
    told = parser.add_argument_group("what raters are told")
    told.add_argument("--title", default="Which face looks better?", help="default: %(default)s")
    told.add_argument("--purpose", default="", metavar="TEXT", help="what the study is for")
    told.add_argument("--contact", default="", metavar="TEXT", help="whom to ask")
    parser.add_argument("--dry-run", action="store_true", help="check everything, say what would be written")


def _add_rules(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--failed-checks", type=float, default=0.25, metavar="X", help="share, from 2 on (default: 0.25)"
    )
    group.add_argument("--fastest", type=float, default=1.0, metavar="S", help="median answer (default: 1)")
    group.add_argument("--one-sided", type=float, default=0.85, metavar="X", help="share of one side (default: 0.85)")
    group.add_argument("--agreement", type=float, default=0.2, metavar="X", help="with the others (default: 0.2)")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--conditions", type=int, required=True, metavar="K", help="each is compared with each")
    parser.add_argument("--effect", type=float, default=0.65, metavar="P", help="true preference (default: 0.65)")
    parser.add_argument("--power", type=float, default=0.8, metavar="X", help="chance to find it (default: 0.8)")
    parser.add_argument("--alpha", type=float, default=0.05, metavar="X", help="two-sided level (default: 0.05)")
    parser.add_argument("--per-stimulus", type=int, default=10, metavar="M", help="votes on a pair (default: 10)")
    parser.add_argument("--rho", type=float, default=0.1, metavar="X", help="correlation of these (default: 0.1)")
    parser.add_argument("--trials", type=int, default=30, metavar="N", help="of each rater (default: 30)")
    parser.add_argument("--corrected", action="store_true", help="divide alpha by the number of pairs")
    parser.add_argument("--half-width", type=float, default=0.25, metavar="D", help="of mean grades (default: 0.25)")


def run(args: argparse.Namespace) -> int:
    action: Callable[[argparse.Namespace], dict[str, object]] = {
        "build": _build,
        "serve": _serve,
        "score": _score,
        "plan": _plan,
        "withdraw": _withdraw,
        "simulate": _simulate,
    }[args.action]
    print(json.dumps(action(args)))  # last line: for programs
    return 0


def _build(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.evaluate.study.build import plan_study, write_study
    from facegraft.evaluate.study.schedule import trials_for

    plan = plan_study(_build_options(args))
    study = plan.study
    trials = len(trials_for(study, 0))
    facts: dict[str, object] = {"study": str(args.study), "conditions": list(study.conditions)}
    facts |= {"stimuli": len(study.stimuli), "questions": [question.name for question in study.questions]}
    facts |= {"trials": trials, "media": len(plan.media) + len(study.checks), "seed": study.seed}
    if args.dry_run:
        print(f"would write {facts['media']} media of {facts['stimuli']} stimuli to {args.study}")
        return facts
    new = write_study(plan, args.study)
    print(f"{args.study}: {'written' if new else 'is there already'}; {trials} trials for each rater, checks included")
    print(f"next: facegraft study serve {args.study}")
    return facts


def _build_options(args: argparse.Namespace) -> BuildOptions:
    from facegraft.evaluate.study.build import BuildOptions
    from facegraft.evaluate.study.design import Rules

    folders = _pairs_of(args.conditions, "--conditions", "NAME=FOLDER")
    rules: Rules = Rules(args.failed_checks, round(1000 * args.fastest), args.one_sided, args.agreement)
    return BuildOptions(
        design=args.design,
        conditions={name: Path(folder) for name, folder in folders.items()},
        questions=tuple(args.question),
        identity=args.identity,
        attribute=args.attribute,
        real=args.real,
        trials=args.trials,
        seed=args.seed,
        title=args.title,
        wording=_pairs_of(args.wording, "--wording", "QUESTION=TEXT"),
        min_view_ms=round(1000 * args.min_view),
        hide_after_ms=round(1000 * args.hide_after),
        ties=args.ties,
        active=args.active,
        contact=args.contact,
        purpose=args.purpose,
        rules=rules,
    )


def _pairs_of(words: Sequence[str], option: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise BadInputError(f"{option}: expected {form}, found {word!r}")
        if name in found:
            raise BadInputError(f"{option}: {name!r} is there twice; give each once")
        found[name] = value
    return found


def _serve(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.evaluate.study.server import StudyServer

    with StudyServer(args.study, port=args.port, token=args.token) as server:
        print(f"raters open {server.address} (on this machine; Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # how it is meant to end: no failure
            print()
        counts: dict[str, object] = dict(server.store.counts())
    print(f"{counts['votes']} votes of {counts['joined']} raters, {counts['finished']} of whom finished")
    return counts


def _score(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.evaluate.study.design import load_study
    from facegraft.evaluate.study.report import page, table_text
    from facegraft.evaluate.study.score import score_study
    from facegraft.evaluate.study.votes import votes_csv

    study = load_study(args.study)
    with closing(_open_votes(args.study, study, simulated=args.simulated)) as store:
        votes = store.votes()
    report = score_study(study, votes)
    if args.simulated:
        report = {"simulated": True} | report
        print("simulated raters: a rehearsal, no result")
    print(table_text(report))
    for output, text in ((args.output, json.dumps(report, indent=1) + "\n"), (args.html, page(report))):
        if output:
            _write(output, text)
    if args.csv:
        _write(args.csv, votes_csv(votes))
    return report


def _open_votes(folder: Path, study: Study, *, simulated: bool = False) -> VoteStore:
    from facegraft.evaluate.study.votes import VoteStore

    path = folder / ("simulated.sqlite" if simulated else "votes.sqlite")
    if not path.is_file():
        verb = "simulate" if simulated else "serve"
        raise BadInputError(f"{shown(path)}: no votes yet; collect them by `facegraft study {verb} {folder}`")
    return VoteStore(path, study.inputs_sha256)


def _withdraw(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.evaluate.study.design import load_study

    with closing(_open_votes(args.study, load_study(args.study))) as store:
        most = store.counts()["joined"]
        unknown = [number for number in args.raters if not 1 <= number <= most]
        if unknown:
            raise BadInputError(f"rater {unknown[0]}: expected a number from 1 to {most}; nothing is deleted")
        deleted = sum(store.withdraw(number) for number in args.raters)
    print(f"{deleted} answers of {len(args.raters)} raters are deleted; score the study anew")
    return {"deleted": deleted, "raters": args.raters}


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plan(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.evaluate.study.plan import plan_votes
    from facegraft.evaluate.study.statistics import raters_for_mean

    size = plan_votes(
        args.conditions,
        args.effect,
        power=args.power,
        alpha=args.alpha,
        per_cluster=args.per_stimulus,
        correlation=args.rho,
        trials=args.trials,
        corrected=args.corrected,
    )
    grades = raters_for_mean(args.half_width)
    print(f"to find a preference of {args.effect:.0%} in {args.power:.0%} of such studies, level {size.alpha:.4g}:")
    print(f"  {size.independent_votes} independent votes a pair, times {size.design_effect:.2f} as votes cluster")
    print(f"  {size.votes_per_pair} votes a pair, {size.votes} for {size.pairs} pairs: {size.raters} raters")
    print(f"mean grades within {args.half_width:g}: {grades} ratings of each stimulus")
    return dataclasses.asdict(size) | {"ratings_per_stimulus": grades}


def _simulate(args: argparse.Namespace) -> dict[str, object]:
    from facegraft.cli.data import progress_bar
    from facegraft.evaluate.study.design import load_study
    from facegraft.evaluate.study.rehearse import rehearse
    from facegraft.evaluate.study.simulate import check_scale

    if args.raters < 1 or args.careless < 0:
        raise BadInputError(f"--raters: expected 1 or more, found {args.raters} and {args.careless} careless ones")
    scale = {}
    for name, value in _pairs_of(args.scale.split(","), "--scale", "NAME=NUMBER").items():
        try:
            scale[name] = float(value)
        except ValueError as error:
            raise BadInputError(f"--scale: expected NAME=NUMBER, found {name}={value}") from error
    check_scale(load_study(args.study), scale)
    with progress_bar("raters", args.raters + args.careless) as update:
        votes = rehearse(args.study, scale, args.raters, args.careless, args.seed, update)
    print(f"{votes} votes in {args.study / 'simulated.sqlite'}; facegraft study score {args.study} --simulated")
    return {"votes": votes, "raters": args.raters, "careless": args.careless, "seed": args.seed}
