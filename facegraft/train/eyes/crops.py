"""Random square crops of faces, made for a whole batch, with everything that is known of them moved along exactly.

A crop is a matrix per picture, from its pixels to the crop's (the first pixel's centre is (0.5, 0.5)), which also
holds the flip. `draw_crops` draws them around known points; `cut` samples pictures, `cut_labels` label planes; the
`move_` functions move points, angles and light. Names and order of left and right follow a flip by `mirror_points`.
Random numbers come from the generator given, which lives on the CPU.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from torch import Tensor

from facegraft.faces.topology import EYE_CENTRES, twins

Matrices = Float[Tensor, "b 2 3"]
"""From pixels of a picture to pixels of its crop."""
LARGEST_REDUCTION = 4


@dataclass(frozen=True)
class CropOptions:
    """How crops are drawn around a face.

    Attributes:
        size_px: Side of the crop.
        margin: Side of the crop in sides of the box around the points, before it is jittered.
        shift: Moved by up to this share of the crop's side, in x and in y.
        scale: Range of a factor on the crop's side; its logarithm is even.
        roll_degrees: Turned by up to this, from where the eyes are level.
        wild_share: Share of the crops that are turned by up to `wild_roll_degrees` instead.
        wild_roll_degrees: See there.
        flip: Chance of a flip.
    """

    size_px: int = 128
    margin: float = 1.5
    shift: float = 0.12
    scale: tuple[float, float] = (0.8, 1.3)
    roll_degrees: float = 25.0
    wild_share: float = 0.1
    wild_roll_degrees: float = 45.0
    flip: float = 0.5


@dataclass(frozen=True)
class Crops:
    """One crop per picture.

    Attributes:
        matrix: From the picture's pixels to the crop's; mirrors where `flip`.
        flip: Which are flipped.
        size_px: Side of the crops.
    """

    matrix: Matrices
    flip: Bool[Tensor, "b"]
    size_px: int

    def to(self, device: torch.device) -> Crops:
        return Crops(self.matrix.to(device), self.flip.to(device), self.size_px)


def draw_crops(dense: Float[Tensor, "b k d"], options: CropOptions, generator: torch.Generator) -> Crops:
    """Random crops around the 468 points of faces; each as large as analysis would cut it, but for the jitter."""
    count = len(dense)
    u = torch.rand((6, count), generator=generator)
    low, high = math.log(options.scale[0]), math.log(options.scale[1])
    wild = u[4] < options.wild_share
    most = torch.where(wild, options.wild_roll_degrees, options.roll_degrees)
    return place_crops(
        dense,
        options,
        shift=(2 * u[:2].T - 1) * options.shift,
        scale=torch.exp(low + (high - low) * u[2]),
        turn_degrees=(2 * u[3] - 1) * most,
        flip=u[5] < options.flip,
    )


def centred_crops(dense: Float[Tensor, "b k d"], options: CropOptions) -> Crops:
    """The crops as analysis cuts them: eyes level, not jittered, not flipped."""
    zeros = torch.zeros(len(dense))
    return place_crops(
        dense, options, shift=torch.zeros(len(dense), 2), scale=zeros + 1, turn_degrees=zeros, flip=zeros > 0
    )


def place_crops(
    dense: Float[Tensor, "b k d"],
    options: CropOptions,
    *,
    shift: Float[Tensor, "b 2"],
    scale: Float[Tensor, "b"],
    turn_degrees: Float[Tensor, "b"],
    flip: Bool[Tensor, "b"],
) -> Crops:
    """Crops that miss the right square by this much.

    Args:
        dense: The 468 points, pixels.
        options: For size and margin.
        shift: Where the face's middle lands, off the crop's middle, in crop sides.
        scale: Factor on the crop's side.
        turn_degrees: How far the face is turned clockwise in the crop, from where its eyes are level.
        flip: Exchange left and right, after all else.
    """
    middle, side, roll = face_squares(dense)
    angle = torch.deg2rad(turn_degrees.to(dense)) - roll
    zoom = options.size_px / (side * options.margin * scale.to(dense))
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    linear = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    goal = (shift.to(dense) + 0.5) * options.size_px
    matrix = torch.cat([linear, (goal - (linear @ middle[:, :, None])[..., 0])[:, :, None]], 2)
    return Crops(flipped(matrix, flip.to(dense.device), options.size_px), flip.to(dense.device), options.size_px)


def flipped(matrix: Matrices, flip: Bool[Tensor, "b"], size_px: int) -> Matrices:
    """The matrices, followed by an exchange of left and right where `flip`."""
    sign = torch.where(flip, -1.0, 1.0).to(matrix)
    x = matrix[:, 0] * sign[:, None]
    x = torch.cat([x[:, :2], (x[:, 2] + flip.to(matrix) * size_px)[:, None]], 1)
    return torch.stack([x, matrix[:, 1]], 1)


def face_squares(
    dense: Float[Tensor, "b k d"],
) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b"], Float[Tensor, "b"]]:
    """Middle and side of the square around the 468 points of each face, upright as its eyes are, and its roll.

    As `faces/analyse.py` has it. Roll in radians, positive = clockwise.
    """
    flat = dense[..., :2]
    left, right = (flat[:, list(ring)].mean(1) for ring in EYE_CENTRES)
    across = right - left
    roll = torch.atan2(across[:, 1], across[:, 0])
    cosine, sine = roll.cos(), roll.sin()
    turn = torch.stack([torch.stack([cosine, sine], 1), torch.stack([-sine, cosine], 1)], 1)
    upright = flat @ turn.mT
    low, high = upright.amin(1), upright.amax(1)
    middle = (((low + high) / 2)[:, None] @ turn)[:, 0]
    return middle, (high - low).amax(1), roll


def sampling_places(matrix: Matrices, size_px: int) -> Float[Tensor, "b s s 2"]:
    """x, y in the picture's pixels of each pixel's centre of the crop."""
    at = torch.arange(size_px, dtype=matrix.dtype, device=matrix.device) + 0.5
    back = torch.linalg.inv(matrix[:, :, :2])
    start = -(back @ matrix[:, :, 2:])[..., 0]
    x, y = at[None, None, :, None], at[None, :, None, None]
    return x * back[:, None, None, :, 0] + y * back[:, None, None, :, 1] + start[:, None, None]


def cut(
    images: Shaped[Tensor, "b c h w"], matrix: Matrices, size_px: int, *, outside: str = "border"
) -> Float[Tensor, "b c s s"]:
    """Crops of pictures or of planes of shares.

    Where a picture shrinks, as many samples are averaged per pixel as it takes to read all of it, up to 4 x 4.

    Args:
        images: uint8 is divided by 255, floats are taken as they are.
        matrix: One per picture.
        size_px: Side of the crops.
        outside: What lies beyond the border: "border" repeats it, as analysis does, "reflection" mirrors, "zeros".
    """
    shrinks = 1 / torch.linalg.det(matrix[:, :, :2]).abs().sqrt()
    factors = (shrinks - 0.25).ceil().clamp(1, LARGEST_REDUCTION).long()
    values = images.to(matrix.dtype)
    if images.dtype == torch.uint8:
        values = values / 255
    steps: list[int] = factors.unique().tolist()
    if len(steps) == 1:
        return _sampled(values, matrix, size_px, steps[0], outside)
    out = values.new_empty((len(images), images.shape[1], size_px, size_px))
    for factor in steps:
        index = (factors == factor).nonzero()[:, 0]
        out[index] = _sampled(values[index], matrix[index], size_px, factor, outside)
    return out


def _sampled(values: Tensor, matrix: Tensor, size_px: int, factor: int, outside: str) -> Tensor:
    height, width = values.shape[-2:]
    size = torch.tensor([width, height]).to(matrix)
    grid = sampling_places(matrix * factor, size_px * factor) * (2 / size) - 1
    made = F.grid_sample(values, grid, "bilinear", padding_mode=outside, align_corners=False)
    return F.avg_pool2d(made, factor) if factor > 1 else made


def cut_labels(
    planes: Shaped[Tensor, "b h w"], matrix: Matrices, size_px: int, *, outside: int | None = None
) -> Shaped[Tensor, "b s s"]:
    """Crops of planes of labels: the label of the pixel in which a crop's pixel has its centre.

    Args:
        planes: Any type, which stays.
        matrix: One per plane.
        size_px: Side of the crops.
        outside: Label beyond the border; None repeats the border's.
    """
    height, width = planes.shape[-2:]
    places = sampling_places(matrix, size_px).floor().long()
    x, y = places[..., 0], places[..., 1]
    at = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    found = planes.flatten(1).gather(1, at.flatten(1)).reshape(at.shape)
    if outside is None:
        return found
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return torch.where(inside, found, torch.full_like(found, outside))


def inside_picture(size_hw: tuple[int, int], matrix: Matrices, size_px: int) -> Bool[Tensor, "b s s"]:
    """Which pixels of the crops have their centres in the picture."""
    places = sampling_places(matrix, size_px)
    limit = torch.tensor([size_hw[1], size_hw[0]]).to(places)
    return ((places >= 0) & (places < limit)).all(-1)


def move_points(points: Float[Tensor, "b k d"], matrix: Matrices) -> Float[Tensor, "b k d"]:
    """Points to where the crop shows them; a third coordinate is scaled. Their order stays, see `mirror_points`."""
    flat = points[..., :2] @ matrix[:, :, :2].mT + matrix[:, None, :, 2]
    zoom = torch.linalg.det(matrix[:, :, :2]).abs().sqrt()
    return torch.cat([flat, points[..., 2:] * zoom[:, None, None]], -1)


def mirror_points(values: Shaped[Tensor, "b k *d"], flip: Bool[Tensor, "b"]) -> Shaped[Tensor, "b k *d"]:
    """Exchanges what belongs to left and right in flipped rows: 2 (eyes), 68, 468, or 538 = 468 + 68 + 2 rows."""
    twins = values.index_select(1, mirror_table(values.shape[1]).to(values.device))
    return torch.where(flip.reshape(-1, *[1] * (values.ndim - 1)), twins, values)


@functools.cache
def mirror_table(count: int) -> Int64[Tensor, "k"]:
    """Each point's twin, of 2, 68, 468 or 538 points."""
    return torch.from_numpy(twins(count)).long()


def turn_of(crops: Crops) -> Float[Tensor, "b"]:
    """How far each crop turns its picture, radians, clockwise, before the flip."""
    sign = torch.where(crops.flip, -1.0, 1.0).to(crops.matrix)
    return torch.atan2(crops.matrix[:, 1, 0], crops.matrix[:, 0, 0] * sign)


def move_pose(pose_degrees: Float[Tensor, "b 3"], crops: Crops) -> Float[Tensor, "b 3"]:
    """Yaw, pitch, roll of `core.types.Faces` as the crop shows them; roll in -180..180."""
    sign = torch.where(crops.flip, -1.0, 1.0).to(pose_degrees)
    roll = sign * (pose_degrees[:, 2] + torch.rad2deg(turn_of(crops)))
    roll = torch.remainder(roll + 180, 360) - 180
    return torch.stack([pose_degrees[:, 0] * sign, pose_degrees[:, 1], roll], 1)


def move_gaze(gaze_degrees: Float[Tensor, "b 2 2"], flip: Bool[Tensor, "b"]) -> Float[Tensor, "b 2 2"]:
    """Yaw and pitch of two eyes in the head: flipped, the eyes change places and look the other way."""
    sign = torch.stack([torch.where(flip, -1.0, 1.0), torch.ones(len(flip), device=flip.device)], 1)
    return mirror_points(gaze_degrees, flip) * sign[:, None].to(gaze_degrees)


def move_light(light: Float[Tensor, "b 9 3"], crops: Crops) -> Float[Tensor, "b 9 3"]:
    """Spherical harmonics (x right, y up, z to the camera; order of `harmonic_basis` of data/synth/light.py).

    About the view axis, (x, y) and (zx, yz) turn as vectors do, (xx-yy, xy) by twice the angle; a flip negates x, xy
    and zx.
    """
    one, y, z, x, xy, yz, zz, zx, xx = light.unbind(1)
    angle = turn_of(crops).to(light)[:, None]
    x, y = _turned(x, y, angle)
    zx, yz = _turned(zx, yz, angle)
    xx, xy = _turned(xx, xy, 2 * angle)
    sign = torch.where(crops.flip, -1.0, 1.0).to(light)[:, None]
    return torch.stack([one, y, z, x * sign, xy * sign, yz, zz, zx * sign, xx], 1)


def _turned(x: Tensor, y: Tensor, clockwise: Tensor) -> tuple[Tensor, Tensor]:
    """Of vectors x right, y up."""
    cosine, sine = clockwise.cos(), clockwise.sin()
    return x * cosine + y * sine, y * cosine - x * sine


def seen_at(
    planes: Float[Tensor, "b h w"] | UInt8[Tensor, "b h w"], points: Float[Tensor, "b k d"]
) -> Shaped[Tensor, "b k"]:
    """Values of planes at points in their pixels; the nearest border's for points outside."""
    height, width = planes.shape[-2:]
    x = points[..., 0].floor().long().clamp(0, width - 1)
    y = points[..., 1].floor().long().clamp(0, height - 1)
    return planes.flatten(1).gather(1, y * width + x)


def drawn_rows(count: int, among: int, generator: torch.Generator) -> Int64[Tensor, "b"]:
    """Which pictures a batch shows: drawn evenly, with replacement."""
    return torch.randint(among, (count,), generator=generator)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts of a batch one after the other; empty ones are left out."""
    kept = [part for part in parts if len(part)]
    return torch.cat(kept) if len(kept) > 1 else (kept or parts)[0]
