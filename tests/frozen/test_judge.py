"""The judge in torch against the ONNX graph that faces/dlib_resnet.py writes from the same layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.faces.dlib_resnet import Layer, build_graph  # noqa: E402
from facegraft.frozen.judge import BLOCKS, load_judge  # noqa: E402

MEANS = [122.782, 117.001, 104.298]


def layers_with_drawn_weights() -> list[Layer]:
    """The network's layers as its file has them, with small random weights."""
    rng = np.random.default_rng(0)

    def convolution(size_in: int, size: int, kernel: int, stride: int, pad: int) -> list[Layer]:
        values = rng.normal(0, (2 / (size_in * kernel**2)) ** 0.5, (size, size_in, kernel, kernel)).astype(np.float32)
        bias, shift = (rng.normal(0, 0.1, (1, size, 1, 1)).astype(np.float32) for _ in range(2))
        gain = rng.uniform(0.7, 1.1, (1, size, 1, 1)).astype(np.float32)
        return [Layer("con", {"stride": stride, "pad": pad}, (values, bias)), Layer("affine", {}, (gain, shift))]

    made = [*convolution(3, 32, 7, 2, 0), Layer("relu"), Layer("max_pool", {"size": 3, "stride": 2, "pad": 0})]
    width = 32
    for channels, down in BLOCKS:
        made += [*convolution(width, channels, 3, 2 if down else 1, 0 if down else 1), Layer("relu")]
        made += convolution(channels, channels, 3, 1, 1)
        made += [Layer("avg_pool", {"size": 2, "stride": 2, "pad": 0})] if down else []
        made += [Layer("add_prev"), Layer("relu")]
        width = channels
    head = rng.normal(0, 0.05, (256, 128, 1, 1)).astype(np.float32)
    return [*made, Layer("avg_pool", {"size": 0, "stride": 1, "pad": 0}), Layer("fc", {"outputs": 128}, (head,))]


def test_it_equals_the_graph_for_drawn_weights() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    layers = layers_with_drawn_weights()
    graph = build_graph(MEANS, layers).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    chips = np.random.default_rng(1).integers(0, 256, (2, 3, 150, 150)).astype(np.float32)
    expected = session.run(["embedding"], {"chips": chips})[0]
    with torch.inference_mode():
        found = load_judge(MEANS, layers)(torch.from_numpy(chips) / 255).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_it_equals_the_fetched_recogniser(recogniser: Path) -> None:
    """The same weights, taken from the ONNX file's initialisers, which are the folded convolutions in order."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    values = [onnx.numpy_helper.to_array(one) for one in onnx.load(recogniser).graph.initializer]
    kernels = [at for at, value in enumerate(values) if value.ndim == 4 and value.size > 3]
    folded = iter([(values[at], values[at + 1]) for at in kernels])
    layers = []
    for layer in layers_with_drawn_weights():
        if layer.kind == "con":
            layers.append(Layer("con", layer.numbers, next(folded)))
        elif layer.kind == "affine":
            gain, shift = (np.full_like(part, fill) for part, fill in zip(layer.weights, (1, 0), strict=True))
            layers.append(Layer("affine", {}, (gain, shift)))
        else:
            head = [value for value in values if value.shape == (256, 128)]
            layers.append(Layer("fc", {}, tuple(head)) if layer.kind == "fc" else layer)
    means = next(value for value in values if value.shape == (1, 3, 1, 1)).ravel().tolist()
    chips = np.random.default_rng(1).integers(0, 256, (2, 3, 150, 150)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(recogniser), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        found = load_judge(means, layers)(torch.from_numpy(chips) / 255).numpy()
    np.testing.assert_allclose(found, session.run(["embedding"], {"chips": chips})[0], atol=1e-5)


def test_it_is_frozen_and_refuses_other_networks() -> None:
    layers = layers_with_drawn_weights()
    judge = load_judge(MEANS, layers)
    assert not judge.training
    assert not any(weight.requires_grad for weight in judge.parameters())
    with pytest.raises(BadInputError, match="not dlib's"):
        load_judge(MEANS, layers[3:])
    odd = [*layers[:1], layers[1], Layer("relu"), *layers[3:]]
    odd[0] = Layer("con", {"stride": 1, "pad": 0}, layers[0].weights)
    with pytest.raises(BadInputError, match="expected a convolution"):
        load_judge(MEANS, odd)
