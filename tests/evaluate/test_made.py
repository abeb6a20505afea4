"""What a report says of where it was made."""

from __future__ import annotations

import re

from facegraft import __version__
from facegraft.evaluate.made import made_now


def test_what_was_made_where() -> None:
    made = made_now("today")
    assert {"date", "facegraft", "commit", "python", "numpy", "onnxruntime", "machine"} <= set(made)
    assert (made["date"], made["facegraft"]) == ("today", __version__)
    assert re.search(r", \d+ cores?$", made["machine"])
    assert re.fullmatch(r"([0-9a-f]{7,}\+?)?", made["commit"])
