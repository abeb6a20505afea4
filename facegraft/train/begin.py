"""What a method's run begins from: another run's weights, or what `facegraft export` made of them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from facegraft.core.errors import BadInputError
from facegraft.core.files import entries, shown
from facegraft.faces.fetch import WEIGHTS, model_folder
from facegraft.frozen.from_onnx import read_weights
from facegraft.methods._method import Method
from facegraft.nn.weights import read_tensors
from facegraft.train.folder import read_json

BUNDLE = "card.json"
IN_BUNDLES = "method."
"""Before every weight's name in a bundle's graphs."""


def begin_from(method: Method, start: str) -> None:
    """Fills a method from weights, as far as the two agree.

    Args:
        method: Changed in place. What the weights do not know, as a bundle knows no discriminator, stays as it is.
        start: A run's `weights.safetensors`, the folder of a bundle, or the name of a bundle that is installed. A
            bundle's weights may have been rounded to float16.

    Raises:
        BadInputError: The file is damaged, no weight of it fits, or it is a bundle of another method, or one in which
            export has put weights together, as of normalisations.
    """
    folder = bundle_folder(start)
    tensors = read_tensors(Path(start))[0] if folder is None else _of_bundle(method, folder)
    ours = method.state_dict()
    fits = {name: tensor for name, tensor in tensors.items() if name in ours and ours[name].shape == tensor.shape}
    if not fits:
        raise BadInputError(f"train.start: none of the weights in {Path(start).name} fits this method; check [model]")
    method.load_state_dict(fits, strict=False)


def bundle_folder(start: str) -> Path | None:
    """Where the bundle of that folder or name lies; None: it is no bundle."""
    installed = [place / start for place in (model_folder(), WEIGHTS) if Path(start).name == start]
    return next((folder for folder in (Path(start), *installed) if (folder / BUNDLE).is_file()), None)


def _of_bundle(method: Method, folder: Path) -> dict[str, Tensor]:
    found, wanted = read_json(folder / BUNDLE).get("method"), type(method).__module__.rpartition(".")[2]
    if found != wanted:
        raise BadInputError(f"train.start: {shown(folder)} is a bundle of {found}, expected one of {wanted}")
    tensors: dict[str, Tensor] = {}
    for path in (path for path in entries(folder) if path.suffix == ".onnx"):
        for name, tensor in read_weights(path).items():
            if name.startswith(IN_BUNDLES):
                tensors[name.removeprefix(IN_BUNDLES)] = tensor
    parts = {name.partition(".")[0] for name in tensors}
    folded = [name for name, layer in method.named_modules() if isinstance(layer, _BatchNorm)]
    missing = [name for name, _ in method.named_parameters() if name not in tensors]
    lost = [name for name in (*folded, *missing) if name.partition(".")[0] in parts]
    if lost:
        raise BadInputError(
            f"train.start: {shown(folder)} does not hold {lost[0]} by itself, export put it into other weights; name a "
            f"run's weights.safetensors"
        )
    return tensors
