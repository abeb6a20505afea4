"""benchmarks/two_eyes.py: who is swapped with whom, and what of a followed clip is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import av
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from facegraft.core.image import read_picture
from facegraft.faces.own import OwnNetworks
from tests.benchmark_scripts import imported


@pytest.fixture(scope="module")
def two_eyes(root: Path) -> Iterator[ModuleType]:
    with imported(root, "two_eyes") as (module,):
        yield module


def test_strangers_are_swapped_and_the_same_each_time(two_eyes: ModuleType) -> None:
    found = [SimpleNamespace(person=f"p{number // 3}", path=number) for number in range(30)]
    pairs = two_eyes.strangers(found, 20)
    assert len(pairs) == 20
    assert all(one.person != other.person for one, other in pairs)
    assert len({one.path for one, _ in pairs}) == 20
    assert pairs == two_eyes.strangers(found, 20)


def test_frames_without_a_face_are_counted_and_a_still_one_does_not_tremble(
    two_eyes: ModuleType, root: Path, tmp_path: Path
) -> None:
    picture = read_picture(root / "examples" / "attribute_1.jpg").frame[::4, ::4]
    picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    path = tmp_path / "still.mkv"
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "bgr0"
        for frame in [np.full_like(picture, 90)] * 6 + [picture] * 18:
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        writer.mux(stream.encode(None))
    lost, trembling = two_eyes.followed(path, OwnNetworks())
    assert lost == pytest.approx(6 / 24)
    assert 0 <= trembling < 0.2
    assert len(list(two_eyes.frames_of(path))) == 24
