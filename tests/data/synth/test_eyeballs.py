"""Eyes of posed heads against the eyes' own mesh, fitted by another path."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.data.synth.body import BODY_COUNT, Body, Motion  # noqa: E402
from facegraft.data.synth.eyeballs import Eyeballs  # noqa: E402
from facegraft.data.synth.formats import read_proxy  # noqa: E402
from facegraft.data.synth.landmarks import IRISES  # noqa: E402


def test_irises_are_the_fitted_meshs_and_each_looks_out_of_its_own_eyeball(makehuman):
    body = Body(makehuman)
    eyeballs = Eyeballs(makehuman, body)
    neutral = torch.as_tensor(body.base.vertices[body.ids], dtype=torch.float32)[None]
    morphs, units = torch.zeros(1, len(body.morph_names)), torch.zeros(1, len(body.unit_names))
    still = Motion(torch.zeros(1, 3), torch.zeros(1), torch.zeros(1, 2, 2), torch.full((1, 2), 0.12), morphs, units)
    posed = body.pose(neutral, torch.full((1, 3), 1 / 3), still)
    fitted = read_proxy(makehuman / "data" / "eyes" / "high-poly" / "high-poly.mhclo", BODY_COUNT).fit(
        body.base.vertices
    )
    head = posed.bones[0, body.bone_row["head"]].numpy()
    expected = fitted[list(IRISES)] @ head[:, :3].T + head[:, 3]
    np.testing.assert_allclose(eyeballs.irises(posed)[0], expected, atol=2e-3)

    centres, axes = (found[0] for found in eyeballs.look(posed))
    irises = eyeballs.irises(posed)[0]
    assert irises[0, 0] > 0 > irises[1, 0], "the person's left is at x > 0"
    assert (axes[:, 2] > 0.95).all()
    radius = (irises - centres).norm(dim=1)
    assert radius[0] == pytest.approx(float(radius[1]), rel=0.02)
    assert 0.08 < radius[0] < 0.2, "an eyeball's radius, decimetres"
