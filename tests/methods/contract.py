"""What every method must keep, tried on tiny ones: `check_method(method, tmp_path)` from its spec test."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.data.loader import REQUIRABLE
from facegraft.faces.align import TEMPLATES
from facegraft.frozen.nets import FrozenNets
from facegraft.methods._method import Method
from facegraft.nn.weights import load_weights, save_weights
from facegraft.tensors import Aligned, Record, Swap, SwapBatch

EMBEDDING = 16


class TinyIdentity(nn.Module):
    """A stand-in of a recogniser that is differentiable and tells pictures apart."""

    def __init__(self, embedding: int = EMBEDDING, channels: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.weight = nn.Parameter(torch.randn(channels, 3, 3, 3, generator=generator) / 3, requires_grad=False)
        self.last = nn.Parameter(torch.randn(embedding, channels * 49, generator=generator), requires_grad=False)

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        held = F.adaptive_avg_pool2d(torch.tanh(F.conv2d(images, self.weight, padding=1)), 7)
        return F.normalize(held.flatten(1) @ self.last.T), held

    def forward(self, images: Tensor) -> Tensor:
        return self.look(images)[0]


class Noting(TinyIdentity):
    """Remembers what it was asked."""

    def __init__(self, embedding: int = EMBEDDING) -> None:
        super().__init__(embedding)
        self.seen: list[Tensor] = []

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(images)
        return super().look(images)


def tiny_perceptual(images: Tensor) -> list[Tensor]:
    """Four sizes of a picture and of its edges."""
    edges = torch.cat([images, images - F.avg_pool2d(images, 3, 1, 1)], 1)
    return [F.avg_pool2d(edges, 2**level) for level in range(4)]


def tiny_points(images: Tensor) -> Tensor:
    """538 soft places that move with the picture: even ones with what is bright, odd ones with what is dark."""
    seen = F.adaptive_avg_pool2d(images, 8).mean(1).flatten(1)
    at = (torch.arange(8, dtype=images.dtype) + 0.5) / 8
    places = torch.stack([at.expand(8, 8), at[:, None].expand(8, 8)], -1).flatten(0, 1)
    bright, dark = (way.softmax(1) @ places for way in (seen, -seen))
    spread = torch.linspace(0.2, 0.8, 538)[None, :, None]
    return torch.stack([bright, dark], 1).repeat(1, 269, 1) * 0.2 + spread * 0.8


def tiny_teacher(identity: Aligned, attribute: Aligned) -> Swap:
    """A mean of the two pictures."""
    return Swap((identity.image + attribute.image) / 2, torch.ones_like(attribute.image[:, :1]))


def tiny_frozen(embedding: int = EMBEDDING) -> FrozenNets:
    """All frozen networks, tiny."""
    return FrozenNets(TinyIdentity(embedding), tiny_perceptual, tiny_points, tiny_teacher)


def tiny_batch(size_px: int = 32, count: int = 4, seed: int = 0) -> SwapBatch:
    """Smooth pictures with every field of a batch filled; every second pair has a right answer."""
    generator = torch.Generator().manual_seed(seed)

    def picture() -> Tensor:
        coarse = torch.rand(count, 3, 6, 6, generator=generator) * 2 - 1
        return F.interpolate(coarse, size=(size_px, size_px), mode="bilinear", align_corners=False)

    at = torch.linspace(-1, 1, size_px)
    oval = ((at**2)[None] / 0.5 + (at**2)[:, None] / 0.7 < 1).float().expand(count, 1, size_px, size_px)

    def aligned() -> Aligned:
        landmarks = torch.rand(count, 68, 2, generator=generator) * size_px
        regions = (oval[:, 0] * 1).to(torch.uint8)
        return Aligned(
            picture(),
            mask=oval.clone(),
            regions=regions,
            occluder=torch.zeros_like(oval),
            landmarks=landmarks,
            iris=landmarks[:, :2].clone(),
            dense=torch.rand(count, 468, 2, generator=generator) * size_px,
            pose_degrees=torch.zeros(count, 3),
            gaze_degrees=torch.zeros(count, 2, 2),
        )

    attribute, has_truth = aligned(), torch.arange(count) % 2 == 0
    return SwapBatch(
        identity=aligned(),
        attribute=attribute,
        truth=attribute.image * has_truth[:, None, None, None],
        has_truth=has_truth,
        identity_other=aligned(),
        changed=torch.zeros_like(oval),
        identity_person=torch.arange(count),
        attribute_person=torch.arange(count) + 10,
    )


def told_apart() -> SwapBatch:
    """Truths that are neither the attribute picture nor the identity's; every second pair has one."""
    batch = tiny_batch()
    truth = tiny_batch(seed=3).identity.image * batch.has_truth[:, None, None, None]
    return dataclasses.replace(batch, truth=truth)


def strangers(batch: SwapBatch) -> SwapBatch:
    """The same pairs without a right answer."""
    none = torch.zeros_like(batch.has_truth)
    return dataclasses.replace(batch, has_truth=none, truth=torch.zeros_like(batch.truth))


def check_method(
    method: Method, folder: Path, frozen: FrozenNets | None = None, batch: SwapBatch | None = None
) -> None:
    """Every promise of `Method`, on the CPU."""
    frozen = only_needed(method, frozen or tiny_frozen())
    batch = only_required(method, batch or tiny_batch(method.config.size_px))
    check_card(method)
    for phase in method.card.phases:
        check_phase(method, phase, batch, frozen)
        check_half(method, phase, batch, frozen)
    check_likeness(method, batch, frozen)
    check_swap(method, batch, frozen)
    check_weights(method, folder, batch, frozen)


def only_needed(method: Method, frozen: FrozenNets) -> FrozenNets:
    """The frozen networks that training loads: those of the card."""
    needed = {name: getattr(frozen, name) for name in method.card.needs}
    return FrozenNets(**needed, quality=frozen.quality, robust=frozen.robust)


def only_required(method: Method, batch: SwapBatch) -> SwapBatch:
    """A batch as the loader fills it: what the card does not name is absent."""
    absent = REQUIRABLE - method.card.requires

    def without(record: Record) -> Record:
        return dataclasses.replace(record, **{key: None for key in absent if hasattr(record, key)})

    return dataclasses.replace(without(batch), identity=without(batch.identity), attribute=without(batch.attribute))


def check_card(method: Method) -> None:
    card = method.card
    assert card.paper
    assert card.summary
    assert card.alignment in TEMPLATES
    assert card.needs <= {entry.name for entry in dataclasses.fields(FrozenNets)}
    assert set(method.config.loss_weights) == set(card.phases)
    owners = [name for names in card.phases.values() for name in names]
    assert len(owners) == len(set(owners)), "a module belongs to one phase"
    trained = {name.split(".")[0] for name, _ in method.named_parameters()}
    assert trained == set(owners), "no weights outside the phases"


def check_phase(method: Method, phase: str, batch: SwapBatch, frozen: FrozenNets) -> None:
    """Losses are those promised, finite, and teach all weights of the phase and no others."""
    mine = set(method.card.phases[phase])
    method.train().zero_grad(set_to_none=True)
    for name, weight in method.named_parameters():
        weight.requires_grad = name.split(".")[0] in mine
    torch.manual_seed(0)
    losses = method.training_step(phase, batch, frozen)
    assert set(losses) == set(method.config.loss_weights[phase])
    for name, loss in losses.items():
        assert loss.shape == (), name
        assert torch.isfinite(loss), name
    weights = method.config.loss_weights[phase]
    total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    total.backward()
    for name, weight in method.named_parameters():
        # Vectors may have a gradient of 0: a hinge's two sides cancel out in the last bias before anything is learnt.
        taught = weight.grad is not None and (weight.ndim < 2 or bool(weight.grad.abs().sum() > 0))
        assert taught or name.split(".")[0] not in mine, f"{phase} does not teach {name}"
        assert weight.grad is None or name.split(".")[0] in mine, f"{phase} teaches {name}"
    method.requires_grad_(requires_grad=True)
    method.zero_grad(set_to_none=True)


def check_half(method: Method, phase: str, batch: SwapBatch, frozen: FrozenNets) -> None:
    """Computed in bfloat16, as on a GPU, losses stay what they are, and teach."""
    found = []
    for half in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses = method.train().training_step(phase, batch, frozen)
        found.append({name: loss.float() for name, loss in losses.items()})
    for name, loss in found[1].items():
        torch.testing.assert_close(loss, found[0][name], rtol=0.05, atol=0.02, msg=f"{phase}/{name}")
    torch.stack(list(found[1].values())).sum().backward()
    lengths = [weight.grad.norm() for weight in method.parameters() if weight.grad is not None]
    assert torch.isfinite(torch.stack(lengths)).all()
    method.zero_grad(set_to_none=True)


def check_likeness(method: Method, batch: SwapBatch, frozen: FrozenNets) -> None:
    """What a generator has drawn is judged by the robust network, which is also asked whom it should be like."""
    if "identity" not in method.card.needs:
        return
    size = frozen.identity(batch.identity.image).shape[1]
    plain, robust = (Noting(size) for _ in range(2))
    for phase in method.card.phases:
        method.training_step(phase, batch, dataclasses.replace(frozen, identity=plain, robust=robust))
    assert any(images.requires_grad for images in robust.seen)
    assert any(torch.equal(images, batch.identity.image) for images in robust.seen)
    assert not any(images.requires_grad for images in plain.seen)


def check_swap(method: Method, batch: SwapBatch, frozen: FrozenNets) -> None:
    """Size and range stay, and a batch is treated as its samples are."""
    method.eval()
    with torch.no_grad():
        code = method.encode_identity(batch.identity, frozen)
        swapped = method.swap(Aligned(batch.attribute.image), code)
        first = method.encode_identity(Aligned(batch.identity.image[:1]), frozen)
        alone = method.swap(Aligned(batch.attribute.image[:1]), first)
    assert all(len(part) == len(batch) for part in code)
    assert swapped.image.shape == batch.attribute.image.shape
    assert swapped.mask.shape == batch.attribute.image[:, :1].shape
    assert swapped.image.min() >= -1
    assert swapped.image.max() <= 1
    assert swapped.mask.min() >= 0
    assert swapped.mask.max() <= 1
    torch.testing.assert_close(swapped.image[:1], alone.image, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(swapped.mask[:1], alone.mask, atol=1e-4, rtol=1e-4)


def check_weights(method: Method, folder: Path, batch: SwapBatch, frozen: FrozenNets) -> None:
    """They survive safetensors."""
    save_weights(folder / "weights.safetensors", method, {})
    other = copy.deepcopy(method)
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    load_weights(folder / "weights.safetensors", other)
    with torch.no_grad():
        code = method.encode_identity(batch.identity, frozen)
        expected, found = (each.eval().swap(batch.attribute, code).image for each in (method, other))
    assert torch.equal(expected, found)


def overfit(method: Method, batch: SwapBatch, phase: str, steps: int, lr: float = 2e-3) -> list[float]:
    """Weighted losses of one phase while it learns one batch by heart, discriminators left as they are."""
    frozen, weights = tiny_frozen(), method.config.loss_weights[phase]
    mine = set(method.card.phases[phase])
    taught = [weight for name, weight in method.named_parameters() if name.split(".")[0] in mine]
    optimiser = torch.optim.Adam(taught, lr)
    found = []
    for _ in range(steps):
        losses = method.train().training_step(phase, batch, frozen)
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        found.append(float(total.detach()))
    return found
