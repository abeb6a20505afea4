"""What a face does and how it is lit: pose, gaze, openings, expression, light. Trained by train/eyes/attributes.py.

What eyes and mouth do is read twice: from the whole crop, and, at full resolution, through windows on them
(`nn/windows.py`), which stand where the first reading sees them. The second reading is added to the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import Separable
from facegraft.nn.trunk import Trunk, TrunkConfig, soft_places
from facegraft.nn.weights import load_weights
from facegraft.nn.windows import WindowConfig, WindowNet, Windows

SIZE_PX = 128
MARGIN = 1.5
"""Side of the crop in sides of the square around the 468 points, eyes level: the landmarks network's crop."""
CHANNELS = (
    "brow_inner_up_left", "brow_inner_up_right", "brow_outer_up_left", "brow_outer_up_right", "brow_down_left",
    "brow_down_right", "lid_raised_left", "lid_raised_right", "lid_tight_left", "lid_tight_right", "cheek_raised_left",
    "cheek_raised_right", "nose_wrinkled", "nostrils_wide", "upper_lip_raised", "corner_up_left", "corner_up_right",
    "corner_down_left", "corner_down_right", "chin_raised", "lips_puckered", "lips_stretched", "lips_pressed",
    "lips_parted", "lips_tucked", "jaw_dropped", "jaw_left", "jaw_right", "mouth_left", "mouth_right", "cheeks_puffed",
    "cheeks_sucked", "tongue_out",
)  # fmt: skip
"""Of the expression: action units of the Facial Action Coding System (Ekman and Friesen), by what they do. Left and
right are the frame's."""
OPENINGS = ("left_eye", "right_eye", "mouth")
DEGREES = (30.0, 15.0)
"""Of pose and of gaze for an output of 1."""
SIGMA_RANGE = (-1.0, 4.0)
"""Of the logarithm of gaze's sigma in degrees."""
FIRST_UNIT, LEAST_UNIT = 0.34, 0.05
"""Distance of the outer eye corners of an ordinary crop, in its sides, and what it is never said to be below."""


@dataclass(frozen=True)
class AttributesConfig:
    """Size of the network."""

    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    hidden: int = 96
    """Numbers between the trunk's code and each of the answers."""
    window: WindowConfig = field(default_factory=WindowConfig)
    """Of the network that looks at the eyes, and of the one that looks at the mouth."""
    eye_half: float = 0.36
    """Half the side of an eye's window, in distances of the outer eye corners in space."""
    mouth_half: float = 0.5


@dataclass(frozen=True)
class Read:
    """What training needs to know of a crop; see `Attributes.forward` for the units.

    Attributes:
        places: Middles of the eye at the left of the frame, of the other one and of the mouth, in crop sides.
        unit: Distance of the outer eye corners in space, in crop sides.
    """

    pose: Float[Tensor, "b 3"]
    gaze: Float[Tensor, "b 2 2"]
    gaze_log_sigma: Float[Tensor, "b 2 2"]
    opening: Float[Tensor, "b 3"]
    expression: Float[Tensor, "b e"]
    light: Float[Tensor, "b 9 3"]
    places: Float[Tensor, "b 3 2"]
    unit: Float[Tensor, "b"]


class Attributes(nn.Module):
    """Crop -> attributes."""

    kept_exact = ("trunk.stem", "trunk.fine", "places", "unit")
    """Parts that export never stores in float16: windows stand where these say, so all the rest hangs on them."""

    def __init__(self, config: AttributesConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk, SIZE_PX)

        whole, seen = config.trunk.code, config.window.code

        def answer(size: int, given: int = whole) -> nn.Sequential:
            return nn.Sequential(nn.Linear(given, config.hidden), nn.ReLU(), nn.Linear(config.hidden, size))

        self.pose, self.gaze, self.opening = answer(3), answer(8), answer(len(OPENINGS))
        self.expression, self.light = answer(len(CHANNELS)), answer(27)
        fine = config.trunk.widths[1]
        self.places = nn.Sequential(Separable(fine, fine, 5), Separable(fine, fine, 5), nn.Conv2d(fine, 3, 1))
        self.unit = nn.Linear(whole + 6, 1)
        nn.init.normal_(self.unit.weight, std=1e-3)
        nn.init.constant_(self.unit.bias, FIRST_UNIT)
        self.eye, self.mouth = WindowNet(config.window), WindowNet(config.window)
        self.gaze_seen = answer(8, whole + 2 * seen)
        self.doing_seen = answer(len(OPENINGS) + len(CHANNELS), whole + 3 * seen)

    def forward(
        self, crop: Float[Tensor, "b 3 128 128"]
    ) -> tuple[
        Float[Tensor, "b 3"],
        Float[Tensor, "b 2 2"],
        Float[Tensor, "b 2 2"],
        Float[Tensor, "b 3"],
        Float[Tensor, "b e"],
        Float[Tensor, "b 9 3"],
    ]:
        """Pose, gaze, gaze's sigma, openings, expression, light.

        Args:
            crop: RGB, 0..1.

        Returns:
            Yaw, pitch, roll in degrees as `core.types.Faces` has them; yaw and pitch of the eye at the left of the
            frame and of the other one in the head, degrees, and their standard deviations; gap over width of
            `OPENINGS`; weights 0..1 of `CHANNELS`; spherical harmonics of the light in the order of
            `data/synth/light.py`, so that the mean of the first row is 1.
        """
        read = self.read(crop)
        light = read.light / read.light[:, :1].mean(2, keepdim=True).clamp(min=0.1)
        sigma = read.gaze_log_sigma.exp()
        return read.pose, read.gaze, sigma, read.opening.clamp(min=0), read.expression.clamp(0, 1), light

    def read(
        self,
        crop: Float[Tensor, "b 3 128 128"],
        known: tuple[Float[Tensor, "b c h w"], Float[Tensor, "b n"]] | None = None,
    ) -> Read:
        """The same, as training needs it.

        Args:
            crop: RGB, 0..1.
            known: What the trunk says of it, where it has been asked already: map and code.
        """
        fine, code = self.trunk.fine_and_code(crop) if known is None else known
        places = soft_places(self.places(fine))[1] / 2 + 0.5
        unit = self.unit(torch.cat([code, places.detach().flatten(1)], 1))[:, 0].clamp(min=LEAST_UNIT)
        eyes, mouth = self.look(crop, self.windows(places.detach(), unit.detach()))
        gaze = (self.gaze(code) + self.gaze_seen(torch.cat([code, eyes], 1))).unflatten(1, (2, 2, 2))
        doing = self.doing_seen(torch.cat([code, eyes, mouth], 1))
        return Read(
            pose=self.pose(code) * DEGREES[0],
            gaze=gaze[:, 0] * DEGREES[1],
            gaze_log_sigma=(gaze[:, 1] + 2).clamp(*SIGMA_RANGE),
            opening=self.opening(code) + doing[:, : len(OPENINGS)],
            expression=self.expression(code) + doing[:, len(OPENINGS) :],
            light=self.light(code).unflatten(1, (9, 3)),
            places=places,
            unit=unit,
        )

    def look(
        self, crop: Float[Tensor, "b 3 128 128"], windows: Windows
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b m"]]:
        """What sums up both eyes, and what sums up the mouth."""
        if self.training:
            windows = windows.jittered()
        seen = windows.look(crop * 2 - 1, self.config.window.side_px)
        eyes, count = self.eye(seen[:2].flatten(0, 1)), crop.shape[0]
        return torch.cat([eyes[:count], eyes[count:]], 1), self.mouth(seen[2])

    def windows(self, places: Float[Tensor, "b 3 2"], unit: Float[Tensor, "b"]) -> Windows:
        """On the left eye, on the right one, mirrored, and on the mouth."""
        halves = unit.new_tensor([self.config.eye_half, self.config.eye_half, self.config.mouth_half])
        axis = places[:, 1] - places[:, 0]
        return Windows.level_with(axis, places, unit[:, None] * halves, (False, True, False))


def load(path: Path, config: AttributesConfig | None = None) -> Attributes:
    """A trained network, ready to be asked.

    Raises:
        BadInputError: The file holds the weights of something else.
    """
    net = Attributes(config or AttributesConfig())
    load_weights(path, net)
    return net.eval()
