"""What scenes ask of heads: each row its own, left is left, folds where the expression draws them."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from facegraft.data.synth.body import Body  # noqa: E402
from facegraft.data.synth.cast import CHANNELS, Actor  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.perform import motion_of, wrinkling  # noqa: E402
from facegraft.data.synth.scene import lid_closure, sample_scene  # noqa: E402


@pytest.fixture(scope="module")
def body(makehuman):
    return Body(makehuman)


def scene(morphs=(), units=(), **changes):
    plain = sample_scene(1, "ordinary")
    return replace(plain, expression=replace(plain.expression, morphs=dict(morphs), units=dict(units)), **changes)


def actor(wrinkles):
    person = sample_person(0)
    nothing = torch.zeros(3)
    shape, skin = torch.zeros(1, 3), torch.zeros(1, 1, CHANNELS)
    parts = (person.eyes, person.lashes, person.teeth, person.beard, person.hair_colour)
    return Actor(shape, nothing, skin, nothing, *parts, wrinkles)


def test_every_row_gets_its_own_weights_and_angles(body):
    scenes = [
        scene({"mouth-open": 0.4}, {"JawDrop": 0.9}, yaw=20.0, blink=(0.8, 0.1), gaze=(5.0, -10.0)),
        scene({"mouth-pursing": 0.7}, yaw=-30.0, blink=(0.0, 0.5), gaze=(-3.0, 4.0), body_yaw=-12.0),
    ]
    motion = motion_of(scenes, body)
    for row, asked in enumerate(scenes):
        named = dict(zip(body.morph_names, motion.morphs[row].tolist(), strict=True))
        named |= dict(zip(body.unit_names, motion.units[row].tolist(), strict=True))
        wanted = asked.expression.morphs | asked.expression.units
        assert {name: value for name, value in named.items() if value} == pytest.approx(wanted)
        assert motion.head[row].tolist() == pytest.approx([asked.yaw, asked.pitch, asked.roll])
        assert motion.body_yaw[row].item() == pytest.approx(asked.body_yaw)
        assert motion.gaze[row].tolist() == [pytest.approx(asked.gaze)] * 2
        assert motion.blink[row].tolist() == pytest.approx(lid_closure(asked.blink, asked.gaze))
    assert motion.blink[0, 0] > motion.blink[0, 1]


@pytest.mark.parametrize(
    ("morphs", "units", "drawn"),
    [
        ({"eyebrows-left-up": 0.9, "eyebrows-right-up": 0.9}, {}, {0}),
        ({"eyebrows-left-down": 0.9, "eyebrows-right-down": 0.9}, {}, {1}),
        ({}, {"LeftCheekUp": 0.8, "RightCheekUp": 0.8}, {2}),
        ({}, {"NasolabialDeepener": 0.8}, {3}),
        ({"mouth-corner-puller": 0.9}, {}, {2, 3}),
        ({}, {}, set()),
    ],
)
def test_folds_come_where_the_expression_draws_them(morphs, units, drawn):
    folds = wrinkling([scene(morphs, units)], [actor(wrinkles=0.5)])[0]
    assert {n for n in range(4) if folds[n] > 0.05} == drawn
    deeper = wrinkling([scene(morphs, units)], [actor(wrinkles=1.0)])[0]
    assert (deeper >= folds).all()
    assert drawn == set() or (deeper > folds).any()
