"""What a face does and how it is lit: pose, gaze, openings, expression, light. Trained by train/eyes/attributes.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.trunk import Trunk, TrunkConfig
from facegraft.nn.weights import load_weights

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


@dataclass(frozen=True)
class AttributesConfig:
    """Size of the network."""

    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    hidden: int = 96
    """Numbers between the trunk's code and each of the answers."""


@dataclass(frozen=True)
class Read:
    """What training needs to know of a crop; see `Attributes.forward` for the units."""

    pose: Float[Tensor, "b 3"]
    gaze: Float[Tensor, "b 2 2"]
    gaze_log_sigma: Float[Tensor, "b 2 2"]
    opening: Float[Tensor, "b 3"]
    expression: Float[Tensor, "b e"]
    light: Float[Tensor, "b 9 3"]


class Attributes(nn.Module):
    """Crop -> attributes."""

    def __init__(self, config: AttributesConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk, SIZE_PX)

        def answer(size: int) -> nn.Sequential:
            hidden = nn.Linear(config.trunk.code, config.hidden)
            return nn.Sequential(hidden, nn.ReLU(), nn.Linear(config.hidden, size))

        self.pose, self.gaze, self.opening = answer(3), answer(8), answer(len(OPENINGS))
        self.expression, self.light = answer(len(CHANNELS)), answer(27)

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

    def read(self, crop: Float[Tensor, "b 3 128 128"]) -> Read:
        """The same, as training needs it."""
        code = self.trunk(crop)
        gaze = self.gaze(code).unflatten(1, (2, 2, 2))
        return Read(
            pose=self.pose(code) * DEGREES[0],
            gaze=gaze[:, 0] * DEGREES[1],
            gaze_log_sigma=(gaze[:, 1] + 2).clamp(*SIGMA_RANGE),
            opening=self.opening(code),
            expression=self.expression(code),
            light=self.light(code).unflatten(1, (9, 3)),
        )


def load(path: Path, config: AttributesConfig | None = None) -> Attributes:
    """A trained network, ready to be asked.

    Raises:
        BadInputError: The file holds the weights of something else.
    """
    net = Attributes(config or AttributesConfig())
    load_weights(path, net)
    return net.eval()
