"""Who meets whom. Pair number n of a seed is a pure function of both: nothing is kept between draws.

So a resumed run goes on as an unbroken one would have, any number of processes share one sequence by taking every
k-th pair, and a pair can be looked at by its number. Which kind a pair is (same picture, same person, stranger,
exact pair) follows a golden-ratio sequence instead of dice: any stretch of it holds the stated shares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64

from facegraft.core.errors import BadInputError
from facegraft.data.dataset import Dataset
from facegraft.data.item import Row
from facegraft.data.policies import Policy

SAME_IMAGE, SAME_PERSON, TRIPLET, STRANGERS = "same image", "same person", "triplet", "strangers"
KINDS = (SAME_IMAGE, SAME_PERSON, TRIPLET, STRANGERS)
Group = TypeVar("Group", bound=Hashable)
_GOLDEN = 0x9E3779B97F4A7C15
_TRIES = 24
_POSE_BINS_DEGREES = (15.0, 45.0)


@dataclass(frozen=True, eq=False)
class Draw:
    """One pair of a run.

    Attributes:
        number: Images seen before it.
        kind: One of `KINDS`.
        identity: Says who.
        attribute: Gives all the rest.
        truth: The right answer, or None.
        identity_other: Another photo of the identity, if the policy asks for one.
    """

    number: int
    kind: str
    identity: Row
    attribute: Row
    truth: Row | None = None
    identity_other: Row | None = None


class Pairs:
    """The endless sequence of pairs of a dataset under a policy.

    Args:
        dataset: Rows with role "picture" are drawn; triplets come from its exact pairs, swapped pictures among them.
        policy: Shares and windows.
        seed: Of the run.
        group: Pairs that share one kind where the policy alternates: the batch over all processes.
        identities: People who may be identities; None = all. A model of one pair of people names one here ...
        attributes: ... and the other here.

    Raises:
        BadInputError: The dataset cannot serve the policy.
    """

    def __init__(
        self,
        dataset: Dataset,
        policy: Policy,
        seed: int = 0,
        *,
        group: int = 1,
        identities: Collection[str] | None = None,
        attributes: Collection[str] | None = None,
    ) -> None:
        self.policy, self.seed, self.group = policy, seed, group
        self._name = dataset.card.name
        self._rows = [row for row in dataset.rows if row.role == "picture"]
        self._weights = row_weights(self._rows, policy.balance, policy.balance_cap)
        self._places = _grouped(self._rows, lambda row: row.person)
        self._clips = _grouped(self._rows, lambda row: (row.person, row.clip))
        self._offset = int(np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)[0])
        may = np.array([identities is None or row.person in identities for row in self._rows], bool)
        shown = np.array([attributes is None or row.person in attributes for row in self._rows], bool)
        several = np.array([len(self._places.get(row.person, ())) > 1 for row in self._rows], bool)
        if policy.second_photo:
            may &= several
        self._identity_pool = _Pool(self._rows, self._weights, np.flatnonzero(may))
        self._stranger_pool = _Pool(self._rows, self._weights, np.flatnonzero(shown & self._have_strangers(may)))
        self._same_pool = _Pool(self._rows, self._weights, np.flatnonzero(may & shown))
        self._several_pool = _Pool(self._rows, self._weights, np.flatnonzero(may & shown & several))
        # Swapped pictures do not serve where people are named, or another photo of theirs is asked for.
        swapped = identities is None and attributes is None and not policy.second_photo
        self._triplets = self._exact(dataset, may, shown, swapped=swapped) if policy.triplets else []
        self._check()

    def rows(self) -> list[Row]:
        """Every row that may ever be drawn, truths included; each once."""
        every = [*self._rows, *(row for triplet in self._triplets for row in triplet)]
        return list({row.key: row for row in every}.values())

    def framed_like(self) -> dict[str, Row]:
        """Key of each truth -> the attribute image whose frame it shares."""
        return {truth.key: attribute for _, attribute, truth in self._triplets}

    def draw(self, number: int) -> Draw:
        """The pair with this number, from 0."""
        kind = self.kind(number)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, number])))
        if kind == SAME_IMAGE:
            identity = attribute = self._rows[self._same_pool.draw(rng)]
            truth: Row | None = attribute
        elif kind == SAME_PERSON:
            identity, attribute = self._one_person(rng)
            truth = attribute
        elif kind == TRIPLET:
            identity, attribute, truth = self._triplets[int(rng.integers(len(self._triplets)))]
        else:
            identity, attribute = self._strangers(rng)
            truth = None
        other = self._other(rng, identity, attribute) if self.policy.second_photo else None
        return Draw(number, kind, identity, attribute, truth, other)

    def kind(self, number: int) -> str:
        """Which of `KINDS` pair `number` is."""
        policy = self.policy
        if policy.alternate:
            # Base 2 turned round (van der Corput): a share of a half alternates strictly.
            place = int(f"{number // self.group % 2**32:032b}"[::-1], 2) / 2**32
        else:
            place = ((number * _GOLDEN + self._offset) % 2**64) / 2**64
        for kind, share in ((SAME_IMAGE, policy.same_image), (SAME_PERSON, policy.same_person)):
            if place < share:
                return kind
            place -= share
        return TRIPLET if place < policy.triplets else STRANGERS

    def _one_person(self, rng: np.random.Generator) -> tuple[Row, Row]:
        attribute = self._rows[self._several_pool.draw(rng)]
        places = self._places[attribute.person]
        if self.policy.same_clip and attribute.clip:
            clip = self._clips[attribute.person, attribute.clip]
            places = clip if len(clip) > 1 else places
        identity = None
        if rng.random() < self.policy.similar_pose:
            identity = self._choose(rng, places, lambda row: row.key != attribute.key and self._alike(row, attribute))
        if identity is None:
            identity = self._choose(rng, places, lambda row: row.key != attribute.key)
        return identity or attribute, attribute

    def _strangers(self, rng: np.random.Generator) -> tuple[Row, Row]:
        attribute = self._rows[self._stranger_pool.draw(rng)]
        similar = rng.random() < self.policy.similar_pose and attribute.pose_degrees is not None
        for _ in range(_TRIES if similar else 0):
            place = self._identity_pool.draw_near(rng, attribute, self.policy.pose_window_degrees)
            if place is None:
                break
            identity = self._rows[place]
            if self._alike(identity, attribute) and _are_strangers(identity, attribute):
                return identity, attribute
        for _ in range(_TRIES):
            identity = self._rows[self._identity_pool.draw(rng)]
            if _are_strangers(identity, attribute):
                return identity, attribute
        left = [place for place in self._identity_pool.members if _are_strangers(self._rows[place], attribute)]
        return self._rows[left[int(rng.integers(len(left)))]], attribute

    def _choose(self, rng: np.random.Generator, places: list[int], fits: Callable[[Row], bool]) -> Row | None:
        """One of those that fit, all alike likely. Guesses first: a person may have thousands of frames."""
        for _ in range(_TRIES):
            row = self._rows[places[int(rng.integers(len(places)))]]
            if fits(row):
                return row
        left = [row for place in places if fits(row := self._rows[place])]
        return left[int(rng.integers(len(left)))] if left else None

    def _alike(self, one: Row, two: Row) -> bool:
        """Whether yaw and pitch lie in the window; unknown poses are alike to none."""
        if one.pose_degrees is None or two.pose_degrees is None:
            return False
        apart = np.abs(np.subtract(one.pose_degrees[:2], two.pose_degrees[:2]))
        return bool((apart <= self.policy.pose_window_degrees).all())

    def _other(self, rng: np.random.Generator, identity: Row, attribute: Row) -> Row | None:
        places = self._places[identity.person]
        other = self._choose(rng, places, lambda row: row.key not in (identity.key, attribute.key))
        return other or self._choose(rng, places, lambda row: row.key != identity.key)

    def _exact(
        self, dataset: Dataset, may: np.ndarray, shown: np.ndarray, *, swapped: bool
    ) -> list[tuple[Row, Row, Row]]:
        identities = {row.key for row, yes in zip(self._rows, may, strict=True) if yes}
        attributes = {row.key for row, yes in zip(self._rows, shown, strict=True) if yes}
        if swapped:
            made = {row.key for row in dataset.rows if row.role == "swapped"}
            identities, attributes = identities | made, attributes | made
        kind = self.policy.truth
        return [
            (dataset.row(pair.identity), dataset.row(pair.attribute), dataset.row(pair.truths[kind]))
            for pair in dataset.pairs
            if kind in pair.truths and pair.identity in identities and pair.attribute in attributes
        ]

    def _check(self) -> None:
        policy, name = self.policy, self._name
        strangers = 1 - policy.truth_share > 1e-9
        if policy.triplets and not self._triplets:
            what = f"exact pairs with the truth {policy.truth!r}"
        elif policy.same_person and not len(self._several_pool):
            what = "people with two photos"
        elif policy.same_image and not len(self._same_pool):
            what = "pictures"
        elif strangers and not len(self._stranger_pool):
            what = "two people"
        else:
            return
        extra = " (with another photo of the identity)" if policy.second_photo else ""
        raise BadInputError(f"dataset {name!r}: the pair policy needs {what}{extra}, found none; choose another policy")

    def _have_strangers(self, may: np.ndarray) -> np.ndarray:
        """Which rows find an identity that is another person. All do where there are two, but for the only one."""
        identities = {self._rows[place].person or self._rows[place].key for place in np.flatnonzero(may)}
        if len(identities) > 1:
            return np.ones(len(self._rows), bool)
        return np.array([bool(identities) and (row.person or row.key) not in identities for row in self._rows], bool)


class _Pool:
    """Rows that may be drawn, by weight; O(log n) each, also inside a window of yaw."""

    def __init__(self, rows: Sequence[Row], weights: Float64[np.ndarray, "n"], members: Int64[np.ndarray, "k"]) -> None:
        yaw = np.array([np.nan if (pose := rows[place].pose_degrees) is None else pose[0] for place in members])
        order = np.argsort(yaw, kind="stable")  # unknown yaws come last
        self.members = members[order]
        self._yaw = yaw[order][: int(np.isfinite(yaw).sum())]
        self._sums = np.concatenate([[0.0], np.cumsum(weights[self.members])])

    def __len__(self) -> int:
        return len(self.members)

    def draw(self, rng: np.random.Generator) -> int:
        return self._between(rng, 0, len(self.members))

    def draw_near(self, rng: np.random.Generator, row: Row, window_degrees: float) -> int | None:
        """One whose yaw lies in the window around this row's, or None."""
        if row.pose_degrees is None:
            return None
        low = int(np.searchsorted(self._yaw, row.pose_degrees[0] - window_degrees, "left"))
        high = int(np.searchsorted(self._yaw, row.pose_degrees[0] + window_degrees, "right"))
        return self._between(rng, low, high) if high > low else None

    def _between(self, rng: np.random.Generator, low: int, high: int) -> int:
        level = self._sums[low] + rng.random() * (self._sums[high] - self._sums[low])
        place = int(np.searchsorted(self._sums, level, "right")) - 1
        return int(self.members[min(max(place, low), high - 1)])


def row_weights(rows: Sequence[Row], balance: Sequence[str], cap: float | int) -> Float64[np.ndarray, "n"]:
    """How often each row is drawn, relative to the commonest kind of row, which gets 1.

    Weights are inverse frequencies of the joint value of all that is balanced, cut at `cap`; rows that do not know a
    value form a kind of their own with weight 1.
    """
    if not balance:
        return np.ones(len(rows))
    kinds = [tuple(_kind_of(row, name) for name in balance) for row in rows]
    counts = Counter(kinds)
    most = max(counts.values(), default=1)
    weight = {kind: 1.0 if None in kind else min(float(cap), most / count) for kind, count in counts.items()}
    return np.array([weight[kind] for kind in kinds])


def pose_bin(row: Row) -> str | None:
    """Frontal, turned or profile by |yaw|; None where the pose is unknown."""
    if row.pose_degrees is None:
        return None
    return ("frontal", "turned", "profile")[int(np.searchsorted(_POSE_BINS_DEGREES, abs(row.pose_degrees[0]), "right"))]


def _kind_of(row: Row, name: str) -> str | None:
    if name == "pose":
        return pose_bin(row)
    value = row.person or None if name == "person" else row.facts.get(name)
    return None if value is None else str(value)


def _grouped(rows: Sequence[Row], group_of: Callable[[Row], Group]) -> dict[Group, list[int]]:
    """Places of rows of known people, by group."""
    places: dict[Group, list[int]] = {}
    for place, row in enumerate(rows):
        if row.person:
            places.setdefault(group_of(row), []).append(place)
    return places


def _are_strangers(one: Row, two: Row) -> bool:
    """Two pictures of unknown people count as strangers."""
    return one.key != two.key and (one.person != two.person or not one.person)
