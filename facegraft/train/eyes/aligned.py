"""Pairs of aligned pictures, cut as a method sees them, for networks that look at what methods draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facegraft.data.dataset import join, open_dataset
from facegraft.data.loader import Loader, LoaderOptions
from facegraft.data.policies import POLICIES
from facegraft.train.eyes.pictures import train_and_val


def pair_loaders(
    paths: Sequence[str], policy: str, options: LoaderOptions, *, val_share: float
) -> tuple[Loader, Loader]:
    """Pairs to learn from and held-out ones, of datasets that are joined.

    Args:
        paths: Folders of the datasets.
        policy: Who meets whom: a name of data/policies.py.
        options: Size, alignment and seed of the pictures.
        val_share: Of people, held out where a dataset has no split of its own.

    Raises:
        BadInputError: A dataset that cannot be used.
    """
    split = [train_and_val(open_dataset(Path(path)), val_share=val_share) for path in paths]
    train, held = (Loader(join(list(side)), POLICIES[policy], options) for side in zip(*split, strict=True))
    return train, held
