"""Types of arguments that several verbs share. Light: `--help` waits for it."""

from __future__ import annotations

import argparse
from pathlib import Path


def some_path(text: str) -> Path:
    """A path as it was given. An empty one, such as an unset variable of a script, would mean the current folder.

    Raises:
        argparse.ArgumentTypeError: It is empty.
    """
    return Path(some_text(text))


def some_text(text: str) -> str:
    """A text in which something stands.

    Raises:
        argparse.ArgumentTypeError: It is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError(
            "expected a name, found an empty one (a variable of a script that is not set?)"
        )
    return text
