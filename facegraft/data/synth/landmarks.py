"""The 68 face landmarks as vertices of MakeHuman's base mesh, in the usual order (jaw, brows, nose, eyes, lips)."""

from __future__ import annotations

LANDMARKS68 = (
    *(5769, 942, 5098, 5242, 739, 762, 3698, 914, 5296, 7616, 10366, 7481, 7459, 11851, 11713, 7642, 12366),
    *(255, 206, 176, 177, 181, 6957, 6953, 6952, 6981, 7024),
    *(132, 131, 291, 294, 347, 313, 343, 7076, 7108),
    *(4854, 6, 54, 72, 6772, 6776, 6856, 6838, 6790, 11472, 13372, 13368),
    *(425, 5351, 457, 466, 7216, 11953, 7185, 7235, 7241, 5337, 486, 480),
    *(3707, 5362, 520, 11964, 10375, 7266, 523, 519),
)
"""0-16 jaw from the person's right to the left, 17-26 brows, 27-35 nose, 36-41 right eye, 42-47 left eye, 48-59 outer
lips, 60-67 inner lips. Jaw points are fixed points of the skin, not the outline that a turned face shows. Brow points
run along the upper half of where the twelve brow styles grow."""
IRISES = (477, 1009)
"""Vertices of the high-poly eye proxy at the centres of the left and the right iris."""
