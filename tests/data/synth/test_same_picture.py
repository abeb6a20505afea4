"""The same seed gives the same picture, whatever computes it, within the tolerance that docs/synth.md states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.render import Rendered, Renderer, Swaps, join  # noqa: E402
from facegraft.data.synth.scene import STRATA, sample_scene  # noqa: E402

SIZE, COUNT = 96, 6
LEVELS, SHARE = 2, 0.01
"""Of all values of a picture, no more than this share may differ by more than so many levels of 255."""
MEAN_LEVELS = 0.05
REGION_SHARE, POINT_PX, DEGREES = 0.003, 0.05, 0.01


@dataclass(frozen=True)
class Gap:
    """The largest difference over pictures of each measure."""

    share: float
    mean_levels: float
    regions: float
    points_px: float
    degrees: float

    def check(self) -> None:
        assert self.share <= SHARE, self
        assert self.mean_levels <= MEAN_LEVELS, self
        assert self.regions <= REGION_SHARE, self
        assert self.points_px <= POINT_PX, self
        assert self.degrees <= DEGREES, self


def gap(one: Rendered, other: Rendered) -> Gap:
    apart = (one.image.cpu().int() - other.image.cpu().int()).abs().float()
    here, there = one.labels, other.labels
    assert here is not None
    assert there is not None
    regions = (here.regions.cpu() != there.regions.cpu()).float()
    points = max(
        float((getattr(here, name).cpu() - getattr(there, name).cpu())[..., :2].abs().max())
        for name in ("landmarks68", "iris", "dense")
    )
    degrees = (here.pose_degrees.cpu() - there.pose_degrees.cpu()).abs().max()
    return Gap(
        float((apart > LEVELS).float().mean((1, 2, 3)).max()),
        float(apart.mean((1, 2, 3)).max()),
        float(regions.mean((1, 2)).max()),
        points,
        float(degrees),
    )


def swapped(renderer: Renderer, rows: range = range(COUNT)) -> Swaps:
    """Swaps in a scene of each stratum."""
    scenes = [sample_scene(880 + row, STRATA[row % len(STRATA)]) for row in rows]
    return renderer.swap(
        [sample_person(70 + row) for row in rows], [sample_person(80 + row) for row in rows], scenes, ("inner",)
    )


@pytest.fixture(scope="module")
def usual(makehuman: Path) -> Iterator[tuple[Renderer, Swaps]]:
    """One thread on the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    renderer = Renderer(makehuman, SIZE)
    yield renderer, swapped(renderer)
    torch.set_num_threads(before)


def test_alone_or_in_a_batch(usual: tuple[Renderer, Swaps]) -> None:
    renderer, together = usual
    alone = [swapped(renderer, range(row, row + 1)) for row in range(COUNT)]
    gap(join([one.pictures for one in alone]), together.pictures).check()
    gap(join([one.truths["inner"] for one in alone]), together.truths["inner"]).check()


def test_with_one_thread_or_two(makehuman: Path, usual: tuple[Renderer, Swaps]) -> None:
    _, one = usual
    torch.set_num_threads(2)
    two = swapped(Renderer(makehuman, SIZE))
    torch.set_num_threads(1)
    gap(two.pictures, one.pictures).check()
    gap(two.truths["inner"], one.truths["inner"]).check()


def test_another_person_is_far_outside_the_tolerance(usual: tuple[Renderer, Swaps]) -> None:
    _, made = usual
    assert gap(made.pictures, made.truths["inner"]).share > 10 * SHARE


@pytest.mark.gpu
def test_on_a_cpu_or_a_gpu(makehuman: Path, usual: tuple[Renderer, Swaps]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that torch can use")
    _, cpu = usual
    gpu = swapped(Renderer(makehuman, SIZE, device="cuda"))
    assert gpu.pictures.image.device.type == "cuda"
    gap(gpu.pictures, cpu.pictures).check()
    gap(gpu.truths["inner"], cpu.truths["inner"]).check()
