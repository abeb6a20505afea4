"""Centres, axes and irises of the eyes of posed heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.data.synth.body import BODY_COUNT, Body, Posed, skin_points
from facegraft.data.synth.formats import read_proxy
from facegraft.data.synth.landmarks import IRISES


class Eyeballs:
    """Follows the two iris vertices of the high-poly eyes and the joints of the eye bones; left eye first."""

    def __init__(self, assets: Path, body: Body) -> None:
        proxy = read_proxy(assets / "data" / "eyes" / "high-poly" / "high-poly.mhclo", BODY_COUNT)
        mix = np.asarray(proxy.weights[list(IRISES)].todense())[:, body.ids]
        self.mix = torch.as_tensor(mix, dtype=torch.float32, device=body.device)
        offsets = torch.as_tensor(proxy.offsets[list(IRISES)], dtype=torch.float32, device=body.device)
        self.offsets = offsets
        self.scales = [(int(body.local[a]), int(body.local[b]), float(d)) for a, b, d in proxy.scales]
        self.skin = self.mix @ body.weights
        self.bones = [body.bone_row["eye.L"], body.bone_row["eye.R"]]
        self.joints = body.joints[self.bones]

    def irises(self, posed: Posed) -> Float[Tensor, "b 2 3"]:
        """World positions of the iris centres."""
        rest = posed.rest
        scale = torch.stack([(rest[:, a, i] - rest[:, b, i]).abs() / d for i, (a, b, d) in enumerate(self.scales)], 1)
        points = torch.einsum("ev,bvj->bej", self.mix, rest) + self.offsets * scale[:, None]
        return skin_points(points, self.skin, posed.bones)

    def look(self, posed: Posed) -> tuple[Float[Tensor, "b 2 3"], Float[Tensor, "b 2 3"]]:
        """Centres of the eyeballs and unit axes through the pupils."""
        joints = torch.einsum("ev,bvj->bej", self.joints, posed.rest)
        bones = posed.bones[:, self.bones]
        centres = torch.einsum("beij,bej->bei", bones[..., :3], joints) + bones[..., 3]
        return centres, F.normalize(self.irises(posed) - centres, dim=-1)
