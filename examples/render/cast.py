"""The people of the example pictures and what each picture shows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from draw import Actor, Camera
from light import Lamp, Lighting
from people import Person, Pose

BLACK = (0.016, 0.013, 0.011)

SOFT = Lighting(lamps=(Lamp(60, 10, (0.8, 0.85, 1.0), 5), Lamp(160, 35, (1.6, 1.5, 1.4), 10)))
SOFT_RIGHT = replace(
    SOFT,
    key_azimuth=38,
    key_elevation=30,
    lamps=(Lamp(-60, 5, (0.7, 0.75, 0.85), 5), Lamp(-150, 30, (1.8, 1.7, 1.6), 10)),
)
WINDOW_SIDE = Lighting(
    key_azimuth=-68,
    key_elevation=22,
    key_size=7,
    key=(3.0, 2.75, 2.4),
    lamps=(Lamp(150, 25, (1.3, 1.5, 1.9), 14),),
    sky=(0.22, 0.25, 0.30),
    ground=(0.12, 0.10, 0.085),
)
LATE_SUN = Lighting(
    key_azimuth=58,
    key_elevation=30,
    key_size=4,
    key=(2.9, 2.45, 1.9),
    lamps=(Lamp(-140, 20, (0.9, 1.1, 1.5), 12), Lamp(-40, 0, (0.18, 0.2, 0.25), 4)),
    sky=(0.30, 0.34, 0.42),
    ground=(0.20, 0.15, 0.11),
)
OFFICE = Lighting(
    key_azimuth=-20,
    key_elevation=48,
    key_size=18,
    key=(1.7, 1.68, 1.62),
    lamps=(Lamp(75, 15, (1.0, 1.0, 1.05), 6), Lamp(-100, 15, (0.9, 0.95, 1.05), 6), Lamp(170, 40, (1.3, 1.3, 1.3), 8)),
)

PEOPLE = {
    "anna": Person(
        seed=101,
        female=1,
        age=29,
        race=(0, 0.1, 0.9),
        skins={"young_lightskinned_female_diffuse2": 0.6, "young_lightskinned_female_diffuse3": 0.4},
        skin_colour=(0.56, 0.37, 0.285),
        hair="long01",
        hair_colour=(0.095, 0.052, 0.028),
        eyes="bluegreen",
        brow="001",
        lash_strength=0.8,
        lips=(1.0, 0.85, 0.88),
        variety=0.75,
        shirt=(0.55, 0.53, 0.5),
    ),
    "samuel": Person(
        seed=103,
        female=0,
        age=42,
        race=(0.85, 0.05, 0.1),
        skins={"middleage_darkskinned_male_diffuse": 0.6, "young_darkskinned_male_diffuse": 0.4},
        skin_colour=(0.17, 0.09, 0.055),
        hair="afro01",
        hair_gloss=0.25,
        hair_colour=BLACK,
        brow="009",
        stubble=0.35,
        variety=0.75,
        shirt=(0.09, 0.13, 0.22),
    ),
    "mei": Person(
        seed=101,
        female=1,
        age=52,
        race=(0.05, 0.85, 0.1),
        skins={"middleage_lightskinned_female_diffuse2": 0.7, "young_lightskinned_male_diffuse2": 0.3},
        skin_colour=(0.47, 0.31, 0.21),
        hair="long01",
        hair_end=6.15,
        hair_colour=(0.045, 0.038, 0.034),
        brow="012",
        lash_strength=0.6,
        lips=(0.95, 0.8, 0.82),
        variety=0.75,
        shirt=(0.28, 0.07, 0.09),
    ),
    "tom": Person(
        seed=103,
        female=0,
        age=35,
        race=(0, 0.05, 0.95),
        skins={"young_lightskinned_male_diffuse": 0.5, "middleage_lightskinned_male_diffuse2": 0.5},
        skin_colour=(0.5, 0.32, 0.235),
        hair="short01",
        hair_colour=(0.085, 0.048, 0.026),
        eyes="brownlight",
        brow="009",
        stubble=0.6,
        variety=0.8,
        shirt=(0.12, 0.16, 0.12),
    ),
    "priya": Person(
        seed=200,
        female=1,
        age=36,
        race=(0.2, 0.25, 0.55),
        skins={"middleage_lightskinned_female_diffuse2": 0.5, "middleage_darkskinned_female_diffuse": 0.5},
        skin_colour=(0.31, 0.18, 0.115),
        hair="ponytail01",
        hair_colour=BLACK,
        brow="001",
        lash_strength=0.8,
        lips=(1, 0.8, 0.82),
        variety=0.8,
        shirt=(0.5, 0.3, 0.1),
        glasses=True,
    ),
    "amara": Person(
        seed=200,
        female=1,
        age=27,
        race=(0.75, 0.05, 0.2),
        skins={"middleage_darkskinned_female_diffuse": 0.6, "young_darkskinned_male_diffuse": 0.4},
        skin_colour=(0.21, 0.115, 0.072),
        hair="long01",
        hair_colour=BLACK,
        brow="001",
        lash_strength=0.8,
        lips=(1.1, 0.8, 0.85),
        variety=0.8,
        shirt=(0.5, 0.42, 0.12),
    ),
    "henry": Person(
        seed=200,
        female=0,
        age=58,
        race=(0, 0.1, 0.9),
        skins={"old_lightskinned_male_diffuse2": 0.7, "middleage_lightskinned_male_diffuse": 0.3},
        skin_colour=(0.5, 0.33, 0.25),
        hair="short01",
        hair_colour=(0.3, 0.29, 0.28),
        eyes="grey",
        brow="009",
        stubble=0.2,
        variety=0.8,
        shirt=(0.2, 0.24, 0.32),
    ),
    "leo": Person(
        seed=203,
        female=0,
        age=32,
        race=(0.1, 0.4, 0.5),
        skins={"young_lightskinned_male_diffuse3": 0.6, "young_lightskinned_male_diffuse2": 0.4},
        skin_colour=(0.4, 0.245, 0.165),
        hair="short02",
        hairline=0.0,
        hair_colour=(0.025, 0.018, 0.014),
        brow="009",
        stubble=0.3,
        variety=0.75,
        shirt=(0.32, 0.33, 0.35),
    ),
}


def smile(strength: float) -> dict[str, float]:
    """A closed smile with slightly raised brows."""
    brows = {"eyebrows-left-up": 0.5 * strength, "eyebrows-right-up": 0.5 * strength}
    return brows | {"mouth-corner-puller": strength}


def cheeks(strength: float) -> dict[str, float]:
    return {"LeftCheekUp": strength, "RightCheekUp": strength}


@dataclass(frozen=True)
class Picture:
    actors: tuple[Actor, ...]
    lighting: Lighting
    camera: Camera
    wall: tuple[float, float, float]
    room_seed: int
    size_wh: tuple[int, int] = (768, 768)
    exposure: float = 0.62
    window: bool = True
    notes: dict[str, str] = field(default_factory=dict)


TEETH = smile(0.55) | {"mouth-upward-retraction": 0.55}
PORTRAIT = Camera((0.0, -0.38, 0.2), 3.7)

PICTURES = {
    "identity_1.jpg": Picture(
        (Actor(PEOPLE["anna"], Pose(yaw=-4, roll=2, blink=0.2, morphs=smile(0.35), units=cheeks(0.2))),),
        SOFT,
        PORTRAIT,
        (0.42, 0.40, 0.36),
        3,
    ),
    "identity_1_side.jpg": Picture(
        (Actor(PEOPLE["anna"], Pose(yaw=35, pitch=2, gaze=(-8, 0), blink=0.2, morphs=smile(0.15), body_yaw=10)),),
        SOFT_RIGHT,
        Camera((0.25, -0.38, 0.2), 3.7),
        (0.30, 0.34, 0.38),
        8,
    ),
    "identity_2.jpg": Picture(
        (Actor(PEOPLE["samuel"], Pose(yaw=5, pitch=1, blink=0.18, morphs=smile(0.32), units=cheeks(0.2))),),
        SOFT_RIGHT,
        PORTRAIT,
        (0.30, 0.29, 0.27),
        12,
        exposure=0.75,
    ),
    "identity_3.jpg": Picture(
        (Actor(PEOPLE["mei"], Pose(yaw=3, roll=-2, blink=0.15, morphs=smile(0.3), units=cheeks(0.2))),),
        OFFICE,
        PORTRAIT,
        (0.36, 0.38, 0.40),
        21,
        exposure=0.58,
    ),
    "attribute_1.jpg": Picture(
        (
            Actor(
                PEOPLE["tom"],
                Pose(
                    yaw=-24,
                    pitch=-4,
                    roll=5,
                    gaze=(10, 2),
                    blink=0.22,
                    body_yaw=-8,
                    morphs=TEETH,
                    units=cheeks(0.4)
                    | {"JawDrop": 0.03, "UpperLipUp": 0.3, "LeftLowerLidUp": 0.25, "RightLowerLidUp": 0.25},
                ),
            ),
        ),
        WINDOW_SIDE,
        Camera((-0.15, -0.38, 0.2), 3.7),
        (0.12, 0.11, 0.10),
        33,
        exposure=0.62,
        window=False,
    ),
    "attribute_2.jpg": Picture(
        (
            Actor(
                PEOPLE["priya"],
                Pose(
                    yaw=22,
                    pitch=7,
                    roll=-7,
                    gaze=(-6, -6),
                    blink=0.1,
                    body_yaw=6,
                    morphs={"eyebrows-left-up": 0.5, "eyebrows-right-up": 0.5, "mouth-corner-puller": 0.3},
                    units={"JawDrop": 0.5, "UpperLipUp": 0.5},
                ),
            ),
        ),
        LATE_SUN,
        Camera((0.15, -0.38, 0.2), 3.7),
        (0.16, 0.18, 0.20),
        41,
        exposure=0.72,
    ),
    "attribute_3.jpg": Picture(
        (
            Actor(
                PEOPLE["amara"],
                Pose(
                    yaw=16,
                    roll=-4,
                    gaze=(-8, 0),
                    blink=0.18,
                    body_yaw=12,
                    morphs=TEETH,
                    units=cheeks(0.4) | {"JawDrop": 0.02},
                ),
                (-1.75, -0.25, 0.2),
            ),
            Actor(
                PEOPLE["henry"],
                Pose(
                    yaw=-12,
                    pitch=3,
                    roll=3,
                    gaze=(6, -2),
                    blink=0.2,
                    body_yaw=-10,
                    morphs=smile(0.45),
                    units=cheeks(0.3),
                ),
                (1.75, 0.2, -0.3),
            ),
        ),
        OFFICE,
        Camera((0.0, -0.55, 0.0), 4.3),
        (0.40, 0.38, 0.34),
        52,
        size_wh=(1280, 720),
        exposure=0.58,
    ),
}
