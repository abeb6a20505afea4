"""Templates against published numbers; crops against their way back."""

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.geometry import transform
from facegraft.faces.align import POSE_TEMPLATES_112, TEMPLATES, align, alignment, best_pose_alignment, template_points
from tests.faces.drawn import one_face


def test_the_five_point_order_is_eyes_nose_mouth() -> None:
    for name in TEMPLATES:
        left_eye, right_eye, nose, left_mouth, right_mouth = template_points(name, 100)
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < nose[0] < right_mouth[0]
        assert left_eye[1] < nose[1] < left_mouth[1]


@pytest.mark.parametrize(
    ("name", "size", "left_eye"),
    [
        # between pixel centres at the native size: the published number itself, half a pixel on
        ("arcface_112_v2", 112, (38.2946 + 0.5, 51.6963 + 0.5)),
        ("arcface_128", 128, (46.2946 + 0.5, 51.6963 + 0.5)),
        ("ffhq", 512, (192.98138 + 0.5, 239.94708 + 0.5)),
        ("arcface_112_v1", 112, (39.73 + 0.5, 51.138 + 0.5)),
    ],
)
def test_native_sizes_are_the_published_numbers(name: str, size: int, left_eye: tuple[float, float]) -> None:
    np.testing.assert_allclose(template_points(name, size)[0], left_eye, atol=2e-3)


@pytest.mark.parametrize("size", [128, 256, 512])
def test_the_half_pixel_of_other_sizes(size: int) -> None:
    """Run at R, a 128 px template needs R / 256 - 0.5 px more than plain scaling (counted between pixel centres)."""
    between_centres = template_points("arcface_128", size) - 0.5
    scaled = (template_points("arcface_128", 128) - 0.5) * size / 128
    np.testing.assert_allclose(between_centres - scaled, size / 256 - 0.5, atol=1e-4)


def test_arcface_128_is_the_112_crop_with_a_wider_view() -> None:
    """A published oracle: from the 128 to the 112 crop, the scale in units of the side is 0.875 and y shifts."""
    points = template_points("arcface_112_v2", 112)
    wide = alignment(points, "arcface_128", 128)
    np.testing.assert_allclose(wide, [[1, 0, 8], [0, 1, 0]], atol=1e-4)


def test_every_template_fits_itself_exactly() -> None:
    for name in TEMPLATES:
        points = template_points(name, 256)
        np.testing.assert_allclose(alignment(points, name, 256), [[1, 0, 0], [0, 1, 0]], atol=1e-4)


def test_pose_templates_find_their_own_pose() -> None:
    for name, points in POSE_TEMPLATES_112.items():
        found, _ = best_pose_alignment(np.array(points, np.float32) * 3 + 40, 224)
        assert found == name


def test_a_crop_leads_back_to_the_frame() -> None:
    frame, faces = one_face()
    (crop,) = align(frame, faces, "ffhq", 256)
    assert crop.image.shape == (256, 256, 3)
    corners = np.array([[0, 0], [256, 256]], np.float32)
    np.testing.assert_allclose(transform(crop.matrix, crop.to_frame(corners)), corners, atol=1e-2)
    # the pixel under the nose is the same in both
    nose = faces.points5[0, 2]
    in_crop = transform(crop.matrix, nose[None])[0]
    colour = crop.image[int(in_crop[1]), int(in_crop[0])].astype(int)
    assert np.abs(colour - frame[int(nose[1]), int(nose[0])]).max() < 25


def test_unknown_template_and_tiny_size_are_refused() -> None:
    frame, faces = one_face()
    with pytest.raises(BadInputError, match="there are"):
        align(frame, faces, "ffhq_1024", 256)
    with pytest.raises(BadInputError, match="at least 8"):
        align(frame, faces, "ffhq", 4)
