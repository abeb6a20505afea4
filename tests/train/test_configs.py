"""Every config in the repository: it fills, its recipe is there, and its network is what the recipe says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("onnxscript", reason="export needs the extra `train`")

from facegraft.core.config import fill, load_config  # noqa: E402
from facegraft.export.compare import largest_differences  # noqa: E402
from facegraft.export.to_onnx import Ports, answers, export_onnx, other_inputs  # noqa: E402
from facegraft.methods._method import build_method, find_method, list_methods  # noqa: E402
from facegraft.train.methods import MethodData  # noqa: E402
from facegraft.train.options import MethodRunConfig, RunConfig, run_config  # noqa: E402
from facegraft.train.recipe import find_recipe, network_names  # noqa: E402

FOLDER = Path(__file__).parents[2] / "configs"
METHOD_CONFIGS = sorted(path for path in FOLDER.glob("*.toml") if "method" in load_config(path))
CONFIGS = sorted(set(FOLDER.glob("*.toml")) - set(METHOD_CONFIGS))


def test_every_method_has_three_configs() -> None:
    """Ours, the paper's, and one that a CPU can train."""
    assert len(METHOD_CONFIGS) >= 24
    named = {path.stem: load_config(path)["method"] for path in METHOD_CONFIGS}
    for name in list_methods():
        assert {f"{name}", f"{name}_paper", f"{name}_small"} <= {
            stem for stem, method in named.items() if method == name
        }
    assert set(named.values()) == set(list_methods())


@pytest.mark.parametrize("path", METHOD_CONFIGS, ids=lambda path: path.stem)
def test_a_methods_config_fills_and_weighs_every_loss_of_every_phase(path: Path) -> None:
    config = run_config(load_config(path))
    assert isinstance(config, MethodRunConfig)
    fill(MethodData, config.data, "data")
    found = find_method(config.method)
    with torch.device("meta"):
        method = build_method({"method": config.method, "model": config.model})
    defaults = found.config().loss_weights
    weights = method.config.loss_weights
    assert {phase: set(losses) for phase, losses in weights.items()} == {
        phase: set(losses) for phase, losses in defaults.items()
    }
    assert set(config.optimiser) <= set(found.method.card.phases)
    if path.stem.endswith("_paper"):
        assert method.config.size_px == found.method.card.resolution or found.method.card.per_pair
    if path.stem.endswith("_small"):
        assert method.config.size_px == 64


@pytest.mark.parametrize("path", [path for path in METHOD_CONFIGS if "_paper" in path.stem], ids=lambda path: path.stem)
def test_a_papers_config_takes_nothing_from_the_loops_defaults(path: Path) -> None:
    """Average, clip and schedule are written out; where the paper or its code has none, or says nothing, none is."""
    tables = load_config(path)
    train, optimisers = tables["train"], tables["optimiser"].values()
    found = (train["ema"], train["clip"], {each["schedule"] for each in optimisers})
    ours = {"fastswap", "mobilefaceswap"}  # nothing at all was published
    toolkit = {"df", "liae"}
    if tables["method"] in ours:
        assert found == (0.999, 1.0, {"cosine"})
    else:
        assert found == (0.0, 1.0 if tables["method"] in toolkit else 0.0, {"constant"})


def test_every_network_has_a_config() -> None:
    assert len(CONFIGS) >= 4
    named = {path.stem: load_config(path)["network"] for path in CONFIGS}
    assert set(named.values()) == set(network_names())
    for stem, network in named.items():
        assert stem == network or stem.startswith(f"{network}_")
    assert set(named) >= set(named.values())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_config_fills_and_its_network_is_as_the_recipe_says(path: Path) -> None:
    config = fill(RunConfig, load_config(path), "")
    recipe = find_recipe(config.network)
    first, again = recipe.example(), recipe.example()
    assert len(first) == len(recipe.input_names)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert all(0 in recipe.dynamic_axes[name] for name in recipe.input_names)
    net = recipe.build(config.model).eval()
    with torch.no_grad():
        outputs = answers(net, first)
        pairs = answers(net, tuple(torch.cat([tensor, tensor.flip(-1)]) for tensor in first))
    assert len(outputs) == len(recipe.output_names)
    for name, alone, pair in zip(recipe.output_names, outputs, pairs, strict=True):
        assert pair.shape == (2, *alone.shape[1:]), name  # samples do not see each other
        assert torch.allclose(pair[:1], alone, atol=1e-4 * max(1.0, float(alone.abs().max()))), name


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_network_can_be_exported(path: Path, tmp_path: Path) -> None:
    config = fill(RunConfig, load_config(path), "")
    recipe = find_recipe(config.network)
    net, example = recipe.build(config.model).eval(), recipe.example()
    ports = Ports(tuple(recipe.input_names), tuple(recipe.output_names), recipe.dynamic_axes)
    export_onnx(net, example, tmp_path / "net.onnx", ports=ports)
    found = largest_differences(net, tmp_path / "net.onnx", [example, other_inputs(example, ports)], ports)
    with torch.no_grad():
        sizes = [float(output.abs().max()) for output in answers(net, example)]
    for (name, difference), size in zip(found.items(), sizes, strict=True):
        assert difference < 1e-3 * max(1.0, size), name
