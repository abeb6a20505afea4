"""Faces of a picture and their aligned crops, as `ingest` keeps them."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import invert, similarity_scale, transform, warp
from facegraft.core.types import Face, Faces, Frame, Mask, Matrix
from facegraft.faces.analyse import MIN_SCORE, Analyser, FaceNetworks
from facegraft.faces.mesh import grid_over, rasterise
from facegraft.faces.topology import Topology, five_points, head_pose

PADDINGS = ((0.5, cv2.BORDER_CONSTANT), (0.25, cv2.BORDER_REPLICATE))
"""Share of the picture, and kind, of the border put around a photograph in which no face is found: one that fills its
picture is often missed. Of 56 faces cut so tight that they were missed, grey found all, its points off by 1.4 % of the
face's width (median); a mirrored border, which shows half a second face, found 51, off by 9 %."""
GREY = (128, 128, 128)
FILL_BLUR, FILL_FADE = 0.06, 0.5
"""Shares of the crop's side: blur of what fills the part outside the picture, and where it has faded to one colour."""


def find_faces(networks: FaceNetworks, frame: Frame, min_score: float | int = MIN_SCORE) -> Faces:
    """The faces of a photograph, largest first; one that fills the picture is looked for with a border around it.

    Args:
        networks: Of an `Analyser`.
        frame: The photograph, upright.
        min_score: Faces down to `MIN_SCORE` are told of as well, so that who asks for more sees what is lost.
    """
    analyser = Analyser(networks, min_score=min(float(min_score), MIN_SCORE))
    faces = analyser.analyse(frame)
    for share, border in PADDINGS if len(faces) == 0 else ():
        pad = round(share * max(frame.shape[:2]))
        padded = cv2.copyMakeBorder(frame, pad, pad, pad, pad, border, value=GREY)
        found = analyser.analyse(np.asarray(padded))
        middles = found.dense[:, :, :2].mean(axis=1) - pad
        within = ((middles > 0) & (middles < [frame.shape[1], frame.shape[0]])).all(axis=1)
        if within.any():
            return _moved(found.take(np.flatnonzero(within).tolist()), -pad)
    return faces


def _moved(faces: Faces, by_px: int) -> Faces:
    shift = np.float32(by_px)
    return dataclasses.replace(
        faces,
        numbers=np.arange(len(faces), dtype=np.int64),
        boxes_xyxy=faces.boxes_xyxy + shift,
        points5=faces.points5 + shift,
        dense=faces.dense + np.array([shift, shift, 0], np.float32),
    )


def cut(frame: Frame, matrix: Matrix, size: int) -> tuple[Frame, Mask]:
    """The aligned crop, and 1 where it shows the frame itself.

    What lies outside the frame goes on with its border's colours, blurred and fading to the crop's median: mirrored
    pixels, which look natural elsewhere, would put second eyes and mouths around a face that fills its picture.
    """
    crop = np.ascontiguousarray(warp(frame, matrix, (size, size)))
    inside = inside_frame(frame, matrix, size)
    if inside.min() > 0.5 or inside.max() <= 0.5:
        return crop, inside
    away = cv2.distanceTransform((inside <= 0.5).astype(np.uint8), cv2.DIST_L2, 5)[..., None] / size
    blurred = cv2.GaussianBlur(crop, (0, 0), FILL_BLUR * size).astype(np.float32)
    median = np.median(crop[inside > 0.5], axis=0)
    blend, fade = np.clip(away / FILL_BLUR, 0, 1), np.clip(away / FILL_FADE, 0, 1)
    filled = crop * (1 - blend) + (blurred * (1 - fade) + median * fade) * blend
    return np.where(inside[..., None] > 0.5, crop, np.rint(filled)).astype(np.uint8), inside


def inside_frame(frame: Frame, matrix: Matrix, size: int) -> Mask:
    """1 where a crop's pixel lies in the frame."""
    ones = np.ones(frame.shape[:2], np.float32)
    return np.asarray(warp(ones, matrix, (size, size), border=cv2.BORDER_CONSTANT), np.float32)


def in_crop(face: Face, matrix: Matrix, topology: Topology) -> Face:
    """The face as the crop shows it: points in its pixels, pose as seen there."""
    depth = face.dense[:, 2:] * np.float32(similarity_scale(matrix))
    dense = np.concatenate([transform(matrix, face.dense[:, :2]), depth], axis=1).astype(np.float32)
    return Face(
        number=0,
        box_xyxy=np.concatenate([dense[:, :2].min(axis=0), dense[:, :2].max(axis=0)]).astype(np.float32),
        score=face.score,
        points5=five_points(topology, dense),
        dense=dense,
        pose_degrees=head_pose(topology, dense),
    )


def place_facts(face: Face, matrix: Matrix, frame: Frame, size: int) -> dict[str, float]:
    """What is known before any pixel is looked at."""
    height, width = frame.shape[:2]
    picture = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    hull = cv2.convexHull(face.dense[:, :2].astype(np.float32))[:, 0]
    return {
        "face_px": round(float((face.box_xyxy[2:] - face.box_xyxy[:2]).max()), 1),
        "score": round(face.score, 4),
        "yaw": round(float(face.pose_degrees[0]), 1),
        "pitch": round(float(face.pose_degrees[1]), 1),
        "outside_share": _share_outside(transform(invert(matrix), corners), picture),
        "cut_share": _share_outside(np.asarray(hull, np.float32), picture),
    }


def _share_outside(shape: Float32[np.ndarray, "n 2"], picture: Float32[np.ndarray, "4 2"]) -> float:
    """Share of a convex shape's area that lies outside the picture."""
    common, _ = cv2.intersectConvexConvex(shape, picture)
    share = 1 - float(common) / max(float(cv2.contourArea(shape)), 1e-6)
    return round(min(max(share, 0.0), 1.0), 4)


def visible_part(analyser: Analyser, crop: Frame, face: Face, inside: Mask) -> tuple[Mask, float]:
    """Where the face is seen, and which share of it something hides; what lies outside the picture is not asked."""
    visible = analyser.visible(crop, face) * (inside > 0.5)
    grid = grid_over((0, 0, crop.shape[1], crop.shape[0]), 128)
    covered = rasterise(face.dense, analyser.topology.triangles, grid).covered()
    small = cv2.resize(inside, grid.size_wh, interpolation=cv2.INTER_AREA) > 0.5
    area = float((covered & small).mean()) * crop.shape[0] * crop.shape[1]
    hidden = 1 - float(visible.sum()) / max(area, 1.0)
    return visible.astype(np.float32), round(min(max(hidden, 0.0), 1.0), 4)


def as_faces(face: Face) -> Faces:
    """One face as `Faces`."""
    return Faces(
        numbers=np.array([face.number], np.int64),
        boxes_xyxy=face.box_xyxy[None],
        scores=np.array([face.score], np.float32),
        points5=face.points5[None],
        dense=face.dense[None],
        pose_degrees=face.pose_degrees[None],
    )
