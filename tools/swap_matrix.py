"""Draws the exact-swap matrix of the documents: rows are identities, columns are scenes with their own people.

    python tools/swap_matrix.py docs/images/exact-swap.jpg
    python tools/swap_matrix.py docs/images/people.jpg --people

The first row shows the attribute pictures, the first column the identities; all else is rendered truth. `--people`
draws forty people in forty scenes of all kinds instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from facegraft.core.image import save_frame
from facegraft.data.assets import find_assets
from facegraft.data.synth.people import sample_person
from facegraft.data.synth.render import TRUTHS, Renderer
from facegraft.data.synth.scene import sample_scene

STRATA = (
    "ordinary",
    "mixed",
    "large pose",
    "extreme expression",
    "occluded",
    "hard light",
    "ordinary",
    "mixed",
)

SHEET = (4, 10)


def draw(renderer: Renderer, seed: int, kind: str) -> np.ndarray:
    """The matrix as one RGB picture."""
    identities = [sample_person(seed + n) for n in range(len(STRATA))]
    attributes = [sample_person(seed + 50 + n) for n in range(len(STRATA))]
    scenes = [sample_scene(seed + n, stratum) for n, stratum in enumerate(STRATA)]
    alone = renderer.render(identities, [sample_scene(seed + 100 + n, "ordinary") for n in range(len(STRATA))])
    shown = renderer.render(attributes, scenes).image
    corner = torch.full_like(shown[:1], 255)
    rows = [torch.cat([corner, shown])]
    for n, identity in enumerate(identities):
        answers = renderer.truth([identity] * len(scenes), attributes, scenes, kind).image
        rows.append(torch.cat([alone.image[n : n + 1], answers]))
    grid = torch.stack(rows).permute(0, 3, 1, 4, 2)
    return grid.reshape(grid.shape[0] * grid.shape[1], -1, 3).contiguous().numpy()


def people(renderer: Renderer, seed: int) -> np.ndarray:
    """A sheet of people, each in a scene of their own, as one RGB picture."""
    count = SHEET[0] * SHEET[1]
    scenes = [sample_scene(seed + n, "mixed") for n in range(count)]
    image = renderer.render([sample_person(seed + n) for n in range(count)], scenes, labels=False).image
    grid = image.reshape(*SHEET, *image.shape[1:]).permute(0, 3, 1, 4, 2)
    return grid.reshape(grid.shape[0] * grid.shape[1], -1, 3).contiguous().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=144, help="of one picture")
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--kind", choices=TRUTHS, default="inner")
    parser.add_argument("--people", action="store_true", help="forty people instead of swaps")
    parser.add_argument("--quality", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    renderer = Renderer(find_assets(), args.size, keep_people=128)
    frame = people(renderer, args.seed) if args.people else draw(renderer, args.seed, args.kind)
    save_frame(args.out, frame, quality=args.quality)


if __name__ == "__main__":
    main()
