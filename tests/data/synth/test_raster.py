"""The rasteriser against a slow and plain one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.data.synth.raster import Fragments, nearest, peel, perspective, scan, set_up  # noqa: E402

SIZE = (13, 17)


def triangles_of(seed: int, count: int = 12, pictures: int = 2):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(3 * count, 3, generator=generator)
    points = points * torch.tensor([24.0, 20.0, 0.8]) + torch.tensor([-3.0, -3.0, 0.1])
    triangles = torch.arange(3 * count).reshape(count, 3)
    picture = torch.randint(0, pictures, (count,), generator=generator)
    return points, triangles, picture


def plain(points, triangles, picture, two_sided):
    """Every sample tested against every triangle, in double precision."""
    found = set()
    for t, corners in enumerate(triangles):
        a, b, c = points[corners].double()
        area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
        if not two_sided and area > 0:
            continue
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                px, py = x + 0.5, y + 0.5
                one = ((b[0] - px) * (c[1] - py) - (c[0] - px) * (b[1] - py)) / area
                two = ((c[0] - px) * (a[1] - py) - (a[0] - px) * (c[1] - py)) / area
                if min(one, two, 1 - one - two) > 1e-5:
                    found.add((t, (int(picture[t]) * SIZE[0] + y) * SIZE[1] + x))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("two_sided", [True, False])
def test_finds_the_samples_inside_each_triangle_and_no_others(seed, two_sided):
    points, triangles, picture = triangles_of(seed)
    both = torch.full((len(triangles),), two_sided)
    fragments = scan(set_up(points, triangles, picture, SIZE, both), SIZE)
    found = set(zip(fragments.triangle.tolist(), fragments.sample.tolist(), strict=True))
    expected = plain(points, triangles, picture, two_sided)
    assert expected, "the test's triangles cover samples"
    assert expected <= found
    weights = torch.cat([fragments.weights, 1 - fragments.weights.sum(1, keepdim=True)], 1)
    assert weights.min() > -1e-4  # what the plain one left out lies on an edge
    assert len(found) - len(expected) < 0.02 * len(expected) + 3


def test_weights_give_back_the_sample_and_the_depth():
    points, triangles, picture = triangles_of(7)
    both = torch.ones(len(triangles), dtype=torch.bool)
    fragments = scan(set_up(points, triangles, picture, SIZE, both), SIZE)
    weights = torch.cat([fragments.weights, 1 - fragments.weights.sum(1, keepdim=True)], 1)
    at = (points[triangles[fragments.triangle]] * weights[..., None]).sum(1)
    column, line = fragments.sample % SIZE[1] + 0.5, fragments.sample // SIZE[1] % SIZE[0] + 0.5
    torch.testing.assert_close(at[:, 0], column, atol=2e-3, rtol=0)
    torch.testing.assert_close(at[:, 1], line, atol=2e-3, rtol=0)
    torch.testing.assert_close(at[:, 2], fragments.depth, atol=1e-4, rtol=0)


def test_the_nearest_wins_whatever_the_order():
    points, triangles, picture = triangles_of(3, count=30)
    both = torch.ones(30, dtype=torch.bool)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    samples = 2 * SIZE[0] * SIZE[1]
    seen = []
    for rows in (torch.arange(30), order):
        fragments = scan(set_up(points, triangles[rows], picture[rows], SIZE, both), SIZE)
        best = nearest(fragments, samples)
        triangle = torch.where(best >= 0, rows[fragments.triangle[best.clamp(min=0)]], -1)
        seen.append(triangle)
        shallow = torch.full((samples,), 9.0).scatter_reduce(0, fragments.sample, fragments.depth, "amin")
        kept = fragments.depth[best[best >= 0]]
        torch.testing.assert_close(kept, shallow[best >= 0], atol=2e-9 * 2**30, rtol=0)
    assert torch.equal(*seen)


def test_layers_come_front_to_back_and_each_fragment_once():
    generator = torch.Generator().manual_seed(1)
    count = 400
    fragments = Fragments(
        torch.randint(0, 40, (count,), generator=generator),
        torch.arange(count),
        torch.zeros(count, 2),
        torch.rand(count, generator=generator),
    )
    layers = [fragments.take(rows) for rows in peel(fragments, 40, 5)]
    assert len(layers) == 5
    numbers = torch.cat([layer.triangle for layer in layers])
    assert len(numbers) == len(numbers.unique())
    before = torch.zeros(40)
    for layer in layers:
        assert len(layer.sample) == len(layer.sample.unique())
        assert (layer.depth >= before[layer.sample]).all()
        before[layer.sample] = layer.depth


def test_perspective_weights_interpolate_on_the_surface():
    """A point of the surface, projected, comes back: the closed form of perspective-correct interpolation."""
    corners = torch.tensor([[-1.0, -1.0, 0.0], [1.5, -0.5, -2.0], [0.0, 1.2, 1.0]])
    distance, focal = 4.0, 6.0
    w = distance - corners[:, 2]
    screen = torch.stack([corners[:, 0] / w * focal + 8.5, 6.5 - corners[:, 1] / w * focal, 1 - 0.2 * w / w], 1)
    triangle = torch.tensor([[0, 1, 2]])
    fragments = scan(set_up(screen, triangle, torch.zeros(1, dtype=torch.int64), SIZE, torch.ones(1).bool()), SIZE)
    assert len(fragments) > 3
    on_surface = perspective(fragments, triangle, 1 / w) @ corners
    depth = distance - on_surface[:, 2]
    torch.testing.assert_close(
        on_surface[:, 0] / depth * focal + 8.5, fragments.sample % SIZE[1] + 0.5, atol=1e-4, rtol=0
    )


def test_what_lies_outside_is_dropped():
    points = torch.tensor([[-9.0, 0, 0.5], [-5, 0, 0.5], [-9, 5, 0.5], [1, 1, 2.0], [5, 1, 2.0], [1, 5, 2.0]])
    triangles = torch.tensor([[0, 1, 2], [3, 4, 5]])
    setup = set_up(points, triangles, torch.zeros(2, dtype=torch.int64), SIZE, torch.ones(2).bool())
    assert len(setup.number) == 0
    assert len(scan(setup, SIZE)) == 0
