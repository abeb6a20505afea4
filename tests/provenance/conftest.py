"""A user folder of its own for every test, small pictures and clips to mark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from facegraft.core.types import Frame
from facegraft.provenance.manifest import Origin


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    monkeypatch.setenv("FACEGRAFT_HOME", str(folder))
    return folder


@pytest.fixture
def origin() -> Origin:
    return Origin(method="warp", created="2026-11-22T11:00:00Z", consent='Ana & Bo: "yes" <2026>')


@pytest.fixture
def frame() -> Frame:
    """512 x 384, smooth like a photo, with some grain."""
    rng = np.random.default_rng(7)
    smooth = cv2.resize(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), (512, 384), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 3, smooth.shape)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


@pytest.fixture
def make_clip(frame: Frame) -> Callable[..., Path]:
    """Writes a clip of 12 frames with the given container tags."""

    def make(
        path: Path, tags: dict[str, str] | None = None, *, muxer: dict[str, str] | None = None, rotation: int = 0
    ) -> Path:
        with av.open(str(path), "w", options=muxer or {}) as container:
            stream = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = frame.shape[1], frame.shape[0], "yuv420p"
            if rotation:
                stream.set_display_rotation(rotation)
            container.metadata.update(tags or {})
            for _ in range(12):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path

    return make
