"""Render the example clip: `python make_clip.py --assets DIR --out DIR`. Needs `espeak-ng` for the voice."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from cast import PEOPLE
from draw import Actor, Camera, Renderer
from finish import develop, room
from head import HeadModel
from light import Lamp, Lighting
from people import Pose

LOG = logging.getLogger("make_clip")
FPS, SECONDS, SIZE_WH = 25, 5, (1280, 720)
SAMPLE_RATE = 48000
TEXT = "This is a synthetic person. Nobody was filmed for this clip."
LIGHT = Lighting(
    key_azimuth=32,
    key_elevation=35,
    key_size=12,
    lamps=(Lamp(-70, 10, (0.7, 0.75, 0.9), 5), Lamp(-155, 30, (1.5, 1.5, 1.6), 10)),
)
CAMERA = Camera((0.0, -0.5, 0.2), 4.2)


def voice(work: Path) -> np.ndarray:
    """The spoken sentence, mono, -1..1, 5 s at 48 kHz."""
    path = work / "voice.wav"
    program = shutil.which("espeak-ng")
    if program is None:
        raise FileNotFoundError("espeak-ng: expected it on the PATH for the voice, found nothing; install it")
    subprocess.run([program, "-v", "en-us+m3", "-s", "148", "-p", "42", "-w", str(path), TEXT], check=True)
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    at = np.arange(int(len(sound) * SAMPLE_RATE / rate)) * rate / SAMPLE_RATE
    sound = np.interp(at, np.arange(len(sound)), sound)
    out = np.zeros(SAMPLE_RATE * SECONDS)
    start = int(0.25 * SAMPLE_RATE)
    sound = sound[: len(out) - start]
    out[start : start + len(sound)] = sound
    rng = np.random.default_rng(0)
    return 0.8 * out / np.abs(out).max() + 0.0008 * rng.normal(size=len(out))


def loudness(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per frame: how open (0..1) and how rounded (0..1) the mouth is, from level and pitch of the sound."""
    step = SAMPLE_RATE // FPS
    frames = np.stack([sound[max(i * step - step // 2, 0) :][: 2 * step] for i in range(FPS * SECONDS - 2)])
    level = np.sqrt((frames**2).mean(1))
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), axis=1))
    hertz = np.fft.rfftfreq(frames.shape[1], 1 / SAMPLE_RATE)
    centre = (spectrum * hertz).sum(1) / spectrum.sum(1)
    open_ = np.clip(level / np.quantile(level, 0.93), 0, 1.1) * np.clip(1.5 - centre / 3500, 0.15, 1)
    rounded = np.clip((1500 - centre) / 700, 0, 1) * (level > 0.25 * level.max())
    smooth = np.array([0.25, 0.5, 0.25])
    pad = (0, FPS * SECONDS - len(open_))
    return tuple(np.convolve(np.pad(v, pad), smooth, "same") for v in (open_, rounded))


def bump(t: float, at: float, width: float) -> float:
    """1 at `at`, smoothly 0 beyond `width` seconds."""
    d = abs(t - at) / width
    return 0.5 + 0.5 * np.cos(np.pi * d) if d < 1 else 0.0


def pose_at(t: float, jaw: float, rounded: float) -> Pose:
    x = t / SECONDS
    yaw = -30 + 60 * (x * x * (3 - 2 * x))
    pitch = (
        3.5 * np.sin(2 * np.pi * t / 1.9) * np.exp(-(((t - 2.2) / 1.6) ** 2)) + 1.2 * np.sin(2 * np.pi * t / 3.1) + 1
    )
    look = -0.45 * yaw + 5 * (bump(t, 1.75, 0.35) - bump(t, 3.9, 0.4))
    brows = 0.55 * bump(t, 0.8, 0.45) + 0.75 * bump(t, 2.75, 0.5) - 0.25 * bump(t, 4.1, 0.5)
    blink = max(bump(t, 1.32, 0.16), bump(t, 3.42, 0.16))
    morphs = {"mouth-corner-puller": 0.18 + 0.25 * bump(t, 4.9, 0.8)}
    for side in ("left", "right"):
        morphs[f"eyebrows-{side}-{'up' if brows > 0 else 'down'}"] = abs(brows)
    units = {"JawDrop": 0.36 * jaw, "LipsKiss": 0.45 * rounded, "UpperLipUp": 0.35 * jaw}
    return Pose(
        yaw=yaw,
        pitch=pitch,
        roll=2.5 * np.sin(2 * np.pi * t / 4.2),
        gaze=(float(np.clip(look, -18, 18)), 2 * np.sin(2.1 * t)),
        blink=0.18 + 0.84 * blink,
        body_yaw=0.15 * yaw,
        morphs=morphs,
        units=units,
    )


def write(path: Path, frames: list[Path], sound: np.ndarray, crf: int) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        video = out.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "slow"})
        video.width, video.height, video.pix_fmt = *SIZE_WH, "yuv420p"
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
        audio = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = 80_000
        for i, name in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(cv2.imread(str(name))[..., ::-1].copy(), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="itu709")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            out.mux(video.encode(frame))
        for start in range(0, len(sound), 1024):
            block = av.AudioFrame.from_ndarray(sound[None, start : start + 1024].astype(np.float32), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            out.mux(audio.encode(block))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    assets = os.environ.get("FACEGRAFT_MAKEHUMAN")
    parser.add_argument(
        "--assets", type=Path, default=assets, required=assets is None, help="MakeHuman pack (holds data/)"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent)
    parser.add_argument("--work", type=Path, required=True, help="folder for frames; those already there are kept")
    parser.add_argument("--passes", type=int, default=16)
    parser.add_argument("--rays", type=int, default=40)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="render only frames i, i+n, ... (i n)")
    parser.add_argument("--crf", type=int, default=20)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    sound = voice(args.work)
    jaw, rounded = loudness(sound)
    frames = [args.work / f"{i:04d}.png" for i in range(FPS * SECONDS)]
    renderer = Renderer(HeadModel(args.assets, levels=1), args.assets)
    background = room(SIZE_WH, 64, (0.30, 0.33, 0.35))
    for i in range(args.part[0], len(frames), args.part[1]):
        if frames[i].exists():
            continue
        actor = Actor(PEOPLE["leo"], pose_at(i / FPS, jaw[i], rounded[i]))
        layers = renderer.layers([actor], LIGHT, CAMERA, SIZE_WH, args.passes, args.rays)
        image = develop(layers, background, SIZE_WH[1] / CAMERA.height / 100, 0.66, i, grain=0.006)
        cv2.imwrite(str(frames[i]), image[..., ::-1])
        LOG.info("frame %d", i)
    if all(f.exists() for f in frames):
        write(args.out / "clip.mp4", frames, sound, args.crf)


if __name__ == "__main__":
    main()
