"""The benchmark sets: swaps and clips whose right answer is known, fixed by seed and code.

Their people have seeds that no training set may use (`synth_plan.RESERVED`). Two digests in the card tell whether two
builds are the same: `asked_sha256` over all people and scenes, their numbers rounded, for the last digits depend on
whether a processor has AVX-512; `pixels_sha256` over the decoded pictures, equal where PyTorch rounds alike (same
build, same kind of processor).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facegraft.data.card import shard_paths
from facegraft.data.shards import ShardReader
from facegraft.data.synth_plan import RESERVED, TRUTHS, Shot, Swap, SynthOptions

SETS = ("exact-1k", "clips-50")
EXACT_STRATA = ("ordinary", "large pose", "extreme expression", "occluded", "hard light", "cross age, sex, skin")
CROSS = EXACT_STRATA[-1]
"""Its scenes are ordinary; its people are as unlike as they come."""
SWAPS, SWAPS_IN_A_SHARD = 1000, 20
CLIPS, FRAMES = 50, 48
CLIP_STRATA = ("ordinary", "large pose", "extreme expression", "occluded", "hard light")
CLIP_TRUTHS = TRUTHS[:1]
CANDIDATES = 12
"""Of the cross stratum, of whom the one most unlike the identity is taken."""
PEOPLE_OF_A_SWAP = 1 + CANDIDATES
FIRST_CLIP_PERSON = RESERVED.start + SWAPS * PEOPLE_OF_A_SWAP
FIRST_SCENE = 2**41
FIRST_CLIP_SCENE = FIRST_SCENE + 2 * SWAPS
PICTURES_OF_A_CLIP = 1 + FRAMES * (1 + len(CLIP_TRUTHS))
ASKED_DIGITS = 6
"""After the point, of what a digest reads. With AVX-512 and without, the numbers of exact-1k differ by up to 2e-15."""


def benchmark_options(name: str, *, size_px: int | None = None, device: str = "cpu") -> SynthOptions:
    """Options of a set; only size and device may be chosen, and the card says which were."""
    frames = FRAMES if name == "clips-50" else 0
    size = size_px or (128 if name == "clips-50" else 256)
    pairs = CLIPS if name == "clips-50" else SWAPS
    images = CLIPS * PICTURES_OF_A_CLIP if name == "clips-50" else SWAPS * (2 + len(TRUTHS))
    return SynthOptions(
        name, 2 * pairs, images, size_px=size, picture="png", device=device, split="test", frames=frames
    )


def counts(options: SynthOptions) -> tuple[int, int, int]:
    """Shards, pictures and people of a set."""
    shards = CLIPS if options.plan == "clips-50" else SWAPS // SWAPS_IN_A_SHARD
    return shards, options.images, options.people


def swaps_of_shard(options: SynthOptions, shard: int) -> list[Swap]:
    """What one shard of a set holds."""
    if options.plan == "clips-50":
        return [clip_swap(shard)]
    first = shard * SWAPS_IN_A_SHARD
    return [exact_swap(number, options.dial) for number in range(first, first + SWAPS_IN_A_SHARD)]


def exact_swap(number: int, dial: float) -> Swap:
    """Swap 0 to 999 of exact-1k; strata take turns, and no person comes twice."""
    stratum = EXACT_STRATA[number % len(EXACT_STRATA)]
    who = RESERVED.start + number * PEOPLE_OF_A_SWAP
    other = most_unlike(who, range(who + 1, who + 1 + CANDIDATES), dial) if stratum == CROSS else who + 1
    scenes = "ordinary" if stratum == CROSS else stratum
    at = FIRST_SCENE + 2 * number
    identity = Shot(f"x{number:04d}-identity", who, at, "ordinary")
    attribute = Shot(f"x{number:04d}-attribute", other, at + 1, scenes)
    return Swap(identity, (attribute,), TRUTHS, stratum)


def clip_swap(number: int) -> Swap:
    """Clip 0 to 49 of clips-50."""
    stratum = CLIP_STRATA[number % len(CLIP_STRATA)]
    who, clip = FIRST_CLIP_PERSON + 2 * number, f"c{number:02d}"
    identity = Shot(f"{clip}-identity", who, FIRST_CLIP_SCENE + 2 * number, "ordinary")
    scene = FIRST_CLIP_SCENE + 2 * number + 1
    frames = tuple(Shot(f"{clip}-{n:03d}", who + 1, scene, stratum, clip, n) for n in range(FRAMES))
    return Swap(identity, frames, CLIP_TRUTHS, stratum)


def most_unlike(who: int, others: range, dial: float) -> int:
    """Seed of the other who differs most in sex, age and skin together, each from 0 to 1."""
    from facegraft.data.synth.people import Person, sample_person

    def place(person: Person) -> np.ndarray:
        return np.array([person.female, (person.age - 20) / 60, person.skin.melanin])

    mine = place(sample_person(who, dial))
    distances = [float(np.abs(place(sample_person(other, dial)) - mine).sum()) for other in others]
    return others[int(np.argmax(distances))]


def digests(options: SynthOptions, folder: Path) -> dict[str, str]:
    """The two digests of a finished set, see above."""
    asked, pixels = hashlib.sha256(), hashlib.sha256()
    for shard in range(counts(options)[0]):
        for text in _asked(options, shard):
            asked.update(rounded(text).encode())
    for path in shard_paths(folder):
        for key, frame in _frames(path):
            pixels.update(key.encode())
            pixels.update(frame.tobytes())
    return {"asked_sha256": asked.hexdigest(), "pixels_sha256": pixels.hexdigest()}


def rounded(text: str) -> str:
    """JSON with its numbers at `ASKED_DIGITS`; no zero is negative."""
    return json.dumps(json.loads(text, parse_float=lambda number: round(float(number), ASKED_DIGITS) + 0.0))


def _asked(options: SynthOptions, shard: int) -> Iterator[str]:
    from facegraft.data.synth import people, scene
    from facegraft.data.synth.motion import sample_clip

    for swap in swaps_of_shard(options, shard):
        for shot in (swap.identity, swap.attributes[0]):
            yield people.to_json(people.sample_person(shot.person, options.dial))
            stills = [scene.sample_scene(shot.scene, shot.stratum)]
            shown = stills if shot.frame < 0 else sample_clip(shot.scene, options.frames, stratum=shot.stratum)
            yield from map(scene.to_json, shown)


def _frames(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    from facegraft.core.image_bytes import decode_frame

    reader = ShardReader(path)
    for position, facts in enumerate(reader.index()["items"]):
        yield facts["key"], decode_frame(reader.read(position)[0])
