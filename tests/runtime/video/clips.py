"""What the video tests share: edits that paint by frame, and a plain decoder to look at results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from facegraft.core.types import Frame, Patch
from facegraft.runtime.video import FrameEdit, VideoOptions, VideoReport, process_video


class Nothing:
    """Leaves every frame as it is."""

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        return []

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


class Painter:
    """Paints a square whose colour depends on all frames before, so a lost or repeated frame shows."""

    def __init__(self, each: Callable[[int], None] | None = None) -> None:
        self._count = 0
        self._mean = 0.0
        self._each = each
        self.times: list[float] = []

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        if self._each is not None:
            self._each(self._count)
        self._count += 1
        self._mean = 0.9 * self._mean + 0.1 * float(frame[::8, ::8].mean())
        self.times.append(time_s)
        delta = np.zeros((32, 48, 3), np.float32)
        delta[:, :, 0] = self._mean - 60
        delta[:, : 1 + 4 * (self._count % 12), 2] = 60
        return [Patch(left=21, top=17, delta=delta)]

    def state(self) -> dict[str, Any]:
        return {"count": self._count, "mean": self._mean}

    def restore(self, state: dict[str, Any]) -> None:
        self._count, self._mean = state["count"], state["mean"]


@dataclass(frozen=True)
class Shown:
    time: Fraction
    rgb: Frame
    """As coded, not turned."""
    frame: av.VideoFrame


def shown_frames(path: Path) -> list[Shown]:
    """Every frame as a player decodes it, by FFmpeg's defaults."""
    with av.open(f"file:{path}") as container:
        stream = container.streams.best("video")
        frames = list(container.decode(stream))
        assert stream is not None
        base = stream.time_base
    assert base is not None
    return [Shown((frame.pts or 0) * base, frame.to_ndarray(format="rgb24"), frame) for frame in frames]


def hashes(path: Path) -> list[str]:
    """One for each decoded frame, by all its planes."""
    with av.open(f"file:{path}") as container:
        return [
            hashlib.blake2b(b"".join(bytes(plane) for plane in frame.planes), digest_size=12).hexdigest()
            for frame in container.decode(video=0)
        ]


def copied_packets(path: Path) -> dict[tuple[str, int], list[tuple[Fraction, bytes]]]:
    """Time and bytes of each packet of the streams that are not video, by kind and place."""
    with av.open(f"file:{path}") as container:
        streams = [stream for stream in container.streams if stream.type in ("audio", "subtitle")]
        found: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in streams}
        for packet in container.demux(*streams) if streams else ():
            if packet.size:
                assert packet.pts is not None
                found[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
        kinds: dict[str, int] = {}
        named = {}
        for stream in streams:
            place = kinds.get(stream.type, 0)
            kinds[stream.type] = place + 1
            named[stream.type, place] = found[stream.index]
    return named


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(cv2.PSNR(np.ascontiguousarray(one), np.ascontiguousarray(other)))


def run(clip: Path, out: Path, edit: FrameEdit | None = None, **options: Any) -> VideoReport:
    return process_video(clip, out, edit or Nothing(), VideoOptions(**options), job_key="test")


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders: there must be none after success."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
