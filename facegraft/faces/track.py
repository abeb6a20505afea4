"""One id per person over a video, and points that do not tremble.

Looking for faces costs far more than following them, so a frame's points are sought where the last frame's
were, moved on by their speed. A full look is taken now and then, and at once when a face is lost; only then are turned
heads tried. A lost face keeps its id for a while: it is known again by its path, and by its embedding where there
is a recogniser. Everything the next frame depends on is in `state()`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.errors import BadInputError
from facegraft.core.types import Face, Faces, Frame, no_faces
from facegraft.faces.analyse import MIN_PRESENCE, SURE_PRESENCE, SURE_SCORE
from facegraft.faces.match import (
    assign,
    is_clear,
    is_cut,
    is_doubtful,
    path_distance,
    same_place,
    shape_distance,
    thumbnail,
)
from facegraft.faces.smooth import face_size, smooth
from facegraft.faces.topology import five_points, head_pose, load_topology
from facegraft.faces.tracklet import NEVER, Track

STATE_VERSION = 1
MIN_SIZE = 8.0
"""Pixels; smaller faces are not followed."""
MAX_REMEMBERED = 64
BLURRED_WEIGHT = 0.1
"""What an unclear view counts in the mean embedding, against 1 for a clear one."""
STRIKES = 3
TRIAL_FRAMES = 3
"""For which a new face is watched, with `SURE_PRESENCE`, before it counts: if the detector is not sure of it, nor is it
steady."""
SHAKES = ((0.12, 0, 1), (-0.12, 0, 1), (0, 0.12, 1), (0, -0.12, 1), (0, 0, 1.15), (0, 0, 0.87))
"""Moves across and down, in sizes of the face, and scales of points from which they are sought anew."""
STEADY_PRESENCE, STEADY_DISTANCE = 0.98, 0.06
"""Presence after every shake, and greatest mean distance in sizes of the face. Faces of clips of which the detector was
not sure had .984 and more, .057 and less; places of pictures without faces that it scores from .35, .975 and less."""


@runtime_checkable
class FaceAnalyser(Protocol):
    """What a tracker asks of `analyse.Analyser`."""

    def analyse(self, frame: Frame, *, thorough: bool = True) -> Faces: ...

    def refine(self, frame: Frame, dense: Float32[np.ndarray, "n k 3"]) -> Faces: ...


@runtime_checkable
class FaceRecogniser(Protocol):
    """What a tracker asks of `embed.Recogniser`."""

    def embed(self, frame: Frame, faces: Faces) -> Faces: ...


@dataclass(frozen=True)
class TrackSettings:
    """When to look, and how long to remember."""

    look_every: int = 10
    """Frames between full looks while all is well."""
    thorough_every_s: float = 5.0
    """Time between looks that also search for small faces in tiles, and for turned heads where there is no face."""
    thorough_when_lost_s: float = 0.5
    """The same while a face is missing; the first such look comes at once."""
    forget_after_s: float = 3.0
    """A face that comes back within this time near its path keeps its id."""
    remember_s: float = 600.0
    """With a recogniser: a face that comes back anywhere within this time keeps its id."""
    embed_every_s: float = 1.0
    same_person: float = 0.945
    """Cosine to a track's mean above which a returning face is that person. Stricter than `embed.SAME_PERSON`, as
    views of one clip are alike: clear ones score over 0.96 there, strangers under 0.94."""
    stranger: float = 0.92
    """Cosine to a track's mean below which a clear view shows somebody else."""
    unclear_stranger: float = 0.84
    """The same for a view that shows little."""


class Tracker:
    """Follows the faces of one video. Frames must come in order; one instance serves one thread."""

    def __init__(
        self,
        analyser: FaceAnalyser,
        recogniser: FaceRecogniser | None = None,
        settings: TrackSettings | None = None,
    ) -> None:
        self._analyser = analyser
        self._recogniser = recogniser
        self.settings = settings or TrackSettings()
        self._topology = load_topology()
        self._tracks: list[Track] = []
        self._next_number = 0
        self._time_s = NEVER
        self._until_look = 0
        self._thorough_s = NEVER
        self._thumbnail: UInt8[np.ndarray, "h w"] | None = None

    def update(self, frame: Frame, time_s: float) -> Faces:
        """The faces of the next frame, largest first; `numbers` are the tracks' ids, 0, 1, 2 ... as they appear.

        Args:
            frame: The next frame.
            time_s: Its presentation time; later than the last one's.

        Returns:
            Smoothed faces. With a recogniser, `embeddings` holds each track's mean so far.
        """
        elapsed = min(max(time_s - self._time_s, 1e-3), 1.0)
        before, self._thumbnail = self._thumbnail, thumbnail(frame)
        seen = [track for track in self._tracks if not track.lost]
        if before is not None and is_doubtful(before, self._thumbnail):
            for track in seen:
                track.embedded_s = NEVER  # looked at again in this frame
        if before is not None and is_cut(before, self._thumbnail):
            self._tracks = [track for track in self._tracks if not track.trial]
            for track in self._tracks:
                track.lost, track.after_cut = True, True
        else:
            self._follow(frame, seen, time_s, elapsed)
        self._find(frame, time_s, missing=any(track.lost and not track.trial for track in seen))
        if self._recogniser is not None:
            self._embed(self._recogniser, frame, time_s)
        self._forget(time_s)
        self._time_s = time_s
        return self._faces()

    # --- following: points only, from where they were -------------------------------------------------

    def _follow(self, frame: Frame, tracks: list[Track], time_s: float, elapsed: float) -> None:
        if not tracks:
            return
        expected = np.stack([track.expected(time_s) for track in tracks])
        found = self._analyser.refine(frame, expected)
        for row, track in enumerate(tracks):
            jumped = path_distance(expected[row], found.dense[row]) > max(0.6, 3.0 * elapsed)
            track.lost = bool(found.scores[row] < MIN_PRESENCE or jumped or face_size(found.dense[row]) < MIN_SIZE)
        for row in self._doubles(frame, tracks, expected, found):
            tracks[row].lost = True
        for row, track in enumerate(tracks):
            if not track.lost:
                self._move(track, found[row], time_s, elapsed)
                self._try(track)
        self._tracks = [track for track in self._tracks if not (track.lost and track.trial)]

    def _try(self, track: Track) -> None:
        """One more frame of a trial: it counts once followed without doubt, and is no face otherwise."""
        if track.trial:
            track.lost = track.score < SURE_PRESENCE
            track.trial -= 0 if track.lost else 1
            if track.trial == 0:
                self._number(track)

    def _number(self, track: Track) -> None:
        track.number = self._next_number
        self._next_number += 1

    def _doubles(
        self, frame: Frame, tracks: list[Track], expected: Float32[np.ndarray, "n k 3"], found: Faces
    ) -> list[int]:
        """Rows of tracks that slid onto another track's face, as when one face passes behind another."""
        wrong: list[int] = []
        for pair in itertools.combinations(range(len(tracks)), 2):
            free = not any(tracks[row].lost or row in wrong for row in pair)
            if free and same_place(found.dense[pair[0]], found.dense[pair[1]]):
                claims = [self._claim(frame, tracks[row], expected[row], found.take([row])) for row in pair]
                wrong.append(pair[int(np.argmax(claims))])
        return wrong

    def _claim(self, frame: Frame, track: Track, expected: Float32[np.ndarray, "k 3"], face: Faces) -> float:
        """How badly a track fits a face that two tracks slid onto."""
        if self._recogniser is not None and track.embedding is not None:
            return 1 - _cosine(self._recogniser.embed(frame, face), track.embedding)
        return path_distance(expected, face.dense[0]) + 10 * shape_distance(expected, face.dense[0])

    @staticmethod
    def _move(track: Track, face: Face, time_s: float, elapsed: float) -> None:
        smoothed = smooth(track.dense, face.dense, elapsed)
        step = (smoothed[:, :2].mean(axis=0) - track.dense[:, :2].mean(axis=0)).astype(np.float64)
        track.velocity = 0.5 * track.velocity + 0.5 * step / elapsed
        track.dense, track.score, track.seen_s, track.lost = smoothed, face.score, time_s, False

    # --- looking: the whole frame ---------------------------------------------------------------------

    def _find(self, frame: Frame, time_s: float, *, missing: bool) -> None:
        """Looks at once where a face is missing or none is there, else every so many frames."""
        self._until_look -= 1
        settings = self.settings
        recent = any(track.lost and time_s - track.seen_s < settings.forget_after_s for track in self._tracks)
        nobody = all(track.lost for track in self._tracks)
        if not (missing or recent or nobody or self._until_look <= 0):
            return
        self._until_look = settings.look_every
        gap = time_s - self._thorough_s
        thorough = gap >= settings.thorough_every_s or (recent and gap >= settings.thorough_when_lost_s)
        if thorough:
            self._thorough_s = time_s
        self._meet(frame, self._analyser.analyse(frame, thorough=thorough), time_s)

    def _meet(self, frame: Frame, found: Faces, time_s: float) -> None:
        """Gives each face that no track follows to the lost track it fits, or to a new one."""
        followed = [track for track in self._tracks if not track.lost]
        free = [
            row
            for row in range(len(found))
            if face_size(found.dense[row]) >= MIN_SIZE
            and not any(same_place(found.dense[row], track.dense) for track in followed)
        ]
        faces = found.take(free)
        if self._recogniser is not None and free:
            faces = self._recogniser.embed(frame, faces)
        lost = [track for track in self._tracks if track.lost]
        costs = [[self._unlikeness(track, face, time_s) for track in lost] for face in faces]
        owners = dict(assign(np.array(costs, np.float64).reshape(len(faces), len(lost))))
        for row, face in enumerate(faces):
            if row in owners:
                self._resume(lost[owners[row]], face, time_s)
            else:
                self._begin(frame, face, time_s)

    def _unlikeness(self, track: Track, face: Face, time_s: float) -> float:
        """Cost of taking a face for a lost track's; infinite where it cannot be."""
        away_s = time_s - track.seen_s
        likeness = None
        if face.embedding is not None and track.embedding is not None:
            likeness = float(face.embedding @ track.embedding)
            if likeness >= self.settings.same_person:
                return 1 - likeness
            clear = is_clear(face) and track.embedded >= 1
            if likeness < (self.settings.stranger if clear else self.settings.unclear_stranger):
                return np.inf
        if away_s > self.settings.forget_after_s:
            return np.inf
        expected = track.expected(time_s)
        distance = path_distance(expected, face.dense)
        reach = 0.8 + 2.5 * away_s
        if track.after_cut:  # a flash or a jolt, if the same face is still in the same place
            reach = 0.1
        if distance > reach:
            return np.inf
        return distance / reach + (0.0 if likeness is None else 1 - likeness)

    @staticmethod
    def _resume(track: Track, face: Face, time_s: float) -> None:
        track.dense, track.score, track.seen_s = face.dense.astype(np.float32), face.score, time_s
        track.velocity, track.lost, track.after_cut, track.strikes = np.zeros(2), False, False, 0

    def _begin(self, frame: Frame, face: Face, time_s: float) -> None:
        track = Track(-1, face.dense.astype(np.float32), face.score, time_s)
        if face.embedding is not None:
            track.learn(face.embedding, 1.0 if is_clear(face) else BLURRED_WEIGHT)
            track.embedded_s = time_s
        self._tracks.append(track)
        if face.score < SURE_SCORE and not self._is_steady(frame, face):
            track.trial = TRIAL_FRAMES
        else:
            self._number(track)

    def _is_steady(self, frame: Frame, face: Face) -> bool:
        """Whether its points are found again from wherever they are sought: so are a face's, not those of bark."""
        size, middle = face_size(face.dense), face.dense.mean(axis=0)
        starts = [
            (face.dense - middle) * scale + middle + np.array([right * size, down * size, 0])
            for right, down, scale in SHAKES
        ]
        found = self._analyser.refine(frame, np.stack(starts).astype(np.float32))
        away = np.linalg.norm((found.dense - face.dense)[:, :, :2], axis=2).mean(axis=1) / size
        return bool(found.scores.min() >= STEADY_PRESENCE and away.max() <= STEADY_DISTANCE)

    # --- knowing: embeddings --------------------------------------------------------------------------

    def _embed(self, recogniser: FaceRecogniser, frame: Frame, time_s: float) -> None:
        """Refreshes the mean embedding of the tracks whose turn it is, and notices a track on the wrong face."""
        settings = self.settings
        due = [
            track
            for track in self._tracks
            if not (track.lost or track.trial) and track.is_due(time_s, settings.embed_every_s)
        ]
        if not due:
            return
        embedded = recogniser.embed(frame, self._as_faces(due))
        for track, face in zip(due, embedded, strict=True):
            clear = is_clear(face)
            track.embedded_s = time_s
            if face.embedding is None:
                continue
            if clear and track.embedded >= 1 and float(face.embedding @ track.embedding) < settings.stranger:
                track.strikes += 1
                if track.strikes >= STRIKES:
                    self._hand_over(frame, track, face, time_s)
                continue
            track.strikes = 0
            track.learn(face.embedding, 1.0 if clear else BLURRED_WEIGHT)

    def _hand_over(self, frame: Frame, track: Track, face: Face, time_s: float) -> None:
        """The face that a track follows is somebody else's: it goes to whom it fits, or to a new track."""
        others = [other for other in self._tracks if other.lost and other.embedding is not None]
        track.lost, track.after_cut = True, True
        costs = [self._unlikeness(other, face, time_s) for other in others]
        if costs and min(costs) < np.inf:
            self._resume(others[int(np.argmin(costs))], face, time_s)
        else:
            self._begin(frame, face, time_s)

    def _forget(self, time_s: float) -> None:
        keep_s = self.settings.remember_s if self._recogniser is not None else self.settings.forget_after_s
        kept = [track for track in self._tracks if not track.lost or time_s - track.seen_s <= keep_s]
        lost = sorted((track for track in kept if track.lost), key=lambda track: -track.seen_s)
        self._tracks = [track for track in kept if track not in lost[MAX_REMEMBERED:]]

    # --- results and state ----------------------------------------------------------------------------

    def _faces(self) -> Faces:
        seen = [track for track in self._tracks if not track.lost and not track.trial]
        areas = [face_size(track.dense) for track in seen]
        return self._as_faces([seen[row] for row in np.argsort([-area for area in areas], kind="stable")])

    def _as_faces(self, tracks: list[Track]) -> Faces:
        if not tracks:
            return no_faces(len(self._topology.xyz))
        dense = np.stack([track.dense for track in tracks])
        means = [track.embedding for track in tracks if track.embedding is not None]
        return Faces(
            numbers=np.array([track.number for track in tracks], np.int64),
            boxes_xyxy=np.concatenate([dense[:, :, :2].min(axis=1), dense[:, :, :2].max(axis=1)], axis=1),
            scores=np.array([track.score for track in tracks], np.float32),
            points5=np.stack([five_points(self._topology, points) for points in dense]),
            dense=dense,
            pose_degrees=np.stack([head_pose(self._topology, points) for points in dense]),
            embeddings=np.stack(means) if len(means) == len(tracks) else None,
        )

    def state(self) -> dict[str, Any]:
        """Everything the next frame depends on, as plain JSON: `restore` continues bit by bit as if never stopped."""
        return {
            "version": STATE_VERSION,
            "next_number": self._next_number,
            "time_s": self._time_s,
            "until_look": self._until_look,
            "thorough_s": self._thorough_s,
            "thumbnail": None if self._thumbnail is None else self._thumbnail.tolist(),
            "tracks": [track.as_dict() for track in self._tracks],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up a `state()`.

        Raises:
            BadInputError: It was written by another version.
        """
        if state.get("version") != STATE_VERSION:
            raise BadInputError(
                f"tracker state has version {state.get('version')}, expected {STATE_VERSION}; start the job anew"
            )
        self._next_number = state["next_number"]
        self._time_s = state["time_s"]
        self._until_look = state["until_look"]
        self._thorough_s = state["thorough_s"]
        self._thumbnail = None if state["thumbnail"] is None else np.array(state["thumbnail"], np.uint8)
        self._tracks = [Track.from_dict(track) for track in state["tracks"]]


def _cosine(face: Faces, embedding: Float32[np.ndarray, "d"]) -> float:
    return 0.0 if face.embeddings is None else float(face.embeddings[0] @ embedding)
