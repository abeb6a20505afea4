"""Run by the tests in a process of its own, to be killed: paints a clip, with a pause at each frame.

Usage: python paint_job.py CLIP OUT PAUSE_S [FILE_SIZE_LIMIT]
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from facegraft.core.errors import FacegraftError
from facegraft.runtime.video import VideoOptions, process_video
from tests.runtime.video.clips import Painter


def main() -> int:
    clip, out, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    if len(sys.argv) > 4:
        limit = int(sys.argv[4])
        sys.dont_write_bytecode = True  # or modules compiled from here on would be cut off too
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    edit = Painter(lambda _: time.sleep(pause))
    try:
        report = process_video(clip, out, edit, VideoOptions(segment_s=0.4, queue=3), job_key="paint")
    except FacegraftError as error:
        print(error, flush=True)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    print(report.resumed_from, flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
