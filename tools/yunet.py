"""YuNet (Wu et al., doi:10.1007/s11633-023-1423-y; Apache-2.0) as a teacher and a rival: never shipped, never imported.

OpenCV's own class does not read the file with dynamic sides, so its outputs are decoded here, as
`modules/objdetect/src/face_detect.cpp` of OpenCV does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from facegraft.core.geometry import keep_best
from facegraft.core.types import Frame

STRIDES = (8, 16, 32)
STEP_PX = 32


class YuNet:
    """Boxes (left, top, right, bottom), scores, five points, best first, of RGB frames of any size."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, frame: Frame, min_score: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        height, width = frame.shape[:2]
        padded = np.pad(frame, ((0, -height % STEP_PX), (0, -width % STEP_PX), (0, 0)))
        # The network was trained on blue, green, red, 0..255.
        image = np.ascontiguousarray(padded[..., ::-1].transpose(2, 0, 1)[None]).astype(np.float32)
        names = [output.name for output in self._session.get_outputs()]
        told = dict(zip(names, self._session.run(None, {"input": image}), strict=True))
        boxes, scores, points = [], [], []
        for stride in STRIDES:
            rows, columns = padded.shape[0] // stride, padded.shape[1] // stride
            cell = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2).astype(np.float32)
            box = told[f"bbox_{stride}"].reshape(-1, 4)
            middle, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
            boxes.append(np.concatenate([middle - half, middle + half], 1))
            sure = told[f"cls_{stride}"].ravel().clip(0, 1) * told[f"obj_{stride}"].ravel().clip(0, 1)
            scores.append(np.sqrt(sure))
            points.append((told[f"kps_{stride}"].reshape(-1, 5, 2) + cell[:, None]) * stride)
        every, score, five = np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
        good = np.flatnonzero(score >= min_score)
        kept = good[keep_best(every[good], score[good], 0.3)]
        return every[kept].astype(np.float32), score[kept].astype(np.float32), five[kept].astype(np.float32)
