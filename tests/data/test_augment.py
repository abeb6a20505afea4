"""Changes of training pictures: labels follow pixels, batches equal their samples, chances are as stated."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from facegraft.data import augment as aug  # noqa: E402
from facegraft.data import reshape  # noqa: E402
from facegraft.data.augment import Change, Stage, augment, draw, generator_for  # noqa: E402
from facegraft.data.colours import PIVOT, Colour, draw_distortion, draw_jitter, recolour  # noqa: E402
from facegraft.data.moves import (  # noqa: E402
    Move,
    draw_elastic,
    mirrored,
    move_aligned,
    move_images,
    move_points,
    random_warp,
)
from facegraft.faces.topology import MIRROR_68, load_topology  # noqa: E402
from facegraft.tensors import Aligned  # noqa: E402
from tests.data.faces_drawn import drawn_face, mean_landmarks  # noqa: E402

SIZE = 64
STAGES = {
    f"{name} {side}": getattr(getattr(aug, name), side)
    for name in ("GAN", "TRIPLETS", "COLOUR", "DISTILLATION", "DIFFUSION", "DEEPFACELAB")
    for side in ("identity", "attribute", "mask")
}
EVERYTHING = Stage(
    flip=0.5,
    degrees=20.0,
    shift=0.1,
    zoom=0.2,
    elastic=0.7,
    jitter=(0.3, 0.3, 0.3, 0.1),
    grey=0.2,
    distorted=0.5,
    blur=0.5,
    rescaled=0.5,
    noisy=0.5,
    compressed=0.5,
    cutout=0.5,
)


def noise_images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand((count, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def full_aligned(count: int) -> Aligned:
    points = mean_landmarks(SIZE)
    topology = load_topology()
    dense = torch.from_numpy(topology.xyz) * SIZE / 4 + SIZE / 2
    regions = torch.arange(SIZE * SIZE).reshape(SIZE, SIZE).remainder(7).mul(2).to(torch.uint8)
    return Aligned(
        image=noise_images(count),
        mask=(noise_images(count)[:, :1] > 0).float(),
        regions=regions.expand(count, SIZE, SIZE),
        occluder=(noise_images(count, 1)[:, :1] > 0).float(),
        landmarks=points.expand(count, 68, 2),
        iris=points[[36, 45]].expand(count, 2, 2),
        dense=dense.expand(count, 468, 3),
        matrix=torch.tensor([[0.5, 0.1, 3.0], [-0.1, 0.5, 4.0]]).expand(count, 2, 3),
        pose_degrees=torch.tensor([[20.0, 5.0, 3.0]]).expand(count, 3),
        gaze_degrees=torch.tensor([[[10.0, 1.0], [12.0, 2.0]]]).expand(count, 2, 2),
    )


def fields(aligned: Aligned) -> dict[str, torch.Tensor]:
    return {entry.name: getattr(aligned, entry.name) for entry in dataclasses.fields(aligned)}


@pytest.mark.parametrize("stage", [*STAGES.values(), EVERYTHING], ids=[*STAGES, "everything"])
def test_a_picture_comes_out_the_same_in_any_batch(stage: Stage) -> None:
    aligned = full_aligned(6)
    changes = [draw(stage, generator_for(3, number)) for number in range(6)]
    together = fields(augment(aligned, changes))
    for row, change in enumerate(changes):
        alone = fields(augment(Aligned(**{k: v[row : row + 1] for k, v in fields(aligned).items()}), [change]))
        for name, value in alone.items():
            if name in {"image", "mask", "occluder", "regions"}:
                assert torch.equal(value[0], together[name][row]), name
            else:
                assert torch.allclose(value[0], together[name][row], atol=1e-4), name
    assert together["image"].abs().max() <= 1


def test_changes_depend_on_seed_number_and_side_alone() -> None:
    def numbers(change: Change) -> list[Any]:
        return [change.move.degrees, change.colour, change.cutout, change.noise, change.quality, change.seed]

    first = numbers(draw(EVERYTHING, generator_for(1, 7, 0)))
    assert first == numbers(draw(EVERYTHING, generator_for(1, 7, 0)))
    for other in (generator_for(2, 7, 0), generator_for(1, 8, 0), generator_for(1, 7, 1)):
        assert first != numbers(draw(EVERYTHING, other))


def test_hear_net_sees_three_of_four_faces_occluded_and_stage_one_a_fifth() -> None:
    for stages, share in ((aug.OCCLUDED, 0.75), (aug.GAN, 0.2)):
        drawn = [draw(stages.attribute, generator_for(0, number)).occluded for number in range(800)]
        assert np.mean(drawn) == pytest.approx(share, abs=0.06)
        assert not any(draw(stages.identity, generator_for(0, number)).occluded for number in range(50))


def test_chances_are_as_stated() -> None:
    stage = dataclasses.replace(EVERYTHING, grey=0.25, distorted=0.0, occluded=0.35, flip=0.4, blur=0.1)
    changes = [draw(stage, generator_for(0, number)) for number in range(2000)]
    found = {
        "flip": np.mean([change.move.flip for change in changes]),
        "blur": np.mean([change.blur_px > 0 for change in changes]),
        "occluded": np.mean([change.occluded for change in changes]),
        "elastic": np.mean([change.move.elastic is not None for change in changes]),
        "compressed": np.mean([change.quality < 100 for change in changes]),
    }
    for name, share in found.items():
        stated = getattr(stage, name)
        assert share == pytest.approx(stated, abs=4 * (stated * (1 - stated) / 2000) ** 0.5), name
    assert 40 <= min(change.quality for change in changes) < 45
    degrees = [change.move.degrees for change in changes]
    assert max(degrees) == pytest.approx(20, abs=0.3)
    assert min(degrees) == pytest.approx(-20, abs=0.3)


def test_an_idle_stage_changes_nothing_at_all() -> None:
    aligned = full_aligned(2)
    after = fields(augment(aligned, [draw(Stage(), generator_for(0, number)) for number in range(2)]))
    for name, value in fields(aligned).items():
        assert torch.equal(value, after[name]), name


@given(
    degrees=st.floats(-25, 25),
    zoom=st.floats(0.85, 1.2),
    shift=st.tuples(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08)),
    flip=st.booleans(),
    elastic=st.booleans(),
    x=st.floats(24, 40),
    y=st.floats(24, 40),
)
@settings(max_examples=40)
def test_points_follow_pixels(
    degrees: float, zoom: float, shift: tuple[float, float], flip: bool, elastic: bool, x: float, y: float
) -> None:
    offsets = draw_elastic(torch.Generator().manual_seed(5), cells=4, share=0.2) if elastic else None
    move = Move(flip=flip, degrees=degrees, zoom=zoom, shift_xy=shift, elastic=offsets)
    at = torch.arange(SIZE) + 0.5
    dot = torch.exp(-((at[None] - x) ** 2 + (at[:, None] - y) ** 2) / (2 * 2.0**2))[None, None]
    moved = move_images(dot, [move])[0, 0]
    share = moved / moved.sum()
    centre = torch.stack([(share * at[None]).sum(), (share * at[:, None]).sum()])
    point = move_points(torch.tensor([[[x, y]]]), [move], (SIZE, SIZE))[0, 0]
    assert torch.allclose(centre, point, atol=0.45 if elastic else 0.1)


def test_flipping_is_exact_and_undone_by_itself() -> None:
    aligned = full_aligned(3)
    flips = [Move(flip=True), Move(), Move(flip=True)]
    once = move_aligned(aligned, flips)
    assert torch.equal(once.image[0], aligned.image[0].flip(-1))
    assert torch.equal(once.image[1], aligned.image[1])
    assert once.regions is not None
    assert once.regions.dtype == torch.uint8
    twice = fields(move_aligned(once, flips))
    for name, value in fields(aligned).items():
        assert torch.allclose(twice[name].float(), value.float(), atol=1e-4), name


def test_flipped_labels_change_sides() -> None:
    assert [MIRROR_68[MIRROR_68[i]] for i in range(68)] == list(range(68))
    symmetric = mean_landmarks(SIZE)[None]
    middle = symmetric[:, 27:31, 0].mean()
    symmetric = symmetric + torch.tensor([SIZE / 2 - middle.item(), 0])
    flipped = mirrored(move_points(symmetric, [Move(flip=True)], (SIZE, SIZE)), [Move(flip=True)])
    assert (flipped - symmetric).abs().max() < 1.0  # the mean face is symmetric, to a pixel
    aligned = move_aligned(full_aligned(1), [Move(flip=True)])
    assert aligned.pose_degrees is not None
    assert aligned.gaze_degrees is not None
    assert aligned.pose_degrees[0].tolist() == [-20, 5, -3]
    assert aligned.gaze_degrees[0].tolist() == [[-12, 2], [-10, 1]]
    with pytest.raises(ValueError, match="found 5"):
        mirrored(torch.zeros(1, 5, 2), [Move(flip=True)])


@given(degrees=st.floats(-30, 30), zoom=st.floats(0.8, 1.2), flip=st.booleans())
@settings(max_examples=20)
def test_the_matrix_still_leads_from_the_frame_to_the_picture(degrees: float, zoom: float, flip: bool) -> None:
    aligned = full_aligned(1)
    assert aligned.matrix is not None
    move = Move(flip=flip, degrees=degrees, zoom=zoom, shift_xy=(0.05, -0.02))
    frame_point = torch.tensor([40.0, 60.0, 1.0])
    before = (aligned.matrix[0] @ frame_point)[None, None]
    moved = move_aligned(aligned, [move])
    assert moved.matrix is not None
    expected = move_points(before, [move], (SIZE, SIZE))[0, 0]
    assert torch.allclose(moved.matrix[0] @ frame_point, expected, atol=1e-3)


def test_turning_clockwise_rolls_clockwise() -> None:
    level = torch.tensor([[[20.0, 32.0], [44.0, 32.0]]])
    left, right = move_points(level, [Move(degrees=10.0)], (SIZE, SIZE))[0]
    assert right[1] > left[1]
    aligned = move_aligned(full_aligned(1), [Move(degrees=10.0)])
    assert aligned.pose_degrees is not None
    assert aligned.pose_degrees[0, 2].item() == 13


def test_regions_stay_labels() -> None:
    aligned = full_aligned(1)
    moved = move_aligned(aligned, [Move(degrees=13.0, zoom=1.1, elastic=torch.full((2, 3, 3), 0.01))])
    assert moved.regions is not None
    assert set(moved.regions.unique().tolist()) <= set(range(0, 14, 2))


def test_random_warp_folds_nowhere_and_keeps_the_border() -> None:
    for seed in range(30):
        grid = random_warp(torch.Generator().manual_seed(seed), SIZE)
        x, y = grid.unbind(-1)
        dx, dy = x.diff(dim=1)[:-1], y.diff(dim=0)[:, :-1]
        area = dx * dy - x.diff(dim=0)[:, :-1] * y.diff(dim=1)[:-1]
        assert area.min() > 0
        edge = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
        assert torch.allclose(y[0], torch.full((SIZE,), edge[0].item()), atol=1e-4)
        assert torch.allclose(x[:, -1], torch.full((SIZE,), edge[-1].item()), atol=1e-4)
        assert (x - edge[None]).abs().max() > 1e-4


def luma(images: torch.Tensor) -> torch.Tensor:
    return (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(-3)


def test_jitter_keeps_what_it_should() -> None:
    images = noise_images(1) * 0.3
    hue = draw_jitter(generator_for(0, 0), brightness=0.0, contrast=0.0, saturation=0.0, hue=0.3, grey=0.0)
    turned = recolour(images, [hue])
    assert torch.allclose(luma(turned), luma(images), atol=1e-5)
    assert (turned - images).abs().max() > 0.05
    grey = draw_jitter(generator_for(0, 0), brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grey=1.0)
    flat = recolour(images, [grey])
    assert (flat[:, 0] - flat[:, 2]).abs().max() < 1e-6
    assert torch.allclose(luma(flat), luma(images), atol=1e-5)
    contrast = recolour(images, [Colour(contrast=0.5)])
    middle = 2 * PIVOT - 1
    assert torch.allclose(contrast - middle, (images - middle) * 0.5, atol=1e-5)
    bright = recolour(images, [Colour(before=((1.2, 0.0, 0.0), (0.0, 1.2, 0.0), (0.0, 0.0, 1.2)))])
    assert torch.allclose((bright + 1) / 2, ((images + 1) / 2 * 1.2).clamp(0, 1), atol=1e-5)


def test_distortion_hides_the_colours() -> None:
    """The mean colour before says next to nothing about the mean colour after."""
    means, after = [], []
    for number in range(300):
        colour = torch.rand(3, generator=generator_for(0, number, 5))
        image = (colour[:, None, None] * 2 - 1).expand(1, 3, 4, 4)
        means.append(colour / colour.sum())
        done = recolour(image, [draw_distortion(generator_for(0, number))])[0].mean((1, 2)) / 2 + 0.5
        after.append(done / done.sum().clamp(min=1e-3))
    stacked = np.corrcoef(torch.stack(means)[:, 0].numpy(), torch.stack(after)[:, 0].numpy())[0, 1]
    assert abs(stacked) < 0.35


def test_truth_shares_move_and_colour_but_no_wear() -> None:
    change = next(c for n in range(99) if (c := draw(EVERYTHING, generator_for(0, n))).quality < 100 and c.noise)
    truth = aug.same_for_truth(change)
    assert (truth.move, truth.colour) == (change.move, change.colour)
    images = noise_images(1)
    assert torch.equal(aug.worn(images, [truth]), images)
    assert aug.without_elastic(dataclasses.replace(change, move=Move(elastic=torch.ones(2, 3, 3)))).move == Move()


def test_wear_loses_what_it_should() -> None:
    images = noise_images(1) * 0.5
    levels = aug.worn(images, [Change(quality=60.0)]) * 127.5 + 127.5
    assert (levels - levels.round()).abs().max() < 1e-3
    grain = aug.worn(images, [Change(noise=0.02, seed=4)]) - images
    assert grain.std().item() == pytest.approx(0.04, rel=0.1)
    hole = aug.worn(images, [Change(cutout=(0.25, 0.5, 0.5, 1.0), cutout_rgb=(1.0, 0.0, -1.0))])
    assert torch.equal(hole[0, :, 40, 20], torch.tensor([1.0, 0, -1]))
    assert torch.equal(hole[..., :32, :], images[..., :32, :])
    assert aug.worn(images, [Change(blur_px=1.5)]).std() < images.std()
    assert aug.worn(images, [Change(rescale=0.5)]).std() < images.std()


def test_landmark_noise_is_as_large_as_stated() -> None:
    landmarks = mean_landmarks(SIZE).expand(200, 68, 2)
    noisy = aug.jitter_landmarks(landmarks, [generator_for(0, n) for n in range(200)], 0.015)
    eyes = (landmarks[0, 36:42].mean(0) - landmarks[0, 42:48].mean(0)).norm()
    assert (noisy - landmarks).std().item() == pytest.approx(0.015 * eyes.item(), rel=0.1)


@pytest.mark.parametrize("amount", [-1.0, -0.4, 0.5, 1.0])
def test_reweighing_moves_the_jaw_and_holds_the_features(amount: float) -> None:
    size = 128
    points = mean_landmarks(size)
    edit = reshape.reweigh(drawn_face(size), points, amount)
    at = torch.stack(torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="xy"))
    width = (points[16] - points[0]).norm()

    def moved(index: int) -> torch.Tensor:
        """Where a landmark went: the new pixel that reads the old place."""
        miss = (at + edit.flow - points[index][:, None, None]).norm(dim=0)
        row, column = divmod(int(miss.argmin()), size)
        return at[:, row, column] - points[index]

    outwards = moved(13)[0] / width
    assert outwards.sign() == np.sign(amount)
    assert 0.3 * 0.12 * abs(amount) < outwards.abs() < 1.3 * 0.12 * abs(amount) + 0.5 / width
    eye_distance = (points[36:42].mean(0) - points[42:48].mean(0)).norm()
    for index in (37, 40, 44, 47, 30, 51, 57):
        assert moved(index).norm() < 0.03 * eye_distance + 0.75  # to the nearest pixel


@given(seed=st.integers(0, 10**6), amount=st.floats(0, 1), weight=st.floats(-1, 1), turn=st.floats(-40, 40))
@settings(max_examples=12)
def test_edits_fold_nowhere_and_are_what_they_say(seed: int, amount: float, weight: float, turn: float) -> None:
    size = 96
    points = move_points(mean_landmarks(size)[None], [Move(degrees=turn)], (size, size))[0]
    image = drawn_face(size)
    for edit in (
        reshape.reweigh(image, points, weight),
        reshape.age(image, points, amount, torch.Generator().manual_seed(seed)),
    ):
        dx, dy = edit.flow.diff(dim=2)[:, :-1], edit.flow.diff(dim=1)[..., :-1]
        assert ((1 + dx[0]) * (1 + dy[1]) - dx[1] * dy[0]).min() > 0.2
        again = (reshape.follow(image, edit) + 1) * edit.shade - 1
        assert torch.allclose(again.clamp(-1, 1), edit.image, atol=1e-5)


def test_no_edit_is_no_change() -> None:
    image, points = drawn_face(96), mean_landmarks(96)
    assert torch.allclose(reshape.reweigh(image, points, 0).image, image, atol=1e-5)
    edit = reshape.age(image, points, 0, torch.Generator())
    assert torch.equal(edit.shade, torch.ones_like(image))
    old = reshape.age(image, points, 1, torch.Generator())
    assert old.shade.min() < 0.9
    assert torch.equal(old.shade[:, :4], torch.ones(3, 4, 96))  # no wrinkles on the wall
    none = reshape.age(image, points, 1, torch.Generator(), skin=torch.zeros(1, 96, 96))
    assert torch.equal(none.shade, torch.ones_like(image))
