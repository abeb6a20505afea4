"""`facegraft doctor`: what is installed, what works on this machine, what each verb lacks and how to mend it."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import facegraft

if TYPE_CHECKING:
    from facegraft.runtime.probe import Probe

MODULES = {
    "av": "av",
    "jaxtyping": "jaxtyping",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "opencv-python-headless": "cv2",
    "pillow": "PIL.Image",
    "rich": "rich",
    "safetensors": "safetensors.numpy",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "onnx": "onnx",
    "pip": "pip",
    "pillow-heif": "pillow_heif",
    "c2pa-python": "c2pa",
    "cryptography": "cryptography",
    "torch": "torch",
    "scipy": "scipy.sparse",
    "pydantic": "pydantic",
    "onnxscript": "onnxscript",
    "tensorboardx": "tensorboardX",
    "dask": "distributed",
}
"""Package -> what has to be importable; the packages of pyproject.toml and no other."""
SOFTWARE_ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1")
HARDWARE_ENCODERS = (
    *("h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "h264_amf", "hevc_amf"),
    *("h264_vaapi", "hevc_vaapi", "h264_videotoolbox", "hevc_videotoolbox"),
)


@dataclass(frozen=True)
class Lack:
    """Something that is not there.

    Attributes:
        verbs: The verbs that miss it.
        what: One line: what is missing and what cannot be done without it.
        mend: The one command that brings it.
        blocks: The main job, a swap in a picture or a video, cannot run without it.
    """

    verbs: tuple[str, ...]
    what: str
    mend: str
    blocks: bool


@dataclass(frozen=True)
class Part:
    """A package outside the base install: an extra that brings it, who uses it, what is lost without it."""

    extra: str
    verbs: tuple[str, ...]
    loss: str


PARTS = {
    "ai-edge-litert": Part("mediapipe", ("ingest",), "no teacher's labels (`ingest --points mediapipe`)"),
    "onnx": Part("recogniser", ("models",), "the recogniser cannot be made"),
    "pip": Part("recogniser", ("models",), "neither the recogniser nor the teacher can be fetched"),
    "pillow-heif": Part("heif", ("swap", "analyse"), "HEIC pictures cannot be read or written"),
    "c2pa-python": Part("provenance", ("swap", "verify"), "no C2PA manifest is signed or checked"),
    "cryptography": Part("provenance", ("swap",), "no key to sign with can be made"),
    "torch": Part(
        "train", ("synth", "data", "methods", "train", "export"), "no person can be rendered, nothing can be trained"
    ),
    "scipy": Part("train", ("synth", "data"), "no person can be rendered"),
    "pydantic": Part("train", ("train", "export"), "no config can be read"),
    "onnxscript": Part("train", ("export",), "no network can be written as ONNX"),
    "tensorboardx": Part("train", ("train",), "no run can be written for TensorBoard"),
    "dask": Part("scale", ("ingest",), "work cannot be spread over a cluster"),
}
"""Package of an extra -> what it is for; every other package of `MODULES` is in the base install."""


_FACES = ("swap", "analyse", "ingest", "eval")
OWN_LOSSES = {
    "detector": (_FACES, "no face is found"),
    "landmarks": (_FACES, "no points are placed on a face"),
    "parser": (_FACES, "nobody knows what covers a face"),
    "attributes": (("swap", "eval"), "nothing is measured after a swap, and `eval` does not run"),
    "shading": (("swap",), "the warp, the default, cannot tell a face from its light"),
    "identity": (("eval",), "no feature of faces to measure realism by, and nobody to stand in for the second judge"),
}
"""Our own network -> who uses it, what is lost without it. Those of analysis and of the warp block the main job."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """examples:
  facegraft doctor
  facegraft doctor | tail -n 1 | python -m json.tool      the last line is for programs

Exit code: 0 if a picture or a video can be swapped here, else 1."""
    parser.add_argument(
        "--timeout",
        type=float,
        default=120,
        metavar="SECONDS",
        help="give up on a device after this long (default: 120)",
    )


def run(args: argparse.Namespace) -> int:
    print(f"facegraft {facegraft.__version__}, Python {platform.python_version()}, {platform.platform()}")
    packages = {name: package_state(name) for name in MODULES}
    _print_table("packages", [(name, state) for name, state in packages.items()])
    video = _video_facts()
    _print_table("video", list(video.items()))
    machine = _machine_facts()
    _print_table("machine", list(machine.items()))
    probes = _probe_all(args.timeout)
    _print_table("ONNX Runtime: one convolution on each provider", [_probe_row(probe) for probe in probes])
    lacks = [
        *package_lacks(packages),
        *_video_lacks(video),
        *_device_lacks(probes),
        *_model_lacks(),
        *_asset_lacks(),
        *_verb_lacks(),
    ]
    _print_table("verbs", _verb_rows(lacks))
    works = not any(lack.blocks for lack in lacks)
    print(
        "\nThe main job can run."
        if works
        else "\nThe main job cannot run yet: mend what is marked with *, from the top."
    )
    facts = {"ok": works, "facegraft": facegraft.__version__, "python": platform.python_version(), "packages": packages}
    facts |= {"video": video, "machine": machine}
    print(json.dumps(facts | {"providers": [asdict(p) for p in probes], "lacks": [asdict(lack) for lack in lacks]}))
    return 0 if works else 1


def package_state(name: str) -> str:
    """Its version; or "missing"; or "broken: " and why it cannot be imported."""
    from importlib import metadata

    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
    try:
        importlib.import_module(MODULES[name])
    except Exception as error:  # noqa: BLE001 - a native library may fail in any way, and that is the finding
        return f"broken: {type(error).__name__}: {error}"
    return version


def package_lacks(packages: dict[str, str]) -> Iterator[Lack]:
    """What the missing and broken ones of these packages (name -> state) mean."""
    bad = {name: state for name, state in packages.items() if state == "missing" or state.startswith("broken")}
    base = [name for name in bad if name not in PARTS]
    if base:
        what = f"{', '.join(f'{name} {bad[name]}' for name in base)}: nothing works without"
        yield Lack(_all_verbs(), what, f"pip install --force-reinstall {' '.join(base)}", blocks=True)
    for name, part in PARTS.items():
        if name in bad:
            what = f"{name} {bad[name]}: {part.loss}"
            yield Lack(part.verbs, what, f"pip install 'facegraft[{part.extra}]'", blocks=False)


def _video_facts() -> dict[str, str]:
    try:
        import av
    except Exception as error:  # noqa: BLE001 - the packages' table says the same; the rest of the report goes on
        return {"FFmpeg": f"unknown: {error}"}
    versions = {name: ".".join(map(str, parts)) for name, parts in av.library_versions.items()}
    libraries = ", ".join(f"{name} {versions.get(name)}" for name in ("libavcodec", "libavformat", "libswscale"))
    hardware = [name for name in HARDWARE_ENCODERS if name in av.codecs_available]
    return {
        "FFmpeg": f"{av.ffmpeg_version_info} inside PyAV ({libraries})",
        "encoders": " ".join(name for name in SOFTWARE_ENCODERS if name in av.codecs_available) or "none",
        "hardware encoders": " ".join(name for name in hardware if _encoder_opens(name))
        or f"none works here (tried: {' '.join(hardware) or 'none built in'})",
    }


def _encoder_opens(name: str) -> bool:
    from fractions import Fraction

    import av

    av.logging.set_level(None)  # FFmpeg's own lines say for each encoder at length that there is no such chip
    try:
        context = av.CodecContext.create(name, "w")
        context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"  # type: ignore[attr-defined]  # a video context
        context.time_base = Fraction(1, 25)
        context.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _machine_facts() -> dict[str, str]:
    from facegraft.core.machine import memory_bytes, physical_cores

    total, free = memory_bytes()
    here = Path.cwd()
    memory = "unknown" if total is None else f"{_gb(total)}" + ("" if free is None else f", {_gb(free)} free")
    return {
        "cores": f"{physical_cores()} physical for this process, {os.cpu_count()} logical in the machine",
        "memory": memory,
        "disk": f"{_gb(shutil.disk_usage(here).free)} free in the current folder",
    }


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _probe_all(timeout_s: float) -> list[Probe]:
    try:
        from facegraft.runtime.probe import probe_apart
        from facegraft.runtime.session import available_providers
    except Exception:  # noqa: BLE001 - numpy or onnxruntime is broken: the packages' table says why
        return []
    return [probe_apart(provider, timeout_s) for provider in available_providers()]


def _probe_row(probe: Probe) -> tuple[str, str]:
    return probe.provider, f"works, {probe.milliseconds:.2f} ms" if probe.works else f"no: {probe.error}"


def _video_lacks(video: dict[str, str]) -> Iterator[Lack]:
    if "libx264" not in video.get("encoders", ""):
        yield Lack(
            ("swap",), "no libx264 in PyAV: no video is written", "pip install --force-reinstall av", blocks=True
        )


def _device_lacks(probes: list[Probe]) -> Iterator[Lack]:
    cpu = next((probe for probe in probes if probe.provider == "CPUExecutionProvider"), None)
    if cpu is None or not cpu.works:
        what = f"ONNX Runtime does not work on the CPU: {cpu.error if cpu else 'provider absent'}"
        yield Lack(("swap", "analyse"), what, "pip install --force-reinstall onnxruntime", blocks=True)


def _model_lacks(weights: Path | None = None) -> Iterator[Lack]:
    """Of our own networks, in another folder than the package's if one is named; of others' networks."""
    from facegraft.core.errors import MissingPartError
    from facegraft.faces.fetch import (
        FOR_WARP,
        WEIGHTS,
        broken_models,
        judge_state,
        missing_models,
        own_networks,
        recogniser_path,
    )

    for network in own_networks(weights or WEIGHTS):
        if network.state != "ok":
            verbs, loss = OWN_LOSSES.get(network.name, (("models",), "nothing that a verb needs"))
            what = f"our own network {network.name} is {network.state}: {loss}"
            yield Lack(verbs, what, "pip install --force-reinstall facegraft", blocks=network.name in FOR_WARP)
    for problem, names in (("not fetched yet", missing_models()), ("damaged", broken_models())):
        if names:
            what = f"teacher {problem} ({', '.join(names)}): no teacher's labels (`ingest --points mediapipe`)"
            yield Lack(("ingest",), what, "facegraft models fetch --teacher", blocks=False)
    try:
        recogniser_path()
    except MissingPartError:
        what = (
            "recogniser not fetched yet: people cannot be told apart (--map, a reference picture, people of a clip), "
            "and `eval` has one judge of identity less"
        )
        yield Lack(("swap", "analyse", "eval"), what, "facegraft models fetch --recogniser", blocks=False)
    if (state := judge_state()) != "ok":
        problem = "not fetched yet" if state == "missing" else "damaged"
        what = f"second judge of identity {problem}: our own recogniser, no independent judge, stands in"
        yield Lack(("eval",), what, "facegraft models fetch --judge", blocks=False)


def _asset_lacks() -> Iterator[Lack]:
    """Of MakeHuman's files, of which people are rendered."""
    try:
        from facegraft.core.errors import MissingPartError
        from facegraft.data.assets import VARIABLE, find_assets
    except Exception:  # noqa: BLE001 - numpy or Pillow is broken: the packages' table says why
        return
    try:
        find_assets()
    except MissingPartError as error:
        where = str(error).partition(";")[0]
        what = f"{where}: no person can be rendered ({VARIABLE} names another folder that has them)"
        yield Lack(("synth", "data"), what, "facegraft data assets", blocks=False)


def _verb_lacks() -> Iterator[Lack]:
    for verb in _all_verbs():
        try:
            importlib.import_module(f"facegraft.cli.{verb}")
        except Exception as error:  # noqa: BLE001 - whatever keeps a verb from loading is the finding
            what = f"does not load: {type(error).__name__}: {error}"
            yield Lack((verb,), what, "pip install --force-reinstall facegraft", blocks=verb == "swap")


def _verb_rows(lacks: list[Lack]) -> list[tuple[str, str]]:
    rows = []
    for verb in _all_verbs():
        mine = [lack for lack in lacks if verb in lack.verbs]
        texts = [f"{'*' if lack.blocks else '-'} {lack.what}\n  mend: {lack.mend}" for lack in mine]
        rows.append((verb, "\n".join(texts) or "ready"))
    return rows


def _all_verbs() -> tuple[str, ...]:
    from facegraft.cli.main import VERBS

    return tuple(VERBS)


def _print_table(title: str, rows: list[tuple[str, str]]) -> None:
    width = max((len(name) for name, _ in rows), default=0)
    print(f"\n{title}")
    for name, text in rows:
        first, *others = text.split("\n")
        print(f"  {name:<{width}}  {first}")
        for line in others:
            print(f"  {'':<{width}}  {line}")
    sys.stdout.flush()
