"""What this benchmark runs of tools/, which are scripts: their folder is put on the path here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tools"))

import detector_lfw as detector_lfw
import lfw as lfw
