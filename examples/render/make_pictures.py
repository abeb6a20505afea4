"""Render the example pictures: `python make_pictures.py --assets DIR --out DIR [NAME ...]`."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from cast import PICTURES
from draw import Renderer
from finish import develop, room
from head import HeadModel
from PIL import Image

LOG = logging.getLogger("make_pictures")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    assets = os.environ.get("FACEGRAFT_MAKEHUMAN")
    parser.add_argument("names", nargs="*", choices=[[], *PICTURES], help="default: all")
    parser.add_argument(
        "--assets", type=Path, default=assets, required=assets is None, help="MakeHuman pack (holds data/)"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent)
    parser.add_argument("--passes", type=int, default=64)
    parser.add_argument("--rays", type=int, default=128)
    parser.add_argument("--quality", type=int, default=92, help="JPEG quality")
    return parser.parse_args()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args = parse()
    renderer = Renderer(HeadModel(args.assets), args.assets)
    for name in args.names or PICTURES:
        picture = PICTURES[name]
        layers = renderer.layers(
            list(picture.actors), picture.lighting, picture.camera, picture.size_wh, args.passes, args.rays
        )
        background = room(picture.size_wh, picture.room_seed, picture.wall, window=picture.window)
        pixels_per_mm = picture.size_wh[1] / picture.camera.height / 100
        image = develop(layers, background, pixels_per_mm, picture.exposure, picture.room_seed)
        Image.fromarray(image).save(args.out / name, quality=args.quality, subsampling=0, optimize=True)
        LOG.info("%s", name)


if __name__ == "__main__":
    main()
