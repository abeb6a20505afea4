"""One report beside another: whether their numbers mean the same, and what differs between two methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facegraft.core.errors import BadInputError
from facegraft.evaluate.identity import LATE_METRICS
from facegraft.evaluate.results import Network, Report, hashes
from facegraft.evaluate.stats import Comparison, compare

ASKED = "asked_sha256"
"""Fact of a set: one digest of what was put together, by a dataset's card or of the files themselves."""
SAME_SET = ("pictures", ASKED, "assets")
"""Facts of a set that must agree where both reports have them: a name alone does not make two sets the same."""


def compare_methods(
    report: Report, method: str, other: Report, other_method: str, *, seed: int = 0
) -> dict[str, Comparison]:
    """Primary metric -> a method minus another, of one report or of two, on the cases that both have.

    Where one of them has further cases, what goes by the whole set (top1) is left out: its gallery was another.

    Raises:
        BadInputError: The reports are of different protocols or sets, one is compact, or they share no case.
    """
    check_comparable(other, report.protocol, report.name, report.networks, report.set_facts)
    place = {key: row for row, key in enumerate(other.keys)}
    rows = [row for row, key in enumerate(report.keys) if key in place]
    if not rows:
        raise BadInputError(f"expected cases of {report.name!r} that both have, found none; judge the same set again")
    others = [place[report.keys[row]] for row in rows]
    first, second = report.methods[method].values, other.methods[other_method].values
    if not first or not second:
        raise BadInputError("a compact report has no numbers of single cases to compare; take its results.json")
    people = [report.people[row] for row in rows]
    galleries = set() if set(report.keys) == set(other.keys) else {metric.name for metric in LATE_METRICS}
    names = [name for metric in report.primary() if (name := metric.name) in first.keys() & second.keys() - galleries]
    return {name: compare(first[name][rows], second[name][others], people, seed=seed) for name in names}


def check_comparable(
    other: Report, protocol: str, name: str, networks: Sequence[Network], facts: Mapping[str, str]
) -> None:
    """Says no to numbers that do not mean the same.

    Args:
        other: Results to compare with.
        protocol: Of ours.
        name: Of our set.
        networks: That looked at ours.
        facts: Of our set.

    Raises:
        BadInputError: Another protocol, another set, or another network.
    """
    if protocol != other.protocol:
        raise BadInputError(
            f"expected results of protocol {protocol}, found {other.protocol}: they do not compare; judge again"
        )
    if name != other.name:
        raise BadInputError(f"expected results on {name!r}, found some on {other.name!r}; judge the same set")
    for fact in SAME_SET:
        if facts.get(fact, "") != other.set_facts.get(fact, facts.get(fact, "")):
            found = f"{fact} {facts.get(fact, 'unknown')} here, {other.set_facts[fact]} there"
            raise BadInputError(f"expected results on the same build of {name!r}, found {found}; judge again")
    ours, theirs = hashes(networks), hashes(other.networks)
    differ = sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])
    if differ:
        raise BadInputError(f"expected results of the same networks, found another {', '.join(differ)}; judge again")
