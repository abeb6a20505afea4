"""What `facegraft synth` will render, as pure functions of the options: which shard holds which people and scenes.

No torch, no assets and no disk: a plan can be made, compared and printed anywhere.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegraft.core.errors import BadInputError
from facegraft.core.files import entries

PEOPLE_PER_SEED = 1_000_000
RESERVED = range(2**40, 2**40 + 2**20)
"""Seeds of the people of the benchmark sets; nobody may train on them, see `person_seed`."""
SCENES_PER_SEED = 1_000_000_000
TRUTHS = ("inner", "inner_recoloured", "head")
"""Kinds of truth of a still swap; the first is the default."""
PICTURES_OF_A_SWAP = 2 + len(TRUTHS)
STRATA = ("mixed", "ordinary", "large pose", "extreme expression", "occluded", "hard light")
PHOTOGRAPHS, ENVIRONMENTS = (".jpg", ".jpeg", ".png"), (".hdr",)
"""What a folder of backgrounds, or of light, must hold."""
SHARDS_WANTED = 16
PLANES = ("regions", "occluder", "visible", "own", "depth", "normals", "even")
"""Labels of every pixel that a set can hold, in their order."""
USUAL_PLANES = "regions,occluder,visible,own"
FEWEST, MOST = 32, 256
"""Pictures in a shard: few enough that all processes have something to do, enough to be worth a file."""


@dataclass(frozen=True)
class SynthOptions:
    """All that decides the content of a rendered dataset.

    Attributes:
        plan: "pictures", "swaps", or a benchmark set.
        people: How many.
        images: Pictures in all; a swap takes five.
        size_px: Side of the square pictures.
        seed: Other seeds have other people and other scenes.
        dial: Of the people, 0 ordinary .. 1 extreme.
        stratum: Of the scenes.
        backgrounds: Folder of photographs behind the people, or several as `joined` names them; "" = procedural.
        environments: Folder of .hdr environments that light them; "" = procedural.
        picture: "png" or "jpg".
        device: "cpu" or "cuda"; the two agree up to rounding, so a set is made on one of them.
        split: train, val or test; all people of a set are of one split.
        frames: Of a clip; 0 where there are none.
        planes: Which of PLANES are stored, in that order, with commas between them.
    """

    plan: str
    people: int
    images: int
    size_px: int = 256
    seed: int = 0
    dial: float = 0.35
    stratum: str = "mixed"
    backgrounds: str = ""
    environments: str = ""
    picture: str = "jpg"
    device: str = "cpu"
    split: str = "train"
    frames: int = 0
    planes: str = USUAL_PLANES


@dataclass(frozen=True)
class Shot:
    """One person in one scene: `person` and `scene` are seeds; `frame` is the one of a clip, -1 = a still."""

    key: str
    person: int
    scene: int
    stratum: str
    clip: str = ""
    frame: int = -1


@dataclass(frozen=True)
class Swap:
    """A pair with exact truths: the identity's picture and what is swapped, one still or the frames of a clip."""

    identity: Shot
    attributes: tuple[Shot, ...]
    truths: tuple[str, ...]
    stratum: str


def check_options(options: SynthOptions) -> None:
    """Raises BadInputError for what cannot be rendered, with the option's name."""
    checks = {
        f"--people: expected 1 to {PEOPLE_PER_SEED}, found {options.people}": 1 <= options.people <= PEOPLE_PER_SEED,
        f"--images: expected 1 or more, found {options.images}": options.images >= 1,
        f"--size: expected 32 to 2048 pixels, found {options.size_px}": 32 <= options.size_px <= 2048,
        f"--seed: expected 0 to {RESERVED.start // PEOPLE_PER_SEED - 1} (beyond are the people of the benchmark sets), "
        f"found {options.seed}": 0 <= options.seed < RESERVED.start // PEOPLE_PER_SEED,
        f"--dial: expected 0 to 1, found {options.dial}": 0 <= options.dial <= 1,
        f"--stratum: expected one of {', '.join(STRATA)}, found {options.stratum!r}": options.stratum in STRATA,
        f"--planes: expected names of {', '.join(PLANES)}, each once, with commas between them, found "
        f"{options.planes!r}": _are_planes(options.planes.split(",")),
        f"--format: expected png or jpg, found {options.picture!r}": options.picture in ("png", "jpg"),
    }
    for message, fine in checks.items():
        if not fine:
            raise BadInputError(message)
    if options.plan == "swaps" and (options.people < 2 or options.images < PICTURES_OF_A_SWAP):
        raise BadInputError(
            f"--pairs exact: expected 2 people and {PICTURES_OF_A_SWAP} images or more (a swap takes "
            f"{PICTURES_OF_A_SWAP}), found {options.people} and {options.images}"
        )
    if options.plan != "pictures" and "even" in options.planes.split(","):
        raise BadInputError("--planes even: expected pictures without --pairs exact; leave out one of the two")
    check_backgrounds("--backgrounds", options.backgrounds)
    check_folder("--environments", options.environments, ENVIRONMENTS)


def check_folder(option: str, folder: str, suffixes: Sequence[str]) -> None:
    """Raises BadInputError for a named folder that is none, or that holds no file of these suffixes; "" is fine."""
    if not folder:
        return
    if not Path(folder).is_dir():
        raise BadInputError(f"{option}: {folder} is no folder; name one, or leave it out")
    if not any(path.suffix.lower() in suffixes for path in entries(Path(folder))):
        raise BadInputError(f"{option}: {folder} holds no {' or '.join(suffixes)} file; name a folder that does")


def check_backgrounds(option: str, folders: str) -> None:
    """The same for each of the folders that `joined` named."""
    for folder in folders_in(folders):
        check_folder(option, str(folder), PHOTOGRAPHS)


def joined(folders: Iterable[Path]) -> str:
    """Several folders as one option, the way PATH has them.

    Raises:
        BadInputError: A folder's name holds what stands between them there.
    """
    names = [str(folder) for folder in folders]
    for name in names:
        if os.pathsep in name:
            raise BadInputError(f"{name}: a folder of backgrounds may have no {os.pathsep!r} in its name; rename it")
    return os.pathsep.join(names)


def folders_in(option: str) -> list[Path]:
    """The folders that `joined` named."""
    return [Path(name) for name in option.split(os.pathsep) if name]


def in_order(planes: str) -> str:
    """Names of planes as `SynthOptions.planes` has them; what is no list of their names comes back as it is."""
    names = [name.strip() for name in planes.split(",")]
    return ",".join(sorted(names, key=PLANES.index)) if _are_planes(names) else planes


def _are_planes(names: Sequence[str]) -> bool:
    return set(names) <= set(PLANES) and len(set(names)) == len(names)


def person_seed(seed: int, number: int) -> int:
    """The seed of a person of a training set; never one of the benchmark sets' people.

    Raises:
        BadInputError: It would be one of theirs.
    """
    found = seed * PEOPLE_PER_SEED + number
    if number >= PEOPLE_PER_SEED or found >= RESERVED.start:
        raise BadInputError(f"person {number} of seed {seed}: kept for the benchmark sets; take a smaller seed")
    return found


def unit_count(options: SynthOptions) -> int:
    """Pictures or swaps of a sampled set."""
    return options.images if options.plan == "pictures" else options.images // PICTURES_OF_A_SWAP


def shard_length(options: SynthOptions) -> int:
    """Pictures or swaps in one shard."""
    each = 1 if options.plan == "pictures" else PICTURES_OF_A_SWAP
    pictures = min(MOST, max(FEWEST, -(-options.images // SHARDS_WANTED)))
    return max(1, pictures // each)


def shots_of(options: SynthOptions, first: int, last: int) -> list[Shot]:
    """Pictures `first` to `last` - 1 of a set of pictures, person by person; who comes first may have one more."""
    shots = []
    for number in range(first, last):
        person, nth = _dealt(number, options.images, options.people)
        key = f"p{person:06d}-{nth:05d}"
        scene = options.seed * SCENES_PER_SEED + number
        shots.append(Shot(key, person_seed(options.seed, person), scene, options.stratum))
    return shots


def swaps_of(options: SynthOptions, first: int, last: int) -> list[Swap]:
    """Swaps `first` to `last` - 1 of a set of swaps.

    Identities take turns as in `shots_of`; each meets the people after it in a circle, so no pair of people comes
    twice before all have met, and neighbours in the set share people.
    """
    swaps = []
    for number in range(first, last):
        person, nth = _dealt(number, unit_count(options), options.people)
        other = (person + 1 + nth % (options.people - 1)) % options.people
        scene = options.seed * SCENES_PER_SEED + 2 * number
        who, what = person_seed(options.seed, person), person_seed(options.seed, other)
        identity = Shot(f"w{number:06d}-identity", who, scene, options.stratum)
        attribute = Shot(f"w{number:06d}-attribute", what, scene + 1, options.stratum)
        swaps.append(Swap(identity, (attribute,), TRUTHS, options.stratum))
    return swaps


def _dealt(number: int, all_of_them: int, people: int) -> tuple[int, int]:
    """Whose turn is the given one, and which of theirs it is, where everyone gets the same up to one."""
    base, more = divmod(all_of_them, people)
    if number < more * (base + 1):
        return divmod(number, base + 1)
    person, nth = divmod(number - more * (base + 1), base)
    return more + person, nth


def differing(options: Any, before: dict[str, object]) -> list[str]:
    """Options that are not those that a folder was begun with, in words."""
    now = dataclasses.asdict(options)
    was = {"planes": USUAL_PLANES, "both_ways": False} | before  # sets that were begun before there was a choice
    return [f"{name} {was.get(name)!r} is now {value!r}" for name, value in now.items() if was.get(name) != value]
