"""What numbers of one protocol give: another value of a primary metric is another protocol, or other networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facegraft.core.files import sha256
from facegraft.evaluate.eyes import OWN_IDENTITY, SECOND
from facegraft.evaluate.features import OwnFeature
from facegraft.evaluate.floors import paste_face
from facegraft.evaluate.look import Eyes
from facegraft.evaluate.protocol import PROTOCOL
from facegraft.evaluate.run import SUITES, all_of, load_suites
from facegraft.evaluate.score import score
from facegraft.faces.fetch import OWN, WEIGHTS
from facegraft.faces.recognisers import OnnxRecogniser
from tests.evaluate.cases_for_tests import case_of_examples, own_eyes

NETWORKS = {
    "attributes": "e094137c",
    "detector": "88b2ed53",
    "identity": "14658ba5",
    "landmarks": "670104a8",
    "parser": "891f7af3",
}
"""First digits of the files' hashes with which `VALUES` were measured."""
VALUES = {
    "psnr_inside": 15.519,
    "psnr_toned": 15.233,
    "ssim_inside": 0.53486,
    "perceptual_inside": 0.51126,
    "expression_truth": 3.0996,
    "gaze_truth": 4.2348,
    "identity_cosine_second": 0.17022,
    "top1_second": 33.333,
    "pose_degrees": 3.9172,
    "expression_weights": 3.0594,
    "iris_offset": 1.6997,
    "light": 0.42871,
}
"""Mean over three pairs of example people, of faces that are pasted."""


def measured() -> dict[str, float]:
    """Primary metrics of pasted answers, that have a value with our own networks alone."""
    eyes = dataclasses.replace(own_eyes(), judges={SECOND: OnnxRecogniser(OWN_IDENTITY)})
    with_feature = Eyes(eyes.analyser, eyes.reader, eyes.judges, OwnFeature(OWN_IDENTITY))
    people = ("identity_1", "identity_2", "identity_3")
    cases = [
        dataclasses.replace(case, key=f"{first} {second}", toned=None if case.truth is None else case.truth - 5)
        for first in people
        for second in people
        if first < second
        for case in [case_of_examples(first, second)]
    ]
    suites = load_suites(SUITES)
    answers = {"paste": lambda case: paste_face(eyes.analyser, case.identity, case.attribute)}
    scores = score(answers, cases, with_feature, suites)["paste"]
    names = [metric.name for suite in suites for metric in all_of(suite) if metric.primary]
    means = {name: float(np.mean(scores.values[name])) for name in names if name in scores.values}
    return {name: value for name, value in means.items() if np.isfinite(value)}


def test_another_value_of_a_primary_metric_takes_another_protocol() -> None:
    files = {name: sha256(WEIGHTS / f"{name}.onnx")[:8] for name in (*OWN, "attributes", "identity")}
    assert files == NETWORKS, "other networks: measure VALUES anew; the protocol's number stays"
    assert PROTOCOL == "facegraft-image-2"
    assert measured() == pytest.approx(VALUES, rel=0.01), f"{PROTOCOL} no longer gives its numbers: raise its number"
