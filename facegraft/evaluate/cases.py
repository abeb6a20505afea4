"""Where questions come from: the pairs of a dataset, or folders of pictures; and answers made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.files import entries, shown
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, Item, Pair
from facegraft.evaluate.protocol import Case, Exact

TRUTH = "inner"
"""Of a pair's truths the one that a swapper should give: the inner face, in its own colours ..."""
TONED = "inner_recoloured"
"""... or in those of the attribute."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
AGES = ((0, 35, "under 35"), (35, 60, "35 to 60"), (60, 200, "60 and over"))
MONKS = ((1, 3, "Monk 1-3"), (4, 6, "Monk 4-6"), (7, 10, "Monk 7-10"))


@dataclass(frozen=True, eq=False)
class CaseSet:
    """Cases that are read one after another, each when it is asked for.

    Attributes:
        name: Of the set, for the report.
        dataset: Where pictures are.
        pairs: Who meets whom.
    """

    name: str
    dataset: Dataset
    pairs: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Case]:
        return (case_of(self.dataset, pair) for pair in self.pairs)


def case_set(dataset: Dataset, *, most: int | None = None, seed: int = 0) -> CaseSet:
    """The still pairs of a dataset; `most` of them, spread evenly over the strata.

    Args:
        dataset: With pairs, as `facegraft synth --pairs exact` and the benchmark set exact-1k have.
        most: At most so many; None = all.
        seed: Chooses which; the same ones every time.

    Raises:
        BadInputError: The dataset has no pairs of still pictures.
    """
    pairs = [pair for pair in dataset.pairs if not dataset.row(pair.attribute).clip]
    if not pairs:
        raise BadInputError(
            f"dataset {dataset.card.name!r}: expected pairs of pictures, found none; use exact-1k, or "
            "`facegraft synth --pairs exact`"
        )
    return CaseSet(dataset.card.name, dataset, tuple(pairs if most is None else spread(pairs, most, seed)))


def spread(pairs: Sequence[Pair], most: int, seed: int) -> list[Pair]:
    """`most` pairs, strata taking turns, in the order of the set."""
    if most < 1:
        raise BadInputError(f"--pairs: expected 1 or more, found {most}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pairs))
    by_stratum: dict[str, list[int]] = {}
    for place in order.tolist():
        by_stratum.setdefault(pairs[place].stratum, []).append(place)
    turns = sorted(
        (turn, stratum, place) for stratum, places in by_stratum.items() for turn, place in enumerate(places)
    )
    return [pairs[place] for place in sorted(place for _, _, place in turns[:most])]


def case_of(dataset: Dataset, pair: Pair) -> Case:
    """Reads one case.

    Raises:
        BadInputError: A picture is damaged.
    """
    identity, attribute = dataset.item(pair.identity), dataset.item(pair.attribute)
    truth, toned = (dataset.item(pair.truths[kind]) if kind in pair.truths else None for kind in (TRUTH, TONED))
    return Case(
        key=f"{pair.identity}+{pair.attribute}",
        identity=identity.frame(),
        attribute=attribute.frame(),
        identity_person=identity.person or identity.key,
        attribute_person=attribute.person or attribute.key,
        stratum=pair.stratum,
        truth=None if truth is None else truth.frame(),
        exact=_exact(attribute, truth),
        groups=groups_of(identity),
        toned=None if toned is None else toned.frame(),
    )


def folder_cases(identities: Path, attributes: Path) -> list[tuple[str, Path, Path]]:
    """Key, identity picture and attribute picture of two folders whose files have the same names but for endings.

    In the place of an identity picture there may be a folder of several of that person.

    Raises:
        BadInputError: A folder is missing, or nothing in one has its partner in the other.
    """
    first, second = _people_of(identities), pictures_of(attributes)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise BadInputError(
            f"{shown(identities)} and {shown(attributes)}: expected pictures of the same names, found none in both"
        )
    return [(key, first[key], second[key]) for key in both]


def read_case(key: str, identity: Path, attribute: Path) -> Case:
    """A case of two files; nobody is known in them, so each is a person of its own.

    Raises:
        BadInputError: A picture is damaged, or the folder of identity pictures has none.
    """
    pictures = list(pictures_of(identity).values()) if identity.is_dir() else [identity]
    if not pictures:
        raise BadInputError(f"{shown(identity)}: expected pictures of one person, found none")
    first, *more = (read_picture(picture).frame for picture in pictures)
    return Case(key, first, read_picture(attribute).frame, f"identity {key}", f"attribute {key}", more=tuple(more))


def _people_of(folder: Path) -> dict[str, Path]:
    """Name -> picture of a person, or folder of several."""
    found = pictures_of(folder)
    for path in entries(folder):
        if path.is_dir() and path.name in found:
            raise BadInputError(f"{shown(path)}: a folder of the name of a picture beside it; keep one of the two")
        if path.is_dir():
            found[path.name] = path
    return found


def pictures_of(folder: Path) -> dict[str, Path]:
    """Name without ending -> picture.

    Raises:
        BadInputError: No such folder, or two pictures of one name.
    """
    if not folder.is_dir():
        raise BadInputError(f"{shown(folder)}: expected a folder of pictures, found none")
    found: dict[str, Path] = {}
    for path in entries(folder):
        if path.suffix.lower() not in ENDINGS:
            continue
        if path.stem in found:
            raise BadInputError(f"{shown(path)}: a second picture of this name beside {found[path.stem].name!r}")
        found[path.stem] = path
    return found


class Answers:
    """Answers made elsewhere, by any tool: a folder with one picture per case, named by the case's key."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._found = folder, pictures_of(folder)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def get(self, case: Case) -> Frame | None:
        """The answer, or None where the folder has none, which counts as a failure.

        Raises:
            BadInputError: It is damaged.
        """
        path = self._found.get(case.key)
        return None if path is None else read_picture(path).frame


def _exact(attribute: Item, truth: Item | None) -> Exact:
    arrays = attribute.arrays
    return Exact(
        dense=arrays.get("dense"),
        pose_degrees=arrays.get("pose_degrees"),
        gaze_degrees=arrays.get("gaze_degrees"),
        occluder=attribute.plane("occluder") if "occluder" in attribute.planes else None,
        visible=attribute.plane("visible") if "visible" in attribute.planes else None,
        changed=truth.plane("changed") if truth is not None and "changed" in truth.planes else None,
    )


def groups_of(identity: Item) -> dict[str, str]:
    """Whom the method had to show: figures per group tell whether it serves everybody alike."""
    found = {}
    facts = identity.facts
    if "age" in facts:
        found["age"] = next(name for low, high, name in AGES if low <= float(facts["age"]) < high)
    if "female" in facts:
        found["sex"] = "women" if float(facts["female"]) >= 0.5 else "men"
    if "monk" in facts:
        found["skin"] = next((name for low, high, name in MONKS if low <= int(facts["monk"]) <= high), "unknown")
    return found
