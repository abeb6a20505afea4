"""Where the points of a face are: 468 of the mesh, 68 landmarks, two irises. Trained by train/eyes/landmarks.py.

Points are a mean plus a sum of learnt directions (a linear shape model as its last layer, after 3DMM and PCA heads such
as 3DDFA's, arXiv:2009.09960), so all of them move like a face even where a hand covers most of them. Each point has a
standard deviation, as in Wood et al. (arXiv:2204.02776), and says whether it can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.trunk import Trunk, TrunkConfig
from facegraft.nn.weights import load_weights

SIZE_PX = 128
MARGIN = 1.5
"""Side of the crop in sides of the square around the 468 points, eyes level."""
DENSE, SPARSE, IRISES = 468, 68, 2
POINTS = DENSE + SPARSE + IRISES
"""468 of faces/topology.py, the 68, the iris at the left of an upright face, the other one."""
SIGMA_RANGE = (-7.0, 0.0)
"""Of log sigma; sigma in crop sides."""


@dataclass(frozen=True)
class LandmarksConfig:
    """Size of the network."""

    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    directions: int = 128
    """In which the points move together."""
    doubts: int = 96
    """Numbers from which sigma and visibility of all points are made."""


@dataclass(frozen=True)
class Told:
    """What training needs to know of a crop.

    Attributes:
        points: x, y in crop sides; z in the same unit, 0 at the eyes, smaller = nearer.
        log_sigma: Of x and y.
        visible: Logits.
        presence: Logits.
    """

    points: Float[Tensor, "b 538 3"]
    log_sigma: Float[Tensor, "b 538"]
    visible: Float[Tensor, "b 538"]
    presence: Float[Tensor, "b"]


class Landmarks(nn.Module):
    """Crop -> points, sigma, visible, presence."""

    def __init__(self, config: LandmarksConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk, SIZE_PX)
        code = config.trunk.code
        self.shape = nn.Linear(code, config.directions)
        self.points = nn.Linear(config.directions, POINTS * 3)
        self.doubts = nn.Sequential(nn.Linear(code, config.doubts), nn.ReLU())
        self.sigma = nn.Linear(config.doubts, POINTS)
        self.visible = nn.Linear(config.doubts, POINTS)
        self.presence = nn.Linear(code, 1)
        self.start_at(torch.tensor([0.5, 0.5, 0.0]).expand(POINTS, 3), torch.zeros(0, POINTS, 3))
        nn.init.constant_(self.sigma.bias, -3.5)

    def start_at(self, mean: Float[Tensor, "538 3"], directions: Float[Tensor, "r 538 3"]) -> None:
        """Sets the last layer: the points of a mean face, and the first directions in which faces differ.

        Args:
            mean: In crop sides.
            directions: Each as long as it is common; the rest stay small and random.
        """
        with torch.no_grad():
            self.points.bias.copy_(mean.reshape(-1))
            nn.init.normal_(self.points.weight, std=1e-3)
            kept = directions[: self.config.directions].flatten(1)
            self.points.weight[:, : len(kept)] = kept.T.to(self.points.weight)
            nn.init.normal_(self.shape.weight, std=0.03)
            nn.init.zeros_(self.shape.bias)

    def forward(
        self, crop: Float[Tensor, "b 3 128 128"]
    ) -> tuple[Float[Tensor, "b 538 3"], Float[Tensor, "b 538"], Float[Tensor, "b 538"], Float[Tensor, "b"]]:
        """Points and their sigma in crop sides, visible 0..1, presence 0..1: the chance that a face fills the crop.

        Args:
            crop: RGB, 0..1.
        """
        told = self.tell(crop)
        return told.points, told.log_sigma.exp(), told.visible.sigmoid(), told.presence.sigmoid()

    def tell(self, crop: Float[Tensor, "b 3 128 128"]) -> Told:
        """The same, as training needs it."""
        code = self.trunk(crop)
        doubts = self.doubts(code)
        points = self.points(self.shape(code)).unflatten(1, (POINTS, 3))
        return Told(points, self.sigma(doubts).clamp(*SIGMA_RANGE), self.visible(doubts), self.presence(code)[:, 0])


def load(path: Path, config: LandmarksConfig | None = None) -> Landmarks:
    """A trained network, ready to be asked.

    Raises:
        BadInputError: The file holds the weights of something else.
    """
    net = Landmarks(config or LandmarksConfig())
    load_weights(path, net)
    return net.eval()
