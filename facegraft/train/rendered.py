"""People rendered while a method trains: `[data.rendered]` of its config becomes a maker of batches for the loader."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from facegraft.core.errors import BadInputError
from facegraft.data.assets import find_assets
from facegraft.data.loader import BatchMaker
from facegraft.data.synth_plan import ENVIRONMENTS, check_backgrounds, check_folder, folders_in, person_seed

KEPT = 4
"""Baked faces in memory, the blended ones of right answers among them, for each of those who may meet."""


@dataclass(frozen=True)
class RenderedData:
    """`[data.rendered]`: who is rendered, and how; options of `data/synth/stream.py` under their names."""

    share: float = 0.0
    """Of all pairs; 1: the datasets are for scores and previews only. 0: nobody is rendered."""
    people: int = 100_000
    """How many take part."""
    people_seed: int = 1_000_000
    """They are those of `facegraft synth --seed` of this number, never those of a benchmark set."""
    dial: float = 0.35
    """0 ordinary .. 1 extreme people."""
    stratum: str = "mixed"
    """Of the attribute images' scenes."""
    same_share: float = 0.2
    """Share of rendered pairs of one person, whose right answer is the attribute image."""
    exact_share: float = 1.0
    """Share of the others with a right answer, of the kind `data.truth`; pairs without one cost a third less."""
    together: int = 32
    """How many may meet at one time; four times as many faces are kept in memory."""
    meetings: int = 8
    """In how many pairs a person is seen, in the mean, before another comes. Making one ready costs as much as two
    pictures, and on the processor even where a GPU renders."""
    backgrounds: str = ""
    """Folder of photographs, or several as PATH names them; "": drawn ones."""
    environments: str = ""
    """Folder of .hdr files; "": lamps and gradients."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share: expected 0 to 1, found {self.share}")


def open_rendered(
    options: RenderedData, truth: str, template: str, size_px: int, device: torch.device, held_out: Collection[str]
) -> BatchMaker | None:
    """The renderer of a method's pictures, or None where nothing is rendered.

    Args:
        options: From the config.
        truth: Which right answer.
        template: What frames the pictures, of faces/align.py.
        size_px: Their side.
        device: Where it renders.
        held_out: People of datasets that training may not see.

    Raises:
        BadInputError: An option cannot be, or people would be rendered that a dataset holds out.
        MissingPartError: MakeHuman's assets are not here.
    """
    if not options.share:
        return None
    from facegraft.data.synth.render import Renderer
    from facegraft.data.synth.stream import RenderedPairs, StreamOptions

    stream = StreamOptions(
        people=options.people,
        people_seed=options.people_seed,
        dial=options.dial,
        stratum=options.stratum,
        truth=truth,
        same_share=options.same_share,
        exact_share=options.exact_share,
        together=options.together,
        meetings=options.meetings,
    )
    _check_apart(options, held_out)
    check_backgrounds("data.rendered.backgrounds", options.backgrounds)
    check_folder("data.rendered.environments", options.environments, ENVIRONMENTS)
    behind = folders_in(options.backgrounds) or None
    around = Path(options.environments) if options.environments else None
    renderer = Renderer(
        find_assets(),
        size_px,
        device=device,
        backgrounds=behind,
        environments=around,
        template=template,
        keep_people=KEPT * options.together,
    )
    return RenderedPairs(renderer, stream)


def _check_apart(options: RenderedData, held_out: Collection[str]) -> None:
    """A dataset of the same seed holds some of these people out; `synth` names them `rendered-<seed of the person>`."""
    first = person_seed(options.people_seed, 0)
    seeds = {name: name.rpartition("rendered-")[2] for name in held_out}
    both = sorted(name for name, seed in seeds.items() if seed.isdecimal() and 0 <= int(seed) - first < options.people)
    if both:
        raise BadInputError(
            f"data.rendered.people_seed: {len(both)} of the people of {options.people_seed} are held out in data.path, "
            f"such as {both[0]}; take another seed than the dataset's"
        )
