"""The second judge: its files, its graph, what fetching refuses, and what it tells apart."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.files import sha256
from facegraft.core.image import read_picture
from facegraft.faces import faceres
from facegraft.faces.fetch import JUDGE_SHA256, npm_package, take_out
from facegraft.faces.recognisers import OnnxRecogniser, cut

# What TensorFlow.js 4.22 (its CPU) makes of `golden_face` by the very same files: the largest numbers and their places.
GOLDEN = {584: 1.69907, 7: 1.33240, 917: 1.02129, 444: 0.99104, 918: 0.39468, 845: 0.26993}
GOLDEN_LENGTH, GOLDEN_ABOVE_0 = 2.670836, 41
WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


def golden_face() -> np.ndarray:
    y, x, c = np.mgrid[0:224, 0:224, 0:3]
    return ((x * x * 3 + y * y * 5 + x * y * 7 + c * 91 + x * 11) % 256).astype(np.uint8)


def random_weights(seed: int = 0) -> faceres.Weights:
    """A network of the judge's shape; its maps neither die out nor run over."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    found = {
        "conv1/convolution/merged_input": drawn(3, 3, 3, 32, scale=0.01),
        "conv1_bn/batchnorm_1/sub": drawn(32),
    }
    for number, (before, width) in enumerate(itertools.pairwise(WIDTHS), 1):
        found[f"conv_dw_{number}/depthwise_kernel"] = drawn(3, 3, before, 1, scale=0.4)
        found[f"conv_dw_{number}_bn/batchnorm_1/mul"] = drawn(before)
        found[f"conv_dw_{number}_bn/batchnorm_1/sub"] = drawn(before)
        found[f"conv_pw_{number}/convolution/merged_input"] = drawn(1, 1, before, width, scale=(2 / before) ** 0.5)
        found[f"conv_pw_{number}_bn/batchnorm_1/sub"] = drawn(width)
    return found


def as_files(weights: faceres.Weights, kind: str = "float32") -> tuple[bytes, bytes]:
    """As TensorFlow.js writes them."""
    entries = []
    for name, value in weights.items():
        entry: dict[str, object] = {"name": name, "shape": list(value.shape), "dtype": "float32"}
        if kind != "float32":
            entry["quantization"] = {"dtype": kind, "original_dtype": "float32"}
        entries.append(entry)
    listed = json.dumps({"weightsManifest": [{"paths": ["x.bin"], "weights": entries}]}).encode()
    return listed, b"".join(value.astype(kind).tobytes() for value in weights.values())


# --- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_weights_come_back_by_name(kind: str) -> None:
    weights = {"one": np.arange(6, dtype=np.float32).reshape(2, 3), "alone": np.float32(0.5).reshape(())}
    found = faceres.read_weights(*as_files(weights, kind))
    assert list(found) == ["one", "alone"]
    for name, value in weights.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value)


def test_files_that_do_not_fit_each_other_are_refused() -> None:
    listed, numbers = as_files({"one": np.zeros((2, 3), np.float32)})
    with pytest.raises(BadInputError, match="end at byte 20"):
        faceres.read_weights(listed, numbers[:-4])
    with pytest.raises(BadInputError, match="4 bytes more"):
        faceres.read_weights(listed, numbers + bytes(4))
    one = b'{"weightsManifest": [{"weights": [{"name": "x", "shape": [%s], "dtype": "%s"}]}]}'
    nothing = b'{"weightsManifest": [{"weights": [{"name": "x"}]}]}'
    bad = (b"", b"{}", b"[]", nothing, b"\xff\xfe", one % (b"2", b"uint8"), one % (b"-1, 2", b"float32"))
    for text in (*bad, one % (b"2", b"no-kind"), one % (b'"a"', b"float32")):
        with pytest.raises(BadInputError, match="TensorFlow"):
            faceres.read_weights(text, numbers)


def test_another_network_is_refused() -> None:
    pytest.importorskip("onnx", reason="the extra `recogniser` is not installed")
    weights = random_weights()
    missing = {name: value for name, value in weights.items() if name != "conv_pw_7/convolution/merged_input"}
    with pytest.raises(BadInputError, match=r"conv_pw_7.*holds nothing"):
        faceres.build_graph(missing)
    unshifted = {name: value for name, value in weights.items() if name != "conv_pw_7_bn/batchnorm_1/sub"}
    with pytest.raises(BadInputError, match=r"conv_pw_7_bn/batchnorm_1/sub holds nothing"):
        faceres.build_graph(unshifted)
    with pytest.raises(BadInputError, match="conv_dw_1/depthwise_kernel"):
        faceres.build_graph({**weights, "conv_dw_1/depthwise_kernel": np.zeros((5, 5, 32, 1), np.float32)})


# --- the graph -------------------------------------------------------------------------------------------


def test_the_graph_is_mobilenet(tmp_path: Path) -> None:
    """Against the same network written anew in torch, with TensorFlow's padding."""
    pytest.importorskip("onnx", reason="the extra `recogniser` is not installed")
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    from torch.nn import functional

    weights = random_weights()
    path = tmp_path / "judge.onnx"
    path.write_bytes(faceres.build_graph(weights).SerializeToString())
    face = golden_face().astype(np.float32).transpose(2, 0, 1)[None]
    (found,) = onnxruntime.InferenceSession(str(path)).run(None, {"face": face})

    def convolved(x: torch.Tensor, kernel: np.ndarray, shift: np.ndarray, stride: int, groups: int) -> torch.Tensor:
        if kernel.shape[-1] == 3:
            x = functional.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        y = functional.conv2d(x, torch.tensor(kernel.copy()), torch.tensor(shift), stride, groups=groups)
        return y.clamp(0, 6)

    means = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    x = torch.tensor(face[:, ::-1].copy()) - means
    kernel = weights["conv1/convolution/merged_input"].transpose(3, 2, 0, 1)
    x = convolved(x, kernel, weights["conv1_bn/batchnorm_1/sub"], 2, 1)
    for number in range(1, 14):
        kernel = weights[f"conv_dw_{number}/depthwise_kernel"][..., 0] * weights[f"conv_dw_{number}_bn/batchnorm_1/mul"]
        stride = 2 if number in (2, 4, 6, 12) else 1
        shift = weights[f"conv_dw_{number}_bn/batchnorm_1/sub"]
        x = convolved(x, kernel.transpose(2, 0, 1)[:, None], shift, stride, x.shape[1])
        kernel = weights[f"conv_pw_{number}/convolution/merged_input"].transpose(3, 2, 0, 1)
        x = convolved(x, kernel, weights[f"conv_pw_{number}_bn/batchnorm_1/sub"], 1, 1)
    expected = x.mean((2, 3)).numpy()
    assert expected.shape == (1, 1024)
    assert 0.1 < expected.mean() < 5.9
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_it_says_what_tensorflow_says(judge: Path) -> None:
    raw = OnnxRecogniser(judge).raw(golden_face()[None])[0]
    assert np.argsort(-raw)[: len(GOLDEN)].tolist() == list(GOLDEN)
    np.testing.assert_allclose(raw[list(GOLDEN)], list(GOLDEN.values()), atol=2e-5)
    assert float(np.linalg.norm(raw)) == pytest.approx(GOLDEN_LENGTH, abs=1e-4)
    assert int((raw > 0).sum()) == GOLDEN_ABOVE_0


# --- fetching --------------------------------------------------------------------------------------------


def archive(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w:gz") as package:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    return path


def test_only_the_file_we_know_is_taken_out(tmp_path: Path) -> None:
    package = archive(tmp_path / "x.tgz", right=b"right", wrong_right=b"another")
    (tmp_path / "known").write_bytes(b"right")
    target = tmp_path / "out"
    take_out(package, "right", sha256(tmp_path / "known"), target)
    assert target.read_bytes() == b"right"
    with pytest.raises(MissingPartError, match="SHA-256"):
        take_out(package, "wrong_right", sha256(tmp_path / "known"), target)
    assert target.read_bytes() == b"right"  # what was there stays
    with pytest.raises(MissingPartError, match="holds no left"):
        take_out(package, "left", "", target)
    whole = package.read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2], whole[:40] + bytes(20) + whole[60:]):
        package.write_bytes(damaged)
        with pytest.raises(MissingPartError, match=r"damaged|holds no"):
            take_out(package, "right", sha256(tmp_path / "known"), target)


def test_what_npm_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    said = (
        "(node:1) Warning: old",
        "npm error code E404",
        "npm error 404 Not Found - GET a",
        "npm error A complete log",
    )
    (tmp_path / "said").write_text("\n".join(said), encoding="utf-8")
    npm.write_text(f"#!/bin/sh\ncat '{tmp_path}/said' >&2\nexit 1\n", encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(MissingPartError, match=r"could not download a@1: npm error 404 Not Found - GET a$"):
        npm_package("a@1", folder)
    npm.write_text("#!/bin/sh\nsleep 5\n", encoding="utf-8")
    monkeypatch.setattr("facegraft.faces.fetch.NPM_SECONDS", 0.2)
    with pytest.raises(MissingPartError, match=r"did not bring a@1 within 0.2 s"):
        npm_package("a@1", folder)


def test_npm_writes_only_into_the_folder_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old versions know no other place than where they run, and a project's own settings must not count."""
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho packed > a-1.tgz\n", encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    folder, here = tmp_path / "empty", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    assert npm_package("a@1", folder) == folder / "a-1.tgz"
    assert list(here.iterdir()) == []


@pytest.mark.network
def test_fetching_gives_the_same_file_every_time(judge: Path, tmp_path: Path) -> None:
    path = faceres.fetch_judge(tmp_path / "models")
    assert path.read_bytes() == judge.read_bytes()
    assert sha256(path) == JUDGE_SHA256
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# --- what it tells apart ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_people_are_told_apart_on_real_pictures(judge: Path) -> None:
    if not os.environ.get("FACEGRAFT_DATA"):
        pytest.skip("needs FACEGRAFT_DATA, a folder with eval/lfw")
    from facegraft.faces.analyse import Analyser
    from facegraft.train.eyes.verification import best_threshold

    folder, analyser, network = Path(os.environ["FACEGRAFT_DATA"]) / "eval", Analyser(), OnnxRecogniser(judge)
    with (folder / "lfw_pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::15]

    def vector(name: str) -> np.ndarray:
        frame = read_picture(folder / "lfw" / name).frame
        face = analyser.analyse(frame, thorough=False)[0]
        return network.embed(cut(frame, face.points5, face.dense, network.size_px)[None])[0]

    scores = np.array([vector(row["first"]) @ vector(row["second"]) for row in rows])
    same = np.array([row["same"] == "1" for row in rows])
    assert len(rows) == 120
    assert ((scores > best_threshold(scores, same)) == same).mean() > 0.95
