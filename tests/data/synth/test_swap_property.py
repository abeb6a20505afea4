"""Any two people in any scene: outside of the swap, a true swap and its attribute picture are one picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from facegraft.data.camera import reach_px  # noqa: E402
from facegraft.data.synth.labels import PLANES  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.render import TRUTHS, Renderer, grown  # noqa: E402
from facegraft.data.synth.scene import STRATA, sample_scene  # noqa: E402

SIZE = 48
OF_THE_SCENE = ("pose_degrees", "gaze_degrees", "expression", "light", "key", "camera")
seeds = st.integers(0, 2**31 - 1)


@pytest.fixture(scope="module")
def renderer(makehuman: Path) -> Iterator[Renderer]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Renderer(makehuman, SIZE)
    torch.set_num_threads(before)


@settings(max_examples=25)
@given(
    people=st.tuples(seeds, seeds),
    dial=st.sampled_from((0.0, 0.35, 1.0)),
    scene_seed=seeds,
    stratum=st.sampled_from(STRATA),
    kind=st.sampled_from(TRUTHS),
)
def test_outside_of_a_swap_all_is_the_attributes(
    renderer: Renderer, people: tuple[int, int], dial: float, scene_seed: int, stratum: str, kind: str
) -> None:
    identity, attribute = (sample_person(seed, dial) for seed in people)
    scene = sample_scene(scene_seed, stratum)
    made = renderer.swap([identity], [attribute], [scene], (kind,))
    here, there = made.pictures, made.truths[kind]
    whose = "own" if kind == "head" else "inner"
    shows = (getattr(here.labels, whose) > 0) | (getattr(there.labels, whose) > 0)
    for name in PLANES:
        one, other = getattr(here.labels, name), getattr(there.labels, name)
        outside = ~(shows if one.ndim == 3 else shows[:, None].expand_as(one))
        assert torch.equal(one[outside], other[outside]), name
    for name in OF_THE_SCENE:
        assert torch.equal(getattr(here.labels, name), getattr(there.labels, name)), name
    far = ~grown(shows, reach_px(scene.post, SIZE, shared_glow=True))[0]
    assert torch.equal(here.image[0][:, far], there.image[0][:, far])
