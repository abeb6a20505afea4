"""Rasterised maps against the affine truth."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facegraft.faces.mesh import Grid, facing, interpolate, nearest_covered, rasterise, triangle_maps
from facegraft.faces.topology import load_topology
from tests.faces.drawn import posed

MESH = load_topology()


@given(st.integers(0, 10_000))
def test_an_affine_function_of_position_comes_back_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = posed(yaw=float(rng.uniform(-40, 40)))
    slope = rng.normal(size=(2, 3)).astype(np.float32)
    raster = rasterise(dense, MESH.triangles, Grid((40.0, 30.0), (60, 50), (3.5, 4.5)))
    values = interpolate(raster, dense, dense[:, :2] @ slope, MESH.triangles)
    x, y = np.meshgrid(raster.x, raster.y)
    expected = np.stack([x, y], 2) @ slope
    seen = raster.covered()
    off = np.abs(values[seen] - expected[seen])
    assert np.quantile(off, 0.99) < 0.02
    assert off.max() < 0.6  # slivers magnify rounding


def test_values_at_corners_are_the_values() -> None:
    dense = posed()
    values = np.random.default_rng(0).normal(size=(468, 2)).astype(np.float32)
    maps = triangle_maps(dense, values, MESH.triangles)
    for corner in range(3):
        at = dense[MESH.triangles[:, corner], :2]
        found = (maps * np.column_stack([at, np.ones(len(at))])[:, None]).sum(axis=2)
        big = facing(dense, MESH.triangles) > 1  # slivers magnify rounding
        np.testing.assert_allclose(found[big], values[MESH.triangles[big, corner]], atol=0.02)


def test_the_nearer_surface_wins() -> None:
    dense = posed(yaw=50)
    raster = rasterise(dense, MESH.triangles, Grid((40.0, 10.0), (200, 200), (1.0, 1.0)))
    hidden = facing(dense, MESH.triangles) <= 0
    assert not np.isin(raster.triangle, np.flatnonzero(hidden)).any()
    depth = interpolate(raster, dense, dense[:, 2:], MESH.triangles)[..., 0]
    nose = dense[1]
    assert depth[int(nose[1] - 10), int(nose[0] - 40)] < dense[:, 2].mean()


def test_empty_cells_take_their_nearest_neighbour() -> None:
    grid = np.array([[-1, -1, 5], [-1, -1, -1], [7, -1, -1]], np.int32)
    assert nearest_covered(grid).tolist()[0][1:] == [5, 5]
    assert nearest_covered(grid)[2, 0] == 7
    assert (nearest_covered(np.full((2, 2), -1, np.int32)) == 0).all()
    assert (nearest_covered(grid) >= 0).all()
