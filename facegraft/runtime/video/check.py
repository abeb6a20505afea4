"""Reads a finished file once and compares it with what was meant."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from facegraft.core.errors import FacegraftError, OutputError
from facegraft.core.files import shown
from facegraft.runtime.video.mux import Muxed
from facegraft.runtime.video.packets import read_times
from facegraft.runtime.video.probe import open_clip, video_stream


def presentation_times(paths: list[Path], shift: int = 0) -> Int64[np.ndarray, "n"]:
    """When each frame of the segments is shown, rising, less `shift`."""
    return np.sort(np.fromiter((pts for path in paths for pts in read_times(path)), np.int64)) - shift


def check_result(
    path: Path, times: Int64[np.ndarray, "n"], time_base: Fraction, muxed: Muxed, *, chapters: bool
) -> list[str]:
    """Reads the finished file's packets once: nothing may be missing or moved.

    Args:
        path: The file.
        times: When each frame must be shown, rising, in `time_base`.
        time_base: Of the times.
        muxed: What was written.
        chapters: Whether there must be some.

    Returns:
        Notes on what the container could not carry.

    Raises:
        OutputError: Fewer video packets than frames, other times, or a stream lost.
    """
    try:
        with open_clip(path) as container:
            stream = video_stream(container, path)
            base = stream.time_base or Fraction(1)
            found_times = np.array(
                sorted(packet.pts or 0 for packet in container.demux(stream) if packet.size), np.int64
            )
            found = len([stream for stream in container.streams if stream.type != "data"])
            found_chapters = len(container.chapters())
    except FacegraftError as error:
        raise OutputError(f"{shown(path)}: the written file cannot be read back ({error})") from error
    if len(found_times) != len(times) or found < muxed.streams:
        raise OutputError(
            f"{shown(path)}: the written file holds {len(found_times)} of {len(times)} frames and {found} of "
            f"{muxed.streams} streams; is the disk full?"
        )
    notes = ["chapters could not be kept"] if chapters and not found_chapters else []
    return notes + _check_times(path, found_times * float(base), times * float(time_base), float(base + time_base))


def _check_times(
    path: Path, found: Float64[np.ndarray, "n"], wanted: Float64[np.ndarray, "n"], tick: float
) -> list[str]:
    """Times in seconds: all equal, or all moved by the same (Matroska cannot start below 0)."""
    moved = found - wanted
    if np.ptp(moved) > tick + 1e-6:
        raise OutputError(
            f"{shown(path)}: frames came out up to {np.ptp(moved):.4f} s out of place; write another container"
        )
    notes = []
    if np.ptp(moved) > 1e-6:
        notes.append(f"times are rounded to the container's clock, by {500 * float(np.ptp(moved)):.1f} ms at most")
    if abs(moved).min() > tick + 1e-6:
        notes.append(
            f"all times are moved by {1000 * float(np.median(moved)):.0f} ms: the container cannot start below 0"
        )
    return notes
