"""Scenes: the same for a seed, whole through JSON, inside their ranges, and honest about the assets they name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.data.synth.expressions import (
    BROKEN,
    MILD,
    NAMED_MILD,
    NAMED_STRONG,
    PRESETS,
    RANDOM_MORPHS,
    RANDOM_UNITS,
    STRONG,
    Expression,
    combined,
    mirrored,
    preset_mix,
    random_units,
    sample_expression,
    tamed,
)
from facegraft.data.synth.named import NAMED_UNITS, read_named
from facegraft.data.synth.scene import (
    FACE_CENTRE_DM,
    FACE_HEIGHT_DM,
    STRATA,
    Camera,
    Scene,
    camera_distance,
    evenly_lit,
    from_json,
    lid_closure,
    sample_scene,
    to_json,
)


def scenes(stratum: str, count: int = 150) -> list[Scene]:
    return [sample_scene(seed, stratum) for seed in range(count)]


@pytest.mark.parametrize("stratum", STRATA)
def test_a_scene_survives_json_and_is_the_same_for_its_seed(stratum: str) -> None:
    for seed in range(20):
        scene = sample_scene(seed, stratum)
        assert from_json(to_json(scene)) == scene == sample_scene(seed, stratum)
    assert sample_scene(0, stratum) != dataclasses.replace(sample_scene(1, stratum), seed=0)


def test_even_light_changes_light_and_camera_alone() -> None:
    for scene in scenes("hard light", 5):
        even = evenly_lit(scene)
        same = {"light", "post"}
        assert {
            field.name for field in dataclasses.fields(Scene) if getattr(even, field.name) != getattr(scene, field.name)
        } == same
        assert even.light.measured < 0
        assert len({*even.light.sky}) == len({*even.light.key}) == 1  # white
        assert (even.post.noise, even.post.exposure, even.post.jpeg) == (0, 1, 100)
        assert (even.post.blur_px, even.post.contrast) == (scene.post.blur_px, scene.post.contrast)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"seed": 1}'])
def test_what_is_no_scene_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadInputError, match=r"^a scene's JSON: .*$"):
        from_json(text)


@pytest.mark.parametrize(("field", "value"), [("yaw", "left"), ("gaze", [1.0]), ("camera", {}), ("colour", 3)])
def test_a_wrong_field_is_refused(field: str, value: object) -> None:
    plain = json.loads(to_json(sample_scene(0)))
    plain[field] = value
    with pytest.raises(BadInputError):
        from_json(json.dumps(plain))


def test_an_unknown_stratum_is_refused() -> None:
    with pytest.raises(BadInputError, match="expected one of mixed"):
        sample_scene(0, "odd")


def test_strata_keep_their_promises() -> None:
    strong = {"sun", "night street", "coloured", "backlit", "flash", "low", "spot"}
    ordinary, large, hard = scenes("ordinary"), scenes("large pose"), scenes("hard light")
    assert all(abs(s.yaw) < 30 and not s.props and s.light.kind not in strong for s in ordinary)
    assert all(not any(worn.kind in ("face_mask", "scarf") for worn in s.worn) for s in ordinary)
    assert all(set(s.expression.name.split(" + ")) <= {*MILD, *NAMED_MILD, "neutral"} for s in ordinary)
    assert all(40 <= abs(s.yaw) <= 75 and abs(s.pitch) <= 30 for s in large)
    assert all(s.light.kind in strong for s in hard)
    assert all(set(s.expression.name.split(" + ")) <= {*STRONG, *NAMED_STRONG} for s in scenes("extreme expression"))
    hides = {"face_mask", "scarf", "glasses", "hat"}
    assert all(s.props or any(worn.kind in hides for worn in s.worn) for s in scenes("occluded"))


def test_mixed_is_wide_with_its_mass_in_front() -> None:
    yaw = np.array([s.yaw for s in scenes("mixed", 600)])
    assert 0.45 < (np.abs(yaw) < 20).mean() < 0.75
    assert 0.05 < (np.abs(yaw) > 40).mean() < 0.25
    assert np.abs(yaw).max() <= 75
    assert abs(np.median(yaw)) < 4
    kinds = {s.light.kind for s in scenes("mixed", 300)}
    assert len(kinds) == 10


def test_most_pictures_are_clean_and_some_are_bad() -> None:
    post = [s.post for s in scenes("mixed", 400)]
    clean = [p.noise < 0.015 and p.blur_px < 0.7 and p.jpeg >= 80 and p.motion_px == 0 for p in post]
    assert 0.5 < np.mean(clean) < 0.8
    assert min(p.jpeg for p in post) < 55
    assert max(p.noise for p in post) > 0.028
    assert all(40 <= p.jpeg <= 100 and 0 <= p.noise <= 0.032 for p in post)


def test_face_height_and_centre_are_those_of_the_mean_face(makehuman: Path) -> None:
    """Chin as in the assets; the hairline as far above the brows as they are above the nose's base (Farkas)."""
    from facegraft.data.synth.formats import read_morph, read_obj

    body = read_obj(makehuman / "data/3dobjs/base.obj").vertices.copy()
    for sex in ("female", "male"):
        names = {f"universal-{sex}-young-averagemuscle-averageweight": 0.5}
        names |= {f"{race}-{sex}-young": 0.5 / 3 for race in ("african", "asian", "caucasian")}
        for name, weight in names.items():
            rows, moved = read_morph(makehuman / f"data/targets/macrodetails/{name}.target")
            body[rows] += weight * moved
    ids = json.loads((makehuman / "derived/landmarks68_vertex_ids.json").read_text())
    points = body[ids if isinstance(ids, list) else next(v for v in ids.values() if isinstance(v, list))]
    brow, base, chin = points[17:27, 1].mean(), points[33, 1], points[8, 1]
    hairline = brow + (brow - base)
    assert hairline - chin == pytest.approx(FACE_HEIGHT_DM, abs=0.06)
    eyes = points[36:48, 1].mean()
    assert (hairline + chin) / 2 - eyes == pytest.approx(FACE_CENTRE_DM[1], abs=0.05)


def test_the_camera_stands_where_the_face_fills_its_share() -> None:
    camera = Camera(fov_degrees=30.0, scale=0.5, shift_xy=(0.0, 0.0), roll=0.0)
    height = 2 * camera_distance(camera) * np.tan(np.radians(15))
    assert height * 0.5 == pytest.approx(FACE_HEIGHT_DM)


def test_lids_follow_the_gaze() -> None:
    assert lid_closure((0.12, 0.12), (0.0, 0.0)) == (0.12, 0.12)
    down, up = lid_closure((0.12, 0.12), (0.0, -20.0)), lid_closure((0.12, 0.12), (0.0, 20.0))
    assert down[0] == pytest.approx(0.12 + 0.3 * 0.88)
    assert up[0] == pytest.approx(0.0, abs=0.02)
    assert lid_closure((1.0, 0.0), (0.0, -20.0)) == pytest.approx((1.0, 0.3))


def test_presets_and_random_parts_exist_in_the_assets(makehuman: Path) -> None:
    morphs = {path.stem for path in (makehuman / "data/targets/expression/units/asian").glob("*.target")}
    units = set(json.loads((makehuman / "data/poseunits/face-poseunits.json").read_text())["framemapping"])
    for preset in PRESETS.values():
        assert set(preset.morphs) <= morphs
        assert set(preset.units) <= units
    rng = np.random.default_rng(0)
    everything = [random_units(rng) for _ in range(600)]
    assert {m for e in everything for m in e.morphs} <= morphs - {"mouth-open"}
    assert {u for e in everything for u in e.units} <= units
    assert len(PRESETS) >= 24
    seen = {name for e in everything for name in (*e.morphs, *e.units)}
    assert len(seen) > len(RANDOM_MORPHS) + len(RANDOM_UNITS)


@pytest.mark.parametrize("stratum", STRATA)
def test_weights_stay_in_range_and_the_mouth_is_not_torn(stratum: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(150):
        expression, _ = sample_expression(rng, stratum)
        weights = {**expression.morphs, **expression.units}
        assert all(0 < w <= 1 for w in weights.values())
        assert sum(weights.get(n, 0) for n in ("JawDrop", "JawDropStretched", "TongueOut")) <= 1 + 1e-9


def test_blinks_are_relaxed_closed_or_winks() -> None:
    rng = np.random.default_rng(0)
    lids = np.array([sample_expression(rng)[1] for _ in range(2000)])
    assert lids.min() >= 0
    assert lids.max() == 1
    assert np.median(lids) == pytest.approx(0.12, abs=0.02)
    winks = np.abs(lids[:, 0] - lids[:, 1]) > 0.3
    left = lids[winks, 0] > lids[winks, 1]
    assert 5 < winks.sum() < 120
    assert 0.2 < left.mean() < 0.8


def test_mirroring_twice_changes_nothing_and_once_exchanges_sides() -> None:
    expression, _ = preset_mix({"smirk": 1.0, "doubtful brow": 0.5})
    once = mirrored(expression)
    assert mirrored(once) == expression
    assert once.units["MouthRightPullUp"] == expression.units["MouthLeftPullUp"]
    assert once.morphs["eyebrows-left-down"] == expression.morphs["eyebrows-right-down"]


def test_taming_lets_opposites_cancel_and_leaves_one_preset_nearly_alone() -> None:
    brows = tamed(Expression("x", {"eyebrows-left-up": 0.9, "eyebrows-left-down": 0.4}))
    assert brows.morphs == {"eyebrows-left-up": pytest.approx(0.5)}
    shut = tamed(Expression("x", {"mouth-compression": 1.0}, {"JawDrop": 0.9}))
    assert "mouth-compression" not in shut.morphs
    assert shut.units["JawDrop"] == 0.9
    smile = preset_mix({"smile": 1.0})[0]
    assert tamed(smile) == smile
    assert combined(smile, smile, 0.5).morphs["mouth-corner-puller"] == pytest.approx(1.2)


def test_the_table_of_named_expressions_is_what_the_assets_say(makehuman: Path) -> None:
    names = {path.stem for path in (makehuman / "data/expressions").glob("*.mhpose")}
    assert names == set(NAMED_UNITS)
    assert {name: read_named(makehuman, name) for name in names} == NAMED_UNITS
    assert not any("Eyeturn" in unit or unit.endswith(("EyeUp", "EyeDown")) for w in NAMED_UNITS.values() for unit in w)


def test_named_expressions_keep_their_sides_and_leave_lids_to_the_blink() -> None:
    stunned, smile = PRESETS["stunned01"], PRESETS["smile02"]
    assert stunned.blink == (0.42, 0.64)
    assert stunned.morphs == {"eyebrows-left-extern-up": 0.22}
    assert stunned.units == {"JawDrop": 0.16}
    assert smile.morphs == {"eyebrows-left-down": 0.12, "mouth-corner-puller": 0.54}
    assert smile.units["MouthLeftPullUp"] == pytest.approx(0.89 - 0.54)
    assert "MouthRightPullUp" not in smile.units


def test_named_expressions_are_a_fifth_of_all_presets_drawn_and_broken_ones_never() -> None:
    rng = np.random.default_rng(5)
    for stratum, ours, named in (
        ("ordinary", MILD, NAMED_MILD),
        ("extreme expression", STRONG, NAMED_STRONG),
        ("mixed", MILD | STRONG, NAMED_MILD | NAMED_STRONG),
    ):
        drawn = [n for _ in range(1500) for n in sample_expression(rng, stratum)[0].name.split(" + ")]
        drawn = [name for name in drawn if name not in ("neutral", "random")]
        assert set(drawn) == {*ours, *named}, "each is drawn some time"
        assert np.mean([name in named for name in drawn]) == pytest.approx(0.2, abs=0.04)
    assert not set(BROKEN) & set(PRESETS)
    assert {*BROKEN, *NAMED_MILD, *NAMED_STRONG} == set(NAMED_UNITS)


def test_a_missing_or_broken_expression_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="facegraft data assets"):
        read_named(tmp_path, "joy")
    (tmp_path / "data/expressions").mkdir(parents=True)
    (tmp_path / "data/expressions/joy.mhpose").write_text('{"unit_poses": {"JawDrop": "wide"}}')
    with pytest.raises(BadInputError, match="unit_poses"):
        read_named(tmp_path, "joy")
