"""Sets of cases: of a dataset, of plain folders, of pictures put into themselves; what makes each known again."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.evaluate.cases import CaseSet, case_set, folder_cases, read_case
from facegraft.evaluate.protocol import Case
from facegraft.evaluate.results import CASES


@dataclass(frozen=True, eq=False)
class FolderSet:
    """Cases of two plain folders: no truth, nobody known.

    Attributes:
        name: For the report.
        pictures: Key, identity picture, attribute picture.
    """

    name: str
    pictures: tuple[tuple[str, Path, Path], ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Case]:
        return (read_case(*row) for row in self.pictures)


@dataclass(frozen=True, eq=False)
class ItselfSet:
    """Every attribute picture of a set as its own identity picture: the right answer is that picture.

    What a method changes here is its own doing: the floor of every distance from the attribute picture.
    """

    of: CaseSet | FolderSet

    @property
    def name(self) -> str:
        return f"{self.of.name} into itself"

    def __len__(self) -> int:
        return len(self.of)

    def __iter__(self) -> Iterator[Case]:
        return (_into_itself(case) for case in self.of)


Questions = CaseSet | FolderSet | ItselfSet


def questions_of(data: Dataset | Questions | Path | str, most: int | None = None, seed: int = 0) -> Questions:
    """Cases of whatever holds some.

    Raises:
        BadInputError: It holds none.
    """
    if isinstance(data, FolderSet):
        return data if most is None else FolderSet(data.name, data.pictures[:most])
    if isinstance(data, CaseSet | ItselfSet):
        return data
    return case_set(data if isinstance(data, Dataset) else open_dataset(data), most=most, seed=seed)


def folder_set(identities: Path, attributes: Path) -> FolderSet:
    """The pictures of two folders that have the same names.

    Folders that are called `identity` and `attribute` have the name of the folder that holds them both.

    Raises:
        BadInputError: There are none.
    """
    name = f"{identities.name} + {attributes.name}"
    first, second = identities.resolve(), attributes.resolve()
    if first.parent == second.parent and (first.name, second.name) == ("identity", "attribute"):
        name = first.parent.name
    return FolderSet(name, tuple(folder_cases(identities, attributes)))


def identity_frames(questions: Questions) -> Iterator[Frame]:
    """One picture of each person who gives an identity."""
    if isinstance(questions, ItselfSet | FolderSet):
        yield from (case.identity for case in questions)
        return
    seen = set()
    for pair in questions.pairs:
        person = questions.dataset.row(pair.identity).person or pair.identity
        if person not in seen:
            seen.add(person)
            yield questions.dataset.item(pair.identity).frame()


def keys_of(questions: Questions) -> list[str]:
    """Of all cases, without reading them."""
    if isinstance(questions, ItselfSet):
        return keys_of(questions.of)
    if isinstance(questions, FolderSet):
        return [key for key, _, _ in questions.pictures]
    return [f"{pair.identity}+{pair.attribute}" for pair in questions.pairs]


def set_facts(questions: Questions) -> dict[str, str]:
    """What makes the set known again, whoever has it."""
    facts = {CASES: digest(keys_of(questions))}
    first = next(iter(questions), None)
    if first is not None:
        facts["pictures"] = f"{first.attribute.shape[1]} x {first.attribute.shape[0]}"
    within = questions.of if isinstance(questions, ItselfSet) else questions
    return facts | (card_facts(within.dataset) if isinstance(within, CaseSet) else {})


def card_facts(dataset: Dataset) -> dict[str, str]:
    """What a dataset's card says of how it was made."""
    card = dataset.card
    told = {"command": card.command, "commit": card.commit, "seed": card.seed, "assets": card.assets_digest}
    told |= {name: str(value) for name, value in card.options.items() if name.endswith("sha256")}
    return {name: str(value) for name, value in told.items() if value not in ("", None)}


def digest(keys: Sequence[str]) -> str:
    """One SHA-256 of all keys."""
    return hashlib.sha256("\n".join(keys).encode("utf-8", "surrogatepass")).hexdigest()


def _into_itself(case: Case) -> Case:
    return dataclasses.replace(
        case,
        identity=case.attribute,
        identity_person=case.attribute_person,
        truth=case.attribute,
        toned=None,
        more=(),
        groups={},
        exact=dataclasses.replace(case.exact, changed=None),
    )
