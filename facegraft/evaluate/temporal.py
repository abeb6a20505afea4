"""Clips: does the swapped face stay still where it should, and whose face is it in every frame?

A frame that was not answered, or in which no face is found although the attribute frame shows one, is lost. Nothing
is left out for that: with q the share of frames (or of steps between frames) of a clip that a metric needs and lacks,
it gets (1 - q) x what the others give + q x the metric's worst value. Steps and frames whose attribute frame shows no
face are asked of nobody.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32

from facegraft.core.errors import FacegraftError
from facegraft.core.types import Frame, Mask
from facegraft.evaluate.clips import ClipAnswer, ClipCase
from facegraft.evaluate.look import Eyes, Seen, outer_eye_distance
from facegraft.evaluate.protocol import Case, Metric, Scores, Values, find_metric
from facegraft.evaluate.temporal_pixels import (
    Step,
    Steps,
    acceleration,
    changed_region,
    crawls,
    flickers,
    stabiliser,
    step_between,
    warping_errors,
)
from facegraft.evaluate.temporal_still import Still, still_clip, still_flickers
from facegraft.evaluate.temporal_truth import METRICS as TRUTH_METRICS
from facegraft.evaluate.temporal_truth import truth_values, truths_of

logger = logging.getLogger(__name__)

JUDGE = "dlib"
"""Of identity over time."""
CLIP_METRICS = (
    Metric("flicker_truth", "levels", "low", 64.0, "Change from frame to frame that is not the true swap's", True),
    Metric(
        "flicker",
        "levels",
        "low",
        64.0,
        "Change from frame to frame that is not the attribute clip's; a true swap does not get 0",
        primary=True,
    ),
    Metric("warping_error", "x 1000", "low", 100.0, "Squared change along the flow beyond the attribute clip's own"),
    Metric("identity_jitter", "", "low", 1.0, "Deviation of the likeness over time beyond the attribute clip's own"),
    Metric("tl_id", "", "high", 0.0, "Likeness of neighbouring frames over the attribute clip's own; 1 = as steady"),
    Metric("tg_id", "", "high", 0.0, "Likeness of all pairs of frames over the attribute clip's own; 1 = as steady"),
    Metric("landmark_jitter", "%", "low", 100.0, "Trembling of 468 points beyond the attribute clip's own", True),
    Metric("boundary_crawl", "%", "low", 100.0, "How far the edge of what was changed moves on the face per frame"),
    Metric("static_photo", "levels", "low", 64.0, "Flicker on one frame that is only shifted and saved anew", True),
    Metric("lost_frames", "%", "low", 100.0, "Frames without an answer, or without a face in it", True),
)
"""Percentages are of the outer-eye distance, but for the last."""
ALL_METRICS = (*CLIP_METRICS, *TRUTH_METRICS)
SUITES = {
    "clips": tuple(metric.name for metric in CLIP_METRICS),
    "frames against the truth": tuple(metric.name for metric in TRUTH_METRICS),
}
"""As a report shows them."""
MARGIN = 0.5
"""Around all faces of a clip, in sides of their box: pixels are measured there."""


class ClipSeen:
    """What is seen in the attribute clip, once for all methods."""

    def __init__(self, clip: ClipCase, eyes: Eyes) -> None:
        self.clip, self.eyes = clip, eyes
        self.identity = eyes.look(clip.identity)
        self.frames = [eyes.look(frame) for frame in clip.frames]

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns around the faces of all frames."""
        boxes = np.stack([seen.face.box_xyxy for seen in self.frames if seen.face is not None])
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        (left, top), (right, bottom) = low - MARGIN * (high - low), high + MARGIN * (high - low)
        return slice(max(0, int(top)), max(1, int(bottom))), slice(max(0, int(left)), max(1, int(right)))

    @cached_property
    def faces(self) -> list[Bool[np.ndarray, "h w"]]:
        """The face's oval in each frame, within the window; empty where no face is found."""
        return [seen.hull[self.window] > 0 for seen in self.frames]

    @cached_property
    def steps(self) -> list[Step | None]:
        """From each frame to the next, within the window; None where a frame shows no face."""
        shown, faces = self.cut(self.clip.frames), self.faces
        return [
            step_between(shown[at], shown[at + 1], faces[at]) if self.has_face[at] and self.has_face[at + 1] else None
            for at in range(len(shown) - 1)
        ]

    @cached_property
    def own_errors(self) -> list[float]:
        """`warping_errors` of the attribute clip."""
        return [float("nan") if e is None else e for e in warping_errors(self.cut(self.clip.frames), self.steps)]

    @cached_property
    def truths(self) -> dict[int, tuple[Case, Seen]]:
        """Of the frames that are measured against the true swap."""
        return truths_of(self.clip, self.frames)

    @property
    def first(self) -> int:
        """The first frame that shows a face; 0 where none does."""
        return next((at for at, has in enumerate(self.has_face) if has), 0)

    @cached_property
    def has_face(self) -> list[bool]:
        return [seen.face is not None for seen in self.frames]

    def cut(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames' part within the window."""
        return [frame[self.window] for frame in frames]


@dataclass(frozen=True)
class _Row:
    """What one method got on one clip."""

    values: Values
    failed: bool
    milliseconds: float


def score_clips(
    methods: Mapping[str, ClipAnswer],
    clips: Iterable[ClipCase],
    eyes: Eyes,
    *,
    of: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
    keep: Callable[[str, ClipCase, list[Frame | None]], None] = lambda _name, _clip, _answers: None,
) -> dict[str, Scores]:
    """Scores methods on clips; each clip is read and looked at once for all methods.

    Args:
        methods: Name -> answer to a clip. One that raises a FacegraftError has lost all of its frames, and it goes on.
        clips: In order; only one is held at a time.
        eyes: The networks that look; without the judge `JUDGE` the metrics of identity are NaN.
        of: How many clips there are, for `progress`.
        progress: Called after each clip.
        keep: Called with each answered clip, for a report.

    Returns:
        Method -> scores, one row per clip; `milliseconds` are those of a frame, the mean over the clip.
    """
    rows: dict[str, list[_Row]] = {name: [] for name in methods}
    asked: list[ClipCase] = []
    for done, clip in enumerate(clips):
        seen = ClipSeen(clip, eyes)
        still = still_clip(clip, seen.first, seed=done)
        for name, answer in methods.items():
            began = time.perf_counter()
            swapped = answers_to(clip, answer) or [None] * len(clip)
            milliseconds = 1000 * (time.perf_counter() - began) / len(clip)
            values = clip_values(seen, swapped, still, answers_to(still.clip, answer))
            rows[name].append(_Row(values, values["lost_frames"] == 100, milliseconds))
            keep(name, clip, swapped)
        asked.append(_without_most(clip))
        progress(done + 1, of)
    return {name: _scores(name, found, asked) for name, found in rows.items()}


def answers_to(clip: ClipCase, answer: ClipAnswer) -> list[Frame | None] | None:
    """A method's answer to a clip, one entry per frame; None = none, or one of the wrong size.

    None for all: it was never asked this clip.
    """
    try:
        answered = answer(clip)
    except FacegraftError as error:
        logger.info("no answer to %s: %s", clip.key, error)
        return [None] * len(clip)
    if answered is None:
        return None
    if len(answered) != len(clip):
        logger.info("%s: expected %d frames, got %d", clip.key, len(clip), len(answered))
        return [None] * len(clip)
    shape = clip.frames[0].shape
    return [None if f is None or f.shape != shape or f.dtype != np.uint8 else f for f in answered]


def clip_values(
    seen: ClipSeen, swapped: Sequence[Frame | None], still: Still, stills: Sequence[Frame | None] | None
) -> Values:
    """`ALL_METRICS` of one clip; NaN where one does not apply.

    Args:
        seen: The attribute clip.
        swapped: The answer, as `answers_to` gives it.
        still: Of its frame `seen.first`, as `still_clip` makes it.
        stills: The answer to that; None = it was not asked.
    """
    found = {metric.name: float("nan") for metric in ALL_METRICS}
    if not any(seen.has_face):
        return found
    eyes = seen.eyes
    looked = [
        None if frame is None or own.face is None else eyes.look(frame, own.face)
        for frame, own in zip(swapped, seen.frames, strict=True)
    ]
    shown = [None if look is None or look.face is None else look for look in looked]
    found |= _pixels(seen, swapped) | _points(seen, shown) | _identity(seen, shown)
    found |= truth_values(seen.truths, seen.identity, seen.frames, looked)
    there = [own for own in range(len(shown)) if seen.has_face[own]]
    found["lost_frames"] = 100 * sum(shown[own] is None for own in there) / len(there)
    if stills is not None:
        inside = seen.frames[seen.first].hull > 0
        found["static_photo"] = _counted("static_photo", still_flickers(stills, still, inside))
    return found


def _pixels(seen: ClipSeen, swapped: Sequence[Frame | None]) -> Values:
    clip = seen.clip
    cut = [None if frame is None else frame[seen.window] for frame in swapped]
    own = seen.cut(clip.frames)
    found = {"flicker": _counted("flicker", _asked(seen, flickers(cut, own, seen.faces)))}
    if clip.truths is not None:
        truths = flickers(cut, seen.cut(clip.truths), seen.faces)
        found["flicker_truth"] = _counted("flicker_truth", _asked(seen, truths))
    errors = warping_errors(cut, seen.steps)
    beyond = [None if e is None else e - own for e, own in zip(errors, seen.own_errors, strict=True)]
    found["warping_error"] = _counted("warping_error", _asked(seen, beyond))
    regions = [_changed(seen, at, frame) for at, frame in enumerate(swapped)]
    found["boundary_crawl"] = _counted("boundary_crawl", _asked(seen, crawls(regions)))
    return found


def _changed(seen: ClipSeen, at: int, frame: Frame | None) -> Mask | None:
    own = seen.frames[at]
    if frame is None or own.face is None:
        return None
    return changed_region(frame, own.frame, stabiliser(seen.eyes.analyser.topology, own.face.dense))


def _points(seen: ClipSeen, shown: Sequence[Seen | None]) -> Values:
    """landmark_jitter: `acceleration` of the answer's points minus that of the attribute clip's."""
    beyond: list[float | None] = []
    for at in range(1, len(shown) - 1):
        own = [look.face for look in seen.frames[at - 1 : at + 2]]
        ours = [None if look is None else look.face for look in shown[at - 1 : at + 2]]
        if any(face is None for face in own):
            continue
        if any(face is None for face in ours):
            beyond.append(None)
            continue
        moves = [acceleration(np.stack([face.dense[:, :2] for face in faces if face])) for faces in (ours, own)]
        size = outer_eye_distance(own[1]) if own[1] is not None else 1.0
        beyond.append(100 * (moves[0] - moves[1]) / size)
    return {"landmark_jitter": _counted("landmark_jitter", beyond)}


def _identity(seen: ClipSeen, shown: Sequence[Seen | None]) -> Values:
    """identity_jitter, tl_id and tg_id over the frames that show a face.

    identity_jitter is the standard deviation over time of cos(z(Y_t), z(I)) minus that of cos(z(A_t), z(I)). tl_id and
    tg_id are Tzaban et al.'s (2022, "Stitch it in Time", section 5): mean cos(z(Y_t), z(Y_t+1)), and of all pairs of
    frames, over the same of A.
    """
    if JUDGE not in seen.eyes.judges or seen.identity.face is None:
        return {}
    both = [(own, ours) for own, ours in zip(seen.frames, shown, strict=True) if own.face is not None]
    lost = sum(ours is None for _, ours in both) / len(both)
    pairs = [(own.embeddings[JUDGE], ours.embeddings[JUDGE]) for own, ours in both if ours is not None]
    if len(pairs) < 2:
        return {name: find_metric(CLIP_METRICS, name).worst for name in ("identity_jitter", "tl_id", "tg_id")}
    own, ours = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    person = seen.identity.embeddings[JUDGE]
    found = {
        "identity_jitter": float((ours @ person).std() - (own @ person).std()),
        "tl_id": _neighbours(ours) / max(_neighbours(own), 1e-6),
        "tg_id": _all_pairs(ours) / max(_all_pairs(own), 1e-6),
    }
    return {name: _mixed(name, value, lost) for name, value in found.items()}


def _neighbours(rows: Float32[np.ndarray, "n d"]) -> float:
    return float((rows[1:] * rows[:-1]).sum(1).mean())


def _all_pairs(rows: Float32[np.ndarray, "n d"]) -> float:
    n = len(rows)
    return float(((rows.sum(0) ** 2).sum() - (rows**2).sum()) / (n * (n - 1)))


def _asked(seen: ClipSeen, steps: Steps) -> list[float | None]:
    """The steps of which both attribute frames show a face."""
    return [step for at, step in enumerate(steps) if seen.has_face[at] and seen.has_face[at + 1]]


def _counted(name: str, steps: Steps) -> float:
    """Mean of the steps that are known, and the worst for the share that is lost; NaN where nothing was asked."""
    known = [step for step in steps if step is not None and np.isfinite(step)]
    lost = sum(step is None for step in steps)
    if not known:
        return find_metric(CLIP_METRICS, name).worst if lost else float("nan")
    return _mixed(name, float(np.mean(known)), lost / (lost + len(known)))


def _mixed(name: str, value: float, lost: float) -> float:
    return (1 - lost) * value + lost * find_metric(CLIP_METRICS, name).worst


def _scores(name: str, rows: Sequence[_Row], clips: Sequence[ClipCase]) -> Scores:
    groups = sorted({group for clip in clips for group in clip.groups})
    return Scores(
        method=name,
        keys=tuple(clip.key for clip in clips),
        people=tuple(clip.attribute_person for clip in clips),
        strata=tuple(clip.stratum for clip in clips),
        groups={group: tuple(clip.groups.get(group, "unknown") for clip in clips) for group in groups},
        values={metric.name: np.array([row.values[metric.name] for row in rows]) for metric in ALL_METRICS},
        failed=np.array([row.failed for row in rows], bool),
        milliseconds=np.array([row.milliseconds for row in rows]),
        features={},
        identities=tuple(clip.identity_person for clip in clips),
    )


def _without_most(clip: ClipCase) -> ClipCase:
    """What the scores need of a clip, so that many fit into memory."""
    dot = np.zeros((1, 1, 3), np.uint8)
    return dataclasses.replace(clip, identity=dot, frames=(dot, dot, dot), truths=None, more=())
