"""The video engine: decodes a clip, hands each upright frame to an edit, writes the result; loses nothing else.

`process_video` is the one call. Packets, times, rotation, tags and streams are kept; what cannot be is said.
"""

from facegraft.runtime.video.job import check_video, process_video
from facegraft.runtime.video.options import CODECS, KINDS, PRESETS, FrameEdit, Progress, VideoOptions, VideoReport

__all__ = [
    "CODECS",
    "KINDS",
    "PRESETS",
    "FrameEdit",
    "Progress",
    "VideoOptions",
    "VideoReport",
    "check_video",
    "process_video",
]
