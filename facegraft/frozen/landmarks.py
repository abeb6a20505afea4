"""Where the points of a face are: 468 of the mesh, 68 landmarks, two irises. Trained by train/eyes/landmarks.py.

Points are a mean plus a sum of learnt directions (a linear shape model as its last layer, after 3DMM and PCA heads such
as 3DDFA's, arXiv:2009.09960), so all of them move like a face even where a hand covers most of them. Each point has a
standard deviation, as in Wood et al. (arXiv:2204.02776), and says whether it can be seen.

That first answer is too coarse for lids and lips. It places a window on each eye and on the mouth (`nn/windows.py`),
and what is seen there at full resolution moves the points around them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.trunk import Trunk, TrunkConfig
from facegraft.nn.weights import load_weights
from facegraft.nn.windows import WindowConfig, WindowNet, Windows

SIZE_PX = 128
MARGIN = 1.5
"""Side of the crop in sides of the square around the 468 points, eyes level."""
DENSE, SPARSE, IRISES = 468, 68, 2
POINTS = DENSE + SPARSE + IRISES
"""468 of faces/topology.py, the 68, the iris at the left of an upright face, the other one."""
SIGMA_RANGE = (-7.0, 0.0)
"""Of log sigma; sigma in crop sides."""
LEFT_EYE_POINTS = (
    7, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, 46, 47, 52, 53, 55, 56, 63, 65, 66, 70, 100, 105, 107, 110, 112,
    113, 114, 119, 120, 121, 128, 130, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 189, 190,
    221, 222, 223, 224, 225, 226, 228, 229, 230, 231, 232, 233, 243, 244, 245, 246, 247,
    *(DENSE + point for point in (17, 18, 19, 20, 21, 36, 37, 38, 39, 40, 41)), DENSE + SPARSE,
)  # fmt: skip
"""Lids, what lies around them, brow and iris at the left of the frame."""
RIGHT_EYE_POINTS = (
    249, 252, 253, 254, 255, 256, 257, 258, 259, 260, 261, 263, 276, 277, 282, 283, 285, 286, 293, 295, 296, 300,
    329, 334, 336, 339, 341, 342, 343, 348, 349, 350, 357, 359, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387,
    388, 390, 398, 413, 414, 441, 442, 443, 444, 445, 446, 448, 449, 450, 451, 452, 453, 463, 464, 465, 466, 467,
    *(DENSE + point for point in (26, 25, 24, 23, 22, 45, 44, 43, 42, 47, 46)), DENSE + SPARSE + 1,
)  # fmt: skip
"""Each one's twin."""
MOUTH_POINTS = (
    0, 2, 11, 12, 13, 14, 15, 16, 17, 18, 37, 38, 39, 40, 41, 42, 61, 62, 72, 73, 74, 76, 77, 78, 80, 81, 82, 83,
    84, 85, 86, 87, 88, 89, 90, 91, 94, 95, 96, 97, 106, 141, 146, 164, 167, 178, 179, 180, 181, 182, 183, 184, 185,
    191, 200, 201, 267, 268, 269, 270, 271, 272, 291, 292, 302, 303, 304, 306, 307, 308, 310, 311, 312, 313, 314,
    315, 316, 317, 318, 319, 320, 321, 324, 325, 326, 335, 370, 375, 393, 402, 403, 404, 405, 406, 407, 408, 409,
    415, 421, *range(DENSE + 48, DENSE + 68),
)  # fmt: skip
"""Lips and what lies around them."""
EYE_CORNERS = ((33, 133), (362, 263))
MOUTH_ENDS = (61, 291, 0, 17)
"""Corners, and the middles of the lips' outer edges."""
MOVE = 0.1
"""In half sides of its window, how far an output of 1 moves a point."""


@dataclass(frozen=True)
class LandmarksConfig:
    """Size of the network."""

    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    directions: int = 128
    """In which the points move together."""
    doubts: int = 96
    """Numbers from which sigma and visibility of all points are made."""
    window: WindowConfig = field(default_factory=WindowConfig)
    """Of the network that looks at the eyes, and of the one that looks at the mouth."""
    eye_half: float = 0.36
    """Half the side of an eye's window, in distances of the outer eye corners in space."""
    mouth_half: float = 0.5
    hidden: int = 64
    """Numbers from which the moves of a window's points are made."""


@dataclass(frozen=True)
class Told:
    """What training needs to know of a crop.

    Attributes:
        points: x, y in crop sides; z in the same unit, 0 at the eyes, smaller = nearer.
        log_sigma: Of x and y.
        visible: Logits.
        presence: Logits.
        first: The points before the windows moved some of them.
    """

    points: Float[Tensor, "b 538 3"]
    log_sigma: Float[Tensor, "b 538"]
    visible: Float[Tensor, "b 538"]
    presence: Float[Tensor, "b"]
    first: Float[Tensor, "b 538 3"]


class Mover(nn.Module):
    """Code of a window and its points of the first answer -> how they move, and changes of log sigma and visibility.

    It begins by moving nothing.
    """

    def __init__(self, code: int, points: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(code + 2 * points, hidden), nn.ReLU())
        self.change = nn.Linear(hidden, 4 * points)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, code: Float[Tensor, "b c"], inside: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k 4"]:
        """Move in half sides of the window, log sigma, logit."""
        change = self.change(self.body(torch.cat([code, inside.flatten(1)], 1))).unflatten(1, (-1, 4))
        return torch.cat([change[..., :2] * MOVE, change[..., 2:]], -1)


class Landmarks(nn.Module):
    """Crop -> points, sigma, visible, presence.

    Attributes:
        seen: Points that windows move.
        window: Window of each.
        middle: Which points' mean is the middle of each window.
        row: Place of each of the 538 points among these; the next one after them for those that stay.
    """

    seen: Tensor
    window: Tensor
    middle: Tensor
    row: Tensor
    kept_exact = ("trunk.stem", "shape")
    """Few weights on which all else stands: a small file keeps them in float32."""

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
        self.eye, self.mouth = WindowNet(config.window), WindowNet(config.window)
        self.move_eye = Mover(config.window.code, len(LEFT_EYE_POINTS), config.hidden)
        self.move_mouth = Mover(config.window.code, len(MOUTH_POINTS), config.hidden)
        seen = (*LEFT_EYE_POINTS, *RIGHT_EYE_POINTS, *MOUTH_POINTS)
        row = torch.full((POINTS,), len(seen))
        row[list(seen)] = torch.arange(len(seen))
        sizes = [len(LEFT_EYE_POINTS), len(RIGHT_EYE_POINTS), len(MOUTH_POINTS)]
        self.register_buffer("seen", torch.tensor(seen), persistent=False)
        self.register_buffer("window", torch.arange(3).repeat_interleave(torch.tensor(sizes)), persistent=False)
        self.register_buffer("row", row, persistent=False)
        middle = torch.zeros(3, POINTS)
        for number, ends in enumerate((*EYE_CORNERS, MOUTH_ENDS)):
            middle[number, list(ends)] = 1 / len(ends)
        self.register_buffer("middle", middle, persistent=False)
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

    def tell(self, crop: Float[Tensor, "b 3 128 128"], code: Float[Tensor, "b n"] | None = None) -> Told:
        """The same, as training needs it.

        Args:
            crop: RGB, 0..1.
            code: The trunk's, where it is known already.
        """
        code = self.trunk(crop) if code is None else code
        doubts = self.doubts(code)
        first = self.points(self.shape(code)).unflatten(1, (POINTS, 3))
        change = self.look_again(crop, first.detach())
        return Told(
            points=first + torch.cat([change[..., :2], torch.zeros_like(change[..., :1])], -1),
            log_sigma=(self.sigma(doubts) + change[..., 2]).clamp(*SIGMA_RANGE),
            visible=self.visible(doubts) + change[..., 3],
            presence=self.presence(code)[:, 0],
            first=first,
        )

    def look_again(
        self, crop: Float[Tensor, "b 3 128 128"], first: Float[Tensor, "b 538 3"]
    ) -> Float[Tensor, "b 538 4"]:
        """What windows change of a first answer: x and y in crop sides, log sigma, logit of visibility; 0 elsewhere."""
        windows = self.windows(first)
        if self.training:
            windows = windows.jittered()
        seen = windows.look(crop * 2 - 1, self.config.window.side_px)
        at = windows.inside(first[..., :2].index_select(1, self.seen), self.window)
        eyes, count = len(LEFT_EYE_POINTS), crop.shape[0]
        of_eyes = self.move_eye(self.eye(seen[:2].flatten(0, 1)), torch.cat([at[:, :eyes], at[:, eyes : 2 * eyes]]))
        of_mouth = self.move_mouth(self.mouth(seen[2]), at[:, 2 * eyes :])
        change = torch.cat([of_eyes[:count], of_eyes[count:], of_mouth], 1)
        placed = torch.cat([windows.moves(change[..., :2], self.window), change[..., 2:]], -1)
        return F.pad(placed, (0, 0, 0, 1)).index_select(1, self.row)

    def windows(self, first: Float[Tensor, "b 538 3"]) -> Windows:
        """On the left eye, on the right one, mirrored, and on the mouth."""
        outer = first[:, EYE_CORNERS[1][1]] - first[:, EYE_CORNERS[0][0]]
        halves = outer.new_tensor([self.config.eye_half, self.config.eye_half, self.config.mouth_half])
        # In space, so that windows do not shrink when a head turns.
        unit = outer.norm(dim=1, keepdim=True)
        return Windows.level_with(outer[:, :2], self.middle @ first[..., :2], unit * halves, (False, True, False))


def load(path: Path, config: LandmarksConfig | None = None) -> Landmarks:
    """A trained network, ready to be asked.

    Raises:
        BadInputError: The file holds the weights of something else.
    """
    net = Landmarks(config or LandmarksConfig())
    load_weights(path, net)
    return net.eval()
