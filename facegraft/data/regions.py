"""Region labels of a face picture: one number per pixel, the same in renders, pseudo-labels and our parser."""

from __future__ import annotations

REGIONS = {
    "background": 0,
    "face": 1,
    "nose": 2,
    "upper_lip": 3,
    "lower_lip": 4,
    "mouth": 5,
    "eye": 6,
    "beard": 7,
    "brow": 8,
    "hair": 9,
    "lash": 10,
    "ear": 11,
    "neck": 12,
    "cloth": 13,
    "glasses": 14,
    "hat": 15,
    "occluder": 16,
    "scalp": 17,
    "face_mask": 18,
}
"""Name -> label. "mouth" is teeth, tongue and what lies behind them; "neck" is all bare skin below the head;
"glasses" are frames (eyes behind clear lenses keep their own label); "occluder" is a thing in front of the person."""
