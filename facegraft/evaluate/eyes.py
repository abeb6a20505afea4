"""Opens the networks that evaluation looks through, and says which files they are and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facegraft.core.files import sha256
from facegraft.evaluate.look import Eyes, FaceFeature, Judge
from facegraft.evaluate.results import Network
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader
from facegraft.faces.fetch import JUDGE, OWN, RECOGNISER, WEIGHTS, judge_state, model_folder
from facegraft.faces.recognisers import OnnxRecogniser

FIRST, SECOND = "dlib", "second"
"""Names of the judges: networks of others, fetched on request, that nothing here learned from."""
JUDGE_ROLE = "judge of identity"
"""What a report calls their part."""
OWN_IDENTITY = WEIGHTS / "identity.onnx"
NO_JUDGE = "identity: no judge is here; `facegraft models fetch --recogniser` brings one (once, online, 100 MB)"
ONE_JUDGE = (
    f"identity by the judge {FIRST!r}: not fetched; `facegraft models fetch --recogniser` (once, online, 100 MB)"
)
_SECOND = "`facegraft models fetch --judge` (once, online, 29 MB; needs npm)"
NO_SECOND = f"identity by the judge {SECOND!r}: not fetched; {_SECOND}"
OWN_JUDGE = (
    f"an independent word of the judge {SECOND!r}: our own recogniser stands in, whose answers taught what losses look "
    f"through; {_SECOND}"
)
NO_FEATURE = "metrics that need a feature of faces: our identity network (identity.onnx) is not here"


@dataclass(frozen=True, eq=False)
class Opened:
    """Eyes and what a report says of them.

    Attributes:
        eyes: The networks.
        networks: Their files.
        left_out: What cannot be measured without what is missing.
    """

    eyes: Eyes
    networks: tuple[Network, ...]
    left_out: tuple[str, ...] = ()


def open_eyes(judges: Mapping[str, Path] | None = None, *, own_identity: Path = OWN_IDENTITY) -> Opened:
    """Our own networks, the judges that are here, and those that are named.

    Args:
        judges: Name -> ONNX file of a recogniser; "dlib" and "second" replace the usual ones.
        own_identity: Our recogniser: feature of faces, and second judge where none was fetched. It may be missing.

    Raises:
        BadInputError: A named judge is no recogniser.
        MissingPartError: One of our own networks is missing or broken.
    """
    files = usual_judges(own_identity) | dict(judges or {})
    opened: dict[str, Judge] = {name: OnnxRecogniser(path) for name, path in files.items()}
    feature = _feature(own_identity) if own_identity.is_file() else None
    networks = [Network(name, "finds and reads faces", *_file(WEIGHTS / f"{name}.onnx")) for name in OWN]
    networks.append(Network("attributes", "reads pose, gaze, expression", *_file(WEIGHTS / "attributes.onnx")))
    networks += [Network(name, JUDGE_ROLE, *_file(path)) for name, path in files.items()]
    if feature is not None:
        networks.append(Network("face feature", "realism and likeness", *_file(own_identity)))
    left_out = [*_judges_left_out(networks, own_identity), *([] if feature is not None else [NO_FEATURE])]
    return Opened(Eyes(Analyser(), AttributeReader(), opened, feature), tuple(networks), tuple(left_out))


def _judges_left_out(networks: Sequence[Network], own_identity: Path) -> Iterator[str]:
    """What the judges that are here cannot say."""
    here = {network.name: network.sha256 for network in networks if network.role == JUDGE_ROLE}
    if not here:
        yield NO_JUDGE
    elif FIRST not in here:
        yield ONE_JUDGE
    if here and SECOND not in here:
        yield NO_SECOND
    elif SECOND in here and own_identity.is_file() and here[SECOND] == sha256(own_identity):
        yield OWN_JUDGE


def usual_judges(own_identity: Path = OWN_IDENTITY) -> dict[str, Path]:
    """Those of the usual judges whose files are here; ours judges where the second was not fetched."""
    fetched = model_folder() / JUDGE
    usual = {FIRST: model_folder() / RECOGNISER, SECOND: fetched if judge_state() == "ok" else own_identity}
    return {name: path for name, path in usual.items() if path.is_file()}


def given(eyes: Eyes) -> Opened:
    """Eyes that a program made: their files are not known."""
    networks = [Network("analyser", "finds and reads faces"), Network("attributes", "reads pose, gaze, expression")]
    networks += [Network(name, JUDGE_ROLE) for name in eyes.judges]
    left_out = ([] if eyes.judges else [NO_JUDGE]) + ([] if eyes.feature is not None else [NO_FEATURE])
    return Opened(eyes, tuple(networks), tuple(left_out))


def _feature(path: Path) -> FaceFeature:
    from facegraft.evaluate.features import OwnFeature  # it needs ours, which may be missing

    return OwnFeature(path)


def _file(path: Path) -> tuple[str, str]:
    return path.name, sha256(path)
