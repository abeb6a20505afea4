"""A tiny method's bundle, for the tests of export and of the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facegraft.export.bundle import write_bundle
from facegraft.methods._method import Method, build_method
from tests.methods.contract import tiny_frozen

MODEL: dict[str, Any] = {
    "size_px": 32,
    "width": 8,
    "halvings": 2,
    "identity_blocks": 1,
    "embedding": 16,
    "stem_kernel": 3,
    "discriminator_width": 8,
    "discriminator_halvings": 2,
}
START = {"commit": "0123abc", "device": "a machine", "threads": 2, "torch": "2", "facegraft": "1"}
DATA = {"name": "faces", "about": "", "command": "", "items": 9, "people": 3, "licences": {"CC0-1.0": 9}}


def tiny_method(**changes: Any) -> Method:
    torch.manual_seed(0)
    return build_method({"method": "simswap", "model": MODEL | changes})


def run_facts(**changes: Any) -> dict[str, Any]:
    config = {"method": "simswap", "seed": 0, "model": MODEL}
    facts = {"config": config, "images_seen": 64, "seconds": 3.0, "scores": {"loss": 0.5}, "starts": [START]}
    return facts | {"data": {"path.0": DATA}} | changes


def write_tiny(folder: Path, method: Method, **options: Any) -> Path:
    write_bundle(folder, method, tiny_frozen(), run_facts(), **options)
    return folder
