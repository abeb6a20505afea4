"""The recogniser: its file format, its graph, its chips, and what it tells apart."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.geometry import transform
from facegraft.core.types import Faces, no_faces
from facegraft.faces import dlib_resnet
from facegraft.faces.embed import CHIP_PADDING, CHIP_SIZE, CHIP_TEMPLATE, Recogniser, chip_matrix, cut_chips, embed
from facegraft.faces.fetch import recogniser_path

# dlib-bin 20.0.1's own answer (not normalised) for the chip of `golden_chip`.
# fmt: off
GOLDEN = np.array([
    -0.118277, 0.078475, 0.055969, -0.027116, -0.149171, -0.057950, -0.013112, -0.074259, 0.106481, -0.048391,
    0.172370, -0.039263, -0.209916, -0.050098, -0.034768, 0.104819, -0.094251, -0.063387, -0.056408, -0.167830,
    0.005760, 0.036200, -0.008344, 0.014534, -0.072094, -0.239367, -0.062451, -0.109510, 0.094305, -0.080230,
    0.002938, 0.062507, -0.219918, -0.021300, -0.030847, 0.061567, -0.013046, -0.053104, 0.158627, -0.021952,
    -0.084843, 0.008530, 0.061459, 0.215222, 0.215139, -0.002321, -0.001040, -0.041023, 0.094596, -0.225997,
    0.019257, 0.137717, 0.092813, 0.076703, 0.037406, -0.122140, 0.012127, 0.083092, -0.140429, 0.069768,
    0.056177, -0.077763, -0.099290, -0.107511, 0.236366, 0.095259, -0.057762, -0.098612, 0.209762, -0.195377,
    -0.059206, 0.073506, -0.095411, -0.083663, -0.223453, 0.094826, 0.393903, 0.210429, -0.136184, 0.033102,
    -0.126770, -0.014287, 0.000177, -0.000733, -0.082656, -0.064780, -0.066914, 0.050471, 0.204193, -0.027109,
    0.030812, 0.209591, 0.033416, 0.030513, -0.036187, -0.037146, -0.064365, -0.058175, -0.044743, -0.052966,
    0.061320, -0.188077, 0.048343, 0.140780, -0.240087, 0.149146, -0.026889, -0.009548, 0.033318, 0.061386,
    0.005738, 0.019857, 0.169962, -0.197580, 0.248347, 0.152577, 0.007260, 0.123057, -0.000463, 0.154121,
    -0.057210, -0.049740, -0.103030, -0.106200, -0.013769, -0.050820, 0.009891, 0.093239,
])
# fmt: on


def golden_chip() -> np.ndarray:
    y, x, c = np.mgrid[0:150, 0:150, 0:3]
    return ((x * x * 3 + y * y * 5 + x * y * 7 + c * 91 + x * 11) % 256).astype(np.uint8)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    try:
        return Recogniser(recogniser_path())
    except MissingPartError as error:
        pytest.skip(str(error))


# --- the file format -------------------------------------------------------------------------------------


def integer(value: int) -> bytes:
    body = abs(value).to_bytes(max(1, (abs(value).bit_length() + 7) // 8), "little")
    return bytes([len(body) | (0x80 if value < 0 else 0)]) + body


def real(value: float) -> bytes:
    mantissa, exponent = np.frexp(value)
    return integer(int(mantissa * 2**53)) + integer(int(exponent) - 53)


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def tensor(values: np.ndarray) -> bytes:
    shape = (values.size, 1, 1, 1) if values.size else (0, 0, 0, 0)
    return integer(2) + b"".join(map(integer, shape)) + values.astype("<f4").tobytes()


def alias(*shape: int) -> bytes:
    return integer(1) + b"".join(integer(length) for length in (*shape, 1, 1, 1, 1)[:4])


class SmallNet:
    """A dlib network of the same kind, small: written as a .dat file, and computed step by step in numpy."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.parts: list[bytes] = []

    def end_layer(self, details: bytes) -> None:
        empty = tensor(np.zeros(0, np.float32))
        expansion = b"" if self.parts else integer(1)
        self.parts.append(details + b"110" + empty * 3 + expansion)

    def convolve(self, x: np.ndarray, filters: int, size: int, stride: int, pad: int) -> np.ndarray:
        kernel = self.rng.normal(0, 0.3, (filters, x.shape[0], size, size)).astype(np.float32)
        bias, gain, shift = self.rng.normal(0, 0.3, (3, filters)).astype(np.float32)
        numbers = b"".join(integer(n) for n in (filters, size, size, stride, stride, pad, pad))
        weights = tensor(np.concatenate([kernel.ravel(), bias]))
        self.end_layer(text("con_4") + weights + numbers + alias(*kernel.shape) + alias(1, filters) + real(1.0) * 4)
        affine = tensor(np.concatenate([gain, shift]))
        self.end_layer(text("affine_") + affine + alias(1, filters) * 2 + integer(0))
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))[:, ::stride, ::stride]
        out = np.einsum("chwij,ocij->ohw", windows, kernel, optimize=True) + bias[:, None, None]
        return out * gain[:, None, None] + shift[:, None, None]

    def relu(self, x: np.ndarray) -> np.ndarray:
        self.end_layer(text("relu_"))
        return np.maximum(x, 0)

    def pool(self, x: np.ndarray, kind: str, size: int, stride: int) -> np.ndarray:
        self.end_layer(text(kind) + b"".join(integer(n) for n in (size, size, stride, stride, 0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]
        return windows.max((3, 4)) if kind == "max_pool_2" else windows.mean((3, 4))

    def block(self, x: np.ndarray, filters: int, *, down: bool) -> np.ndarray:
        out = self.relu(self.convolve(x, filters, 3, 2 if down else 1, 0 if down else 1))
        out = self.convolve(out, filters, 3, 1, 1)
        if down:
            x = self.pool(x, "avg_pool_2", 2, 2)
        total = np.zeros(np.maximum(out.shape, x.shape), np.float32)
        for part in (out, x):
            total[tuple(slice(length) for length in part.shape)] += part
        self.end_layer(text("add_prev_"))
        return self.relu(total)

    def build(self, chip: np.ndarray) -> tuple[bytes, np.ndarray]:
        """The file, and the embedding of one chip."""
        means = [122.75, 117.5, 104.25]
        x = ((chip.astype(np.float64) - means) / 256).transpose(2, 0, 1)
        x = self.pool(self.relu(self.convolve(x, 4, 7, 2, 0)), "max_pool_2", 3, 2)
        x = self.block(x, 4, down=False)
        for filters in (6, 6, 8, 8):
            x = self.block(x, filters, down=True)
        self.end_layer(text("avg_pool_2") + b"".join(integer(n) for n in (0, 0, 1, 1, 0, 0)))
        weights = self.rng.normal(0, 1, (8, 128)).astype(np.float32)
        end = tensor(weights) + alias(8, 128) + alias(0, 0, 0, 0) + integer(1) + real(1.0) * 4
        self.end_layer(text("fc_2") + integer(128) + integer(8) + end)
        head = integer(1) + integer(1) + text("loss_metric_2") + real(0.04) + real(0.6) + integer(2) * 9
        source = text("input_rgb_image_sized") + b"".join(map(real, means)) + integer(150) * 2
        return head + source + b"".join(self.parts), x.mean((1, 2)) @ weights


def test_graph_computes_what_the_file_says(tmp_path: Path) -> None:
    data, wanted = SmallNet(3).build(golden_chip())
    (tmp_path / "net.dat").write_bytes(data)
    dlib_resnet.convert_to_onnx(tmp_path / "net.dat", tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    chips = golden_chip().transpose(2, 0, 1)[None].astype(np.float32)
    found = session.run(None, {"chips": np.repeat(chips, 2, axis=0)})[0]
    assert found.shape == (2, 128)
    np.testing.assert_allclose(found[1], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@given(
    st.integers(-(2**63) + 1, 2**63 - 1), st.floats(-1e30, 1e30, allow_subnormal=False), st.text("abc_1", max_size=9)
)
def test_reader_reads_what_dlib_writes(whole: int, fraction: float, word: str) -> None:
    reader = dlib_resnet.DlibReader(integer(whole) + real(fraction) + text(word))
    assert (reader.integer(), reader.real(), reader.text()) == (whole, fraction, word)
    assert reader.at_end


@pytest.mark.parametrize("keep", [0, 1, 40, 60, 400, 20_000, -1])
def test_a_cut_file_is_one_clear_line(tmp_path: Path, keep: int) -> None:
    data, _ = SmallNet(3).build(golden_chip())
    (tmp_path / "net.dat").write_bytes(data[:keep])
    with pytest.raises(BadInputError, match="recogniser weights") as error:
        dlib_resnet.convert_to_onnx(tmp_path / "net.dat", tmp_path / "net.onnx")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "net.onnx").exists()


# --- chips -----------------------------------------------------------------------------------------------


def faces_with(dense: np.ndarray) -> Faces:
    """One face whose dense points are given and whose other fields do not matter here."""
    box = np.concatenate([dense[:, :2].min(0), dense[:, :2].max(0)])[None]
    return Faces(
        numbers=np.zeros(1, np.int64),
        boxes_xyxy=box.astype(np.float32),
        scores=np.ones(1, np.float32),
        points5=np.zeros((1, 5, 2), np.float32),
        dense=dense[None].astype(np.float32),
        pose_degrees=np.zeros((1, 3), np.float32),
    )


def face_at(scale: float, shift: tuple[float, float]) -> np.ndarray:
    """A face that lies exactly as in the template, moved; the width of its mean face is `scale` pixels."""
    dense = np.zeros((468, 3), np.float32)
    for index, x, y in CHIP_TEMPLATE:
        dense[index, :2] = (x * scale + shift[0], y * scale + shift[1])
    return dense


def test_chip_shows_the_face_with_its_margin() -> None:
    dense = face_at(100.0, (40.0, 70.0))
    chip_side = 100 * (1 + 2 * CHIP_PADDING)
    corner = transform(chip_matrix(dense), np.array([[40 - 25, 70 - 25], [40 - 25 + chip_side, 70 - 25]], np.float32))
    np.testing.assert_allclose(corner, [[0.5, 0.5], [CHIP_SIZE + 0.5, 0.5]], atol=1e-3)


def test_template_is_symmetric() -> None:
    places = sorted((round(x, 4), round(y, 4)) for _, x, y in CHIP_TEMPLATE)
    mirrored = sorted((round(2 * 0.490127 - x, 4), round(y, 4)) for _, x, y in CHIP_TEMPLATE)
    np.testing.assert_allclose(places, mirrored, atol=2e-4)


def test_no_faces_no_chips() -> None:
    assert cut_chips(np.zeros((20, 30, 3), np.uint8), no_faces(468)).shape == (0, CHIP_SIZE, CHIP_SIZE, 3)


# --- the fetched network ---------------------------------------------------------------------------------


def test_network_equals_dlib(recogniser: Recogniser) -> None:
    np.testing.assert_allclose(recogniser.raw(golden_chip()[None])[0], GOLDEN, atol=2e-6)


def test_embedding_is_a_unit_vector_and_does_not_see_a_mirror(recogniser: Recogniser) -> None:
    chips = np.stack([golden_chip(), golden_chip()[:, ::-1]])
    first, mirrored = recogniser.embed_chips(chips)
    assert abs(np.linalg.norm(first) - 1) < 1e-6
    np.testing.assert_allclose(first, mirrored, atol=1e-6)


def test_a_face_does_not_depend_on_its_neighbours(recogniser: Recogniser) -> None:
    chips = np.stack([golden_chip(), 255 - golden_chip(), golden_chip().transpose(1, 0, 2)])
    together = recogniser.embed_chips(chips)
    assert np.array_equal(together[1], recogniser.embed_chips(chips[1:2])[0])
    assert recogniser.embed_chips(chips[:0]).shape == (0, 128)


def test_embed_fills_embeddings_only(recogniser: Recogniser) -> None:
    frame = cv2.resize(golden_chip(), (320, 240))
    faces = faces_with(face_at(90.0, (100.0, 60.0)))
    found = recogniser.embed(frame, faces)
    assert found.embeddings is not None
    assert found.embeddings.shape == (1, 128)
    assert found.dense is faces.dense
    np.testing.assert_array_equal(embed(frame, faces).embeddings, found.embeddings)


@pytest.mark.network
def test_fetching_gives_the_same_file_every_time(tmp_path: Path, recogniser: Recogniser) -> None:
    path = dlib_resnet.fetch_recogniser(tmp_path / "models")
    assert path.read_bytes() == recogniser_path().read_bytes()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def lfw_pairs(folder: Path, count: int) -> Iterator[tuple[bool, Path, Path]]:
    with (folder / "lfw_pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:: max(1, len(rows) // count)]:
        yield row["same"] == "1", folder / "lfw" / row["first"], folder / "lfw" / row["second"]


@pytest.mark.slow
def test_people_are_told_apart_on_real_pictures(recogniser: Recogniser) -> None:
    if not os.environ.get("FACEGRAFT_DATA"):
        pytest.skip("needs FACEGRAFT_DATA, a folder with eval/lfw")
    from facegraft.faces.analyse import Analyser
    from facegraft.faces.embed import SAME_PERSON

    analyser = Analyser()

    def vector(path: Path) -> np.ndarray:
        frame = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        found = analyser.analyse(frame, thorough=False)
        return recogniser.embed(frame, found.take([0])).embeddings[0]

    right = [
        (vector(first) @ vector(second) > SAME_PERSON) == same
        for same, first, second in lfw_pairs(Path(os.environ["FACEGRAFT_DATA"]) / "eval", 300)
    ]
    assert np.mean(right) > 0.95
