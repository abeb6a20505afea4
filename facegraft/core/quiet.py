"""Turns away what C libraries write straight to standard error."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def quiet_stderr(library: str) -> Iterator[None]:
    """Sends what a library says meanwhile to the debug log: the user gets our own one line, or none.

    For libraries that let nobody set a handler; the descriptor itself is turned away, so other threads' words go the
    same way. Keep the block short.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as said:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(said.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said.read().decode(errors="replace").splitlines():
                logger.debug("%s: %s", library, line)
