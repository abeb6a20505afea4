"""Whom an answer shows: likeness to the person that was asked for, and what is left of the one who was replaced.

Each judge is a recogniser that the judged method was not trained with, and speaks for itself: cosines of two judges are
not on one scale, so they are never averaged. A picture's embedding is that of its crop and of the mirrored crop
together, aligned by points found in that picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from facegraft.evaluate.look import Seen, Views
from facegraft.evaluate.protocol import Case, Metric, Scores, Values, worst_of

JUDGES = ("dlib", "second")
"""Names in `Eyes.judges`. What one of them would say is NaN where it is not there."""
FALSE_ACCEPTS = 1e-3
"""Share of pairs of strangers that a judge may take for one person where "verified" is meant."""
NEAREST = 5


def _metrics(judge: str) -> tuple[Metric, ...]:
    """Worst are the ends of the scale: no answer that shows a face is worse than one that shows none."""
    return (
        Metric(
            f"identity_cosine_{judge}", "", "high", -1.0, f"Likeness to the person asked for, by {judge}", primary=True
        ),
        Metric(f"identity_leak_{judge}", "", "low", 1.0, f"Likeness to the person replaced, by {judge}"),
        Metric(f"identity_gap_{judge}", "", "high", -2.0, f"Likeness to one minus likeness to the other, by {judge}"),
        Metric(f"inner_cosine_{judge}", "", "high", -1.0, f"Likeness where only the inner face is shown, by {judge}"),
    )


def _late_metrics(judge: str) -> tuple[Metric, ...]:
    return (
        Metric(
            f"top1_{judge}", "%", "high", 0.0, f"Nearest picture of all is of the person asked for ({judge})",
            primary=True,
        ),
        Metric(f"top5_{judge}", "%", "high", 0.0, f"One of the five nearest is ({judge})"),
        Metric(f"verified_{judge}", "%", "high", 0.0, f"Taken for the person asked for: 0.1 % false accepts ({judge})"),
        Metric(
            f"original_rank_{judge}", "%", "high", 0.0,
            f"Others nearer than the person replaced: 0 = known at once, 50 = chance ({judge})",
        ),
        Metric(
            f"original_verified_{judge}", "%", "low", 100.0,
            f"Still taken for the person replaced: 0.1 % false accepts ({judge})",
        ),
    )  # fmt: skip


METRICS = tuple(metric for judge in JUDGES for metric in _metrics(judge))
LATE_METRICS = tuple(metric for judge in JUDGES for metric in _late_metrics(judge))


@dataclass(frozen=True)
class Threshold:
    """Above which cosine a judge takes two pictures for one person.

    Attributes:
        cosine: NaN where there are no pairs.
        pairs: Of strangers, that it stands on. With fewer than 1000 it is the highest of their cosines.
    """

    cosine: float
    pairs: int


@dataclass(frozen=True)
class Agreement:
    """Whether judges order things alike; Spearman's rank correlation, -1..1, NaN where fewer than three are known.

    Attributes:
        methods: Over methods, of their means.
        cases: Over the cases of each method, averaged over methods.
    """

    methods: float
    cases: float


def values(case: Case, views: Views) -> Values:
    """Cosines of one answer.

    identity_cosine = z(swapped) . z(identity); identity_leak = z(swapped) . z(attribute); identity_gap: the first minus
    the second. inner_cosine: as identity_cosine, with all but the inner face grey in both pictures, because recognisers
    go by hair and background too (Shiohara et al., BlendFace, 2023). NaN where a judge is missing, or a face in one of
    the two given pictures; leak and gap also where both pictures show one person.
    """
    found = {metric.name: math.nan for metric in METRICS}
    if views.identity.face is None or views.attribute.face is None:
        return found
    for judge in _present(views.identity):
        found |= _likeness(judge, views)
        if case.identity_person and case.identity_person == case.attribute_person:
            found |= {f"identity_leak_{judge}": math.nan, f"identity_gap_{judge}": math.nan}
    return found


def features(case: Case, views: Views) -> dict[str, np.ndarray]:
    """Embeddings by judge; what has no face has none."""
    seen = {"swapped": views.swapped, "identity": views.identity, "attribute": views.attribute}
    return {
        f"{name}_{judge}": z for name, one in seen.items() for judge, z in one.embeddings.items() if judge in JUDGES
    }


def late_values(scores: Scores) -> dict[str, np.ndarray]:
    """Retrieval, verification and what is left of the replaced person, for each case.

    top1, top5: The gallery holds every picture of the set, once each: those of the people asked for, and as distractors
        those that were changed, so that an answer which changes nothing finds the wrong person.
    verified: Cosine to the identity picture above `threshold`.
    original_rank: Share of other people's attribute pictures that are nearer to the answer than the nearest one of the
        replaced person. 0 = that person is found at once; where nothing is left of them, 50 on average.
    original_verified: Cosine to the attribute picture above the same threshold.
    """
    found = {metric.name: np.full(len(scores), np.nan) for metric in LATE_METRICS}
    for judge in JUDGES:
        if f"swapped_{judge}" in scores.features or f"identity_{judge}" in scores.features:
            found |= _late_of(scores, judge)
    return found


def threshold(scores: Scores, judge: str, rate: float = FALSE_ACCEPTS) -> Threshold:
    """The lowest cosine above which no more than `rate` of strangers' pairs lie.

    Pairs: every identity picture of the set with every attribute picture of another person.
    """
    faces = _Faces(scores, judge)
    first, who = faces.pictures("identity")
    second, others = faces.pictures("attribute")
    cosines = (first @ second.T)[who[:, None] != others[None]]
    if not len(cosines):
        return Threshold(math.nan, 0)
    allowed = min(math.floor(rate * len(cosines) + 1e-9), len(cosines) - 1)
    return Threshold(float(np.partition(cosines, -1 - allowed)[-1 - allowed]), len(cosines))


def agreement(
    scores: Mapping[str, Scores], metric: str = "identity_cosine", judges: tuple[str, str] = ("dlib", "second")
) -> Agreement:
    """Whether two judges order methods, and the cases of each method, alike.

    Args:
        scores: Method -> its scores.
        metric: A metric's name without its judge.
        judges: The two.
    """
    pairs = [tuple(one.values[f"{metric}_{judge}"] for judge in judges) for one in scores.values()]
    both = [(a[known], b[known]) for a, b in pairs for known in [np.isfinite(a) & np.isfinite(b)] if known.any()]
    means = np.array([(a.mean(), b.mean()) for a, b in both]).reshape(-1, 2)
    inside = [rho for a, b in both if math.isfinite(rho := spearman(a, b))]
    return Agreement(spearman(means[:, 0], means[:, 1]), float(np.mean(inside)) if inside else math.nan)


def spearman(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"]) -> float:
    """Spearman's rank correlation (1904), ties sharing their mean rank; NaN of fewer than three, or of one value."""
    if len(first) < 3:
        return math.nan
    a, b = (ranks - ranks.mean() for ranks in (_ranks(first), _ranks(second)))
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan


class _Faces:
    """Embeddings of one judge with numbers for people. "" is a person of its own; one picture shows one person."""

    def __init__(self, scores: Scores, judge: str) -> None:
        self._rows = {
            name: np.asarray(scores.features[f"{name}_{judge}"], np.float64)
            for name in ("swapped", "identity", "attribute")
            if f"{name}_{judge}" in scores.features
        }
        width = next(iter(self._rows.values())).shape[1] if self._rows else 0
        self._nothing = np.full((len(scores), width), np.nan)
        asked = [person or f"asked {at}" for at, person in enumerate(scores.identities or [""] * len(scores))]
        replaced = [person or f"replaced {at}" for at, person in enumerate(scores.people)]
        numbers = np.unique([*asked, *replaced], return_inverse=True)[1]
        numbers = _merged(numbers, np.concatenate([self.rows("identity"), self.rows("attribute")]))
        self.people = dict(zip(("identity", "attribute"), numbers.reshape(2, -1), strict=True))

    def rows(self, name: str) -> Float64[np.ndarray, "n d"]:
        return self._rows.get(name, self._nothing)

    def pictures(self, name: str) -> tuple[Float64[np.ndarray, "k d"], Int[np.ndarray, "k"]]:
        """Each picture once, and whom it shows. One picture gives one embedding, whatever cases it is in."""
        rows = self.rows(name)
        known = np.isfinite(rows).all(1)
        kept, first = np.unique(rows[known], axis=0, return_index=True)
        return kept, self.people[name][known][first]


def _likeness(judge: str, views: Views) -> Values:
    if views.swapped.face is None:
        return worst_of(_metrics(judge))
    swapped, identity = views.swapped, views.identity
    cosine = _cosine(swapped.embeddings[judge], identity.embeddings[judge])
    leak = _cosine(swapped.embeddings[judge], views.attribute.embeddings[judge])
    inner = _cosine(swapped.inner_embeddings[judge], identity.inner_embeddings[judge])
    names = [metric.name for metric in _metrics(judge)]
    return dict(zip(names, (cosine, leak, cosine - leak, inner), strict=True))


def _late_of(scores: Scores, judge: str) -> dict[str, np.ndarray]:
    faces = _Faces(scores, judge)
    swapped, identity, attribute = (faces.rows(name) for name in ("swapped", "identity", "attribute"))
    asked, replaced = faces.people["identity"], faces.people["attribute"]
    applies = np.isfinite(identity).all(1) & np.isfinite(attribute).all(1)
    strangers = applies & (asked != replaced)
    z = np.nan_to_num(swapped)
    failed = ~np.isfinite(swapped).all(1)
    pictures, whose = faces.pictures("attribute")
    gallery, of = faces.pictures("identity")
    gallery, of = np.concatenate([gallery, pictures]), np.concatenate([of, whose])
    hits = of[np.argsort(-(z @ gallery.T), axis=1, kind="stable")[:, :NEAREST]] == asked[:, None]
    least = threshold(scores, judge).cosine
    verified, remains = ((z * rows).sum(1) > least for rows in (identity, attribute))
    columns = {
        "top1": (100.0 * hits[:, :1].any(1), strangers),
        "top5": (100.0 * hits.any(1), strangers),
        "verified": (100.0 * verified, applies & math.isfinite(least)),
        "original_rank": (_hidden(z @ pictures.T, whose, replaced), strangers),
        "original_verified": (100.0 * remains, strangers & math.isfinite(least)),
    }
    worst = {metric.name: metric.worst for metric in _late_metrics(judge)}
    return {
        f"{name}_{judge}": np.where(where, np.where(failed, worst[f"{name}_{judge}"], column), np.nan)
        for name, (column, where) in columns.items()
    }


def _merged(people: Int[np.ndarray, "m"], rows: Float64[np.ndarray, "m d"]) -> Int[np.ndarray, "m"]:
    """People of whom the same picture is shown are one: folders name them by file, and one file may be there often."""
    people = people.copy()
    shown: dict[bytes, list[int]] = {}
    for at in np.flatnonzero(np.isfinite(rows).all(1)).tolist():
        shown.setdefault(rows[at].tobytes(), []).append(at)
    for places in shown.values():
        one = people[places]
        if (one != one[0]).any():
            people[np.isin(people, one)] = one[0]
    return people


def _hidden(
    cosines: Float64[np.ndarray, "n k"], whose: Int[np.ndarray, "k"], replaced: Int[np.ndarray, "n"]
) -> Float64[np.ndarray, "n"]:
    """Others' pictures that are nearer than the nearest one of the replaced person, in % of all; ties count half."""
    own: Bool[np.ndarray, "n k"] = whose[None] == replaced[:, None]
    others = (~own).sum(1)
    nearest = np.where(own, cosines, -np.inf).max(1, initial=-np.inf)
    apart = np.where(own, -np.inf, cosines - nearest[:, None])
    nearer = (apart > 0).sum(1) + 0.5 * (apart == 0).sum(1)
    return np.where(others > 0, 100.0 * nearer / np.maximum(others, 1), np.nan)


def _present(seen: Seen) -> Iterator[str]:
    return (judge for judge in JUDGES if judge in seen.eyes.judges)


def _cosine(first: Float[np.ndarray, "d"], second: Float[np.ndarray, "d"]) -> float:
    return float(np.clip(np.dot(first.astype(np.float64), second), -1, 1))


def _ranks(numbers: Sequence[float] | np.ndarray) -> Float64[np.ndarray, "n"]:
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts - 1) / 2)[place].astype(np.float64)
