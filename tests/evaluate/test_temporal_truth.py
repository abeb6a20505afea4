"""Frames of clips against the true swap's: every eighth one, lost ones at their worst."""

from __future__ import annotations

import dataclasses
import math

import pytest

from facegraft.evaluate.clips import ClipCase
from facegraft.evaluate.temporal import ClipSeen, answers_to, clip_values, score_clips
from facegraft.evaluate.temporal_still import still_clip
from facegraft.evaluate.temporal_truth import EVERY, METRICS
from tests.evaluate.cases_for_tests import own_eyes
from tests.evaluate.test_temporal import blinking, changed, clip


def test_the_true_swap_is_right_and_a_lost_frame_the_worst() -> None:
    methods = {
        "truth": changed(lambda _, frame: frame),
        "copy": lambda asked: list(asked.frames),
        "brighter": blinking(4),
        "first lost": changed(lambda number, frame: None if number == 0 else frame),
        "second lost": changed(lambda number, frame: None if number == 1 else frame),
    }
    found = {name: one.values for name, one in score_clips(methods, [clip()], own_eyes()).items()}
    assert found["truth"]["psnr_inside"][0] == 60
    assert found["truth"]["outside_changed"][0] == found["copy"]["outside_changed"][0] == 0
    assert found["copy"]["psnr_inside"][0] < 30
    assert found["copy"]["perceptual_inside"][0] > found["truth"]["perceptual_inside"][0] == pytest.approx(0, abs=1e-6)
    assert found["brighter"]["psnr_inside"][0] == pytest.approx(20 * math.log10(255 / 4), abs=0.3)
    assert found["brighter"]["outside_changed"][0] > 99
    assert {metric.name: found["first lost"][metric.name][0] for metric in METRICS} == {
        metric.name: metric.worst for metric in METRICS
    }
    assert found["second lost"]["psnr_inside"][0] == 60  # one frame in eight is looked at


def test_of_longer_clips_more_frames_count() -> None:
    short = clip()
    frames, truths = (*short.frames, *short.frames), (*(short.truths or ()), *(short.truths or ()))
    longer = dataclasses.replace(short, frames=frames, truths=truths)
    seen = ClipSeen(longer, own_eyes())
    assert list(seen.truths) == [0, EVERY]
    answers = [None if at == EVERY else truth for at, truth in enumerate(truths)]
    still = still_clip(longer)
    stills = answers_to(still.clip, lambda asked: list(asked.frames))
    assert clip_values(seen, answers, still, stills)["psnr_inside"] == 30  # half at 60, half at 0


def test_without_a_truth_nothing_is_measured() -> None:
    plain: ClipCase = dataclasses.replace(clip(), truths=None)
    values = score_clips({"copy": lambda asked: list(asked.frames)}, [plain], own_eyes())["copy"].values
    assert all(math.isnan(values[metric.name][0]) for metric in METRICS)
