"""Bundles at work: what was damaged is refused, the graphs see what training saw, no torch is loaded."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.files import sha256
from facegraft.core.geometry import warp
from facegraft.core.image import read_picture
from facegraft.core.types import Frame, Matrix, paste
from facegraft.faces.align import align
from facegraft.faces.analyse import Analyser
from facegraft.faces.track import Tracker
from facegraft.runtime.bundle import Bundle, BundleEngine, _mean, is_bundle
from facegraft.runtime.clip import ClipSwap
from facegraft.runtime.engine import FaceState, installed_bundles, load_engine
from facegraft.runtime.select import Everybody, Selector
from facegraft.runtime.swapper import DEFAULT, Swapper, load_swapper
from tests.faces.drawn import DARK_SKIN, LIGHT_SKIN, as_faces, posed
from tests.runtime.test_swapper import SIZE_WH, DrawnNetworks, over_mouth, scene


@pytest.fixture
def networks() -> DrawnNetworks:
    return DrawnNetworks()


@pytest.fixture
def swapper(networks: DrawnNetworks, tiny_bundle: Path) -> Swapper:
    made = Swapper(Analyser(networks), load_engine(tiny_bundle))
    made.set_identity([scene(networks, 200, LIGHT_SKIN, posed(), spots=14)])
    return made


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "copy")


def test_the_graphs_see_what_the_method_saw_in_training(networks: DrawnNetworks, tiny_bundle: Path) -> None:
    """Order of colours, range, axes and alignment: one wrong, and torch would answer otherwise."""
    torch = pytest.importorskip("torch")
    from facegraft.tensors import Aligned, frames_from_images, images_from_frames
    from tests.export.tiny import tiny_method
    from tests.methods.contract import tiny_frozen

    frame, method = scene(networks, 1, DARK_SKIN, posed(roll=10)), tiny_method().eval()
    faces = Analyser(networks).analyse(frame)
    (crop,) = align(frame, faces, "arcface_112_v1", 32)
    images = images_from_frames([crop.image])
    with torch.no_grad():
        code = method.encode_identity(Aligned(images), tiny_frozen())
        expected = frames_from_images(method.swap(Aligned(images), code).image)[0]
    swapper = Swapper(Analyser(networks), load_engine(tiny_bundle))
    swapper.set_identity([frame])
    np.testing.assert_allclose(swapper.identities[DEFAULT][0], code[0].numpy(), atol=1e-4)
    image, mask = Bundle.open(tiny_bundle).swap(warp(frame, crop.matrix, (32, 32)), swapper.identities[DEFAULT])
    assert np.abs(image - expected).max() < 0.6
    np.testing.assert_array_equal(mask, np.ones((32, 32)))


def test_codes_of_several_photos_are_averaged(networks: DrawnNetworks, swapper: Swapper) -> None:
    photos = [scene(networks, 210 + n, LIGHT_SKIN, posed(yaw=yaw), spots=9) for n, yaw in enumerate((-30, 0, 30))]
    alone = []
    for photo in photos:
        swapper.set_identity([photo])
        alone.append(swapper.identities[DEFAULT][0])
    swapper.set_identity(photos)
    mean = np.concatenate(alone).mean(axis=0)
    np.testing.assert_allclose(swapper.identities[DEFAULT][0][0], mean / np.linalg.norm(mean), atol=1e-5)
    rows = np.array([[2.0, 0.0], [0.0, 2.0]], np.float32)
    np.testing.assert_allclose(_mean(rows), [[1, 1]], err_msg="no unit vectors: nothing to bring back to length 1")
    np.testing.assert_allclose(_mean(rows.reshape(2, 2, 1)), [[[1], [1]]])


def test_a_face_changes_and_nothing_else(networks: DrawnNetworks, swapper: Swapper) -> None:
    frame = scene(networks, 1, DARK_SKIN, posed(size=50, at=(80, 110)), posed(size=40, at=(235, 120)))
    before = frame.copy()
    out = swapper.swap(frame)
    np.testing.assert_array_equal(frame, before)
    changed = (out != frame).any(axis=2)
    assert changed[100:130, 70:90].mean() > 0.9
    assert changed[112:130, 225:245].mean() > 0.9
    assert not changed[:, 140:190].any()
    assert not changed[:, :10].any()
    np.testing.assert_array_equal(out, swapper.swap(frame), "the same again: nothing is drawn by chance")


@dataclasses.dataclass
class Told(DrawnNetworks):
    """Says of every picture that its face is so many pixels wider on either side than where it is looked for."""

    wider: float = 0.0
    presence: float = 1.0

    def mesh(self, frame: Frame, crop: Matrix) -> tuple[np.ndarray, float]:
        dense = posed()
        dense = (dense - dense.mean(axis=0)) * np.float32([0.22, 0.22, 0.22]) + np.float32([16, 17, 0])
        dense[:, 0] += np.sign(dense[:, 0] - 16) * np.float32(self.wider)
        return dense.astype(np.float32), self.presence


def test_an_adaptive_mask_keeps_its_kind_of_edge_while_a_face_is_seen(
    networks: DrawnNetworks, tiny_bundle: Path
) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert bundle.blend == "visible"
    plain, adaptive = BundleEngine(bundle), BundleEngine(dataclasses.replace(bundle, blend="adaptive"))
    frame = scene(networks, 1, DARK_SKIN, posed())
    swapper = Swapper(Analyser(networks), adaptive)
    swapper.set_identity([scene(networks, 200, LIGHT_SKIN, posed(), spots=14)])
    person, face = swapper.identities[DEFAULT], swapper.analyser.analyse(frame)[0]
    free = swapper.analyser.uncovered(frame, face, adaptive.seen_margin)

    def put(wider: float, presence: float = 1.0, last: int | None = None) -> tuple[float, int | None]:
        """How much changes, and the edge that the next frame has."""
        adaptive._results = Analyser(Told(wider=wider, presence=presence))
        patch, state = adaptive.put(frame, face, person, FaceState(edge=last), free)
        assert patch is not None
        assert FaceState(**json.loads(json.dumps(dataclasses.asdict(state)))) == state
        return float(np.abs(patch.delta).sum()), state.edge

    whole, untouched = plain.put(frame, face, person, FaceState(), free)
    assert whole is not None
    assert untouched == FaceState()
    narrow, wide, held = put(-4.0), put(4.0), put(-4.0, last=3)
    assert (narrow[1], wide[1], held[1]) == (0, 3, 3)
    assert narrow[0] < held[0] < wide[0] <= float(np.abs(whole.delta).sum()) * 1.001
    assert put(-4.0, presence=0.2)[1] == 2, "no face in the result: as wide as the other"


def test_a_hand_before_the_face_stays(networks: DrawnNetworks, swapper: Swapper) -> None:
    dense = posed()
    frame = scene(networks, 1, DARK_SKIN, dense)
    x, y = dense[14, :2].astype(int)
    middle = (slice(y - 14, y + 4), slice(x - 8, x + 8))
    assert np.abs(swapper.swap(frame).astype(int) - frame)[middle].mean() > 2
    networks.covered_at[1] = over_mouth(dense)
    np.testing.assert_array_equal(swapper.swap(frame)[middle], frame[middle])


@pytest.mark.parametrize(("size", "at"), [(80, (-400, 100)), (80, (160, 800)), (0.5, (160, 110))])
def test_a_face_that_cannot_be_placed_gives_no_patch(
    size: float, at: tuple[float, float], networks: DrawnNetworks, swapper: Swapper
) -> None:
    frame, face = scene(networks, 1, DARK_SKIN), as_faces(posed(size=size, at=at))[0]
    assert swapper.patch(frame, face, DEFAULT, FaceState()) == (None, FaceState())


def test_points_that_are_no_numbers_give_no_patch(networks: DrawnNetworks, swapper: Swapper) -> None:
    faces = as_faces(posed())
    faces.points5[:] = np.nan
    assert swapper.patch(scene(networks, 1, DARK_SKIN), faces[0], DEFAULT, FaceState())[0] is None


def test_a_restored_clip_goes_on_bit_by_bit(networks: DrawnNetworks, swapper: Swapper) -> None:
    frames = [scene(networks, n, DARK_SKIN, posed(size=50, at=(80 + 2 * n, 110), yaw=n)) for n in range(1, 9)]

    def begin() -> ClipSwap:
        return ClipSwap(swapper, Tracker(swapper.analyser), Selector(Everybody(DEFAULT)))

    def edited(edit: ClipSwap, start: int, stop: int) -> list[np.ndarray]:
        done = []
        for number in range(start, stop):
            out = frames[number].copy()
            paste(out, edit.edit(frames[number], number / 25))
            done.append(out)
        return done

    first = begin()
    before = edited(first, 0, 4)
    again = begin()
    again.restore(json.loads(json.dumps(first.state())))
    whole = edited(begin(), 0, 8)
    for one, other in zip(whole, [*before, *edited(again, 4, 8)], strict=True):
        np.testing.assert_array_equal(one, other)
    assert frames[0].shape[:2] == SIZE_WH[::-1]


# --- folders ------------------------------------------------------------------------------------------


def test_a_bundle_swaps_a_picture_without_torch(tiny_bundle: Path, root: Path, tmp_path: Path) -> None:
    """In a process of its own; outside the face's box every pixel stays."""
    program = (
        "import sys, numpy as np\nfrom pathlib import Path\nimport facegraft as fg\n"
        "from facegraft.core.image import read_picture, save_frame\n"
        "bundle, identity, attribute, out = sys.argv[1:]\n"
        "swapper = fg.load_swapper(bundle)\n"
        "frames = [read_picture(Path(name)).frame for name in (identity, attribute)]\n"
        "save_frame(Path(out), swapper.swap_pair(*frames))\n"
        "print(swapper.method, 'torch' in sys.modules, 'onnx' in sys.modules)\n"
    )
    out, attribute = tmp_path / "out.png", root / "examples" / "attribute_1.jpg"
    words = [tiny_bundle, root / "examples" / "identity_1.jpg", attribute, out]
    command = [sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.stdout == "simswap False False\n", done.stderr
    before, after = read_picture(attribute).frame, read_picture(out).frame
    changed = (before != after).any(axis=2)
    face = Analyser().analyse(before)[0]
    x, y = face.points5[2].astype(int)
    assert changed[y - 30 : y + 30, x - 30 : x + 30].mean() > 0.95
    left, top, right, bottom = face.box_xyxy
    side = max(right - left, bottom - top)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert columns[0] > left - 0.2 * side
    assert columns[-1] < right + 0.2 * side
    assert rows[0] > top - 0.7 * side
    assert rows[-1] < bottom + 0.2 * side


def edit_card(folder: Path, **changes: object) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def swap_file(folder: Path, name: str, content: bytes) -> None:
    """Another file, with its hash on the card."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "card.json").read_text(encoding="utf-8"))["files"]
    edit_card(folder, files=files | {name: {"sha256": sha256(folder / name), "bytes": len(content)}})


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte": (lambda b: (b / "swap.onnx").write_bytes((b / "swap.onnx").read_bytes()[:-1] + b"!"), "SHA-256 is"),
    "cut off": (lambda b: (b / "identity.onnx").write_bytes(b"cut"), "identity.onnx: SHA-256 is"),
    "no graph": (lambda b: (b / "swap.onnx").unlink(), "swap.onnx: cannot be opened"),
    "no card": (lambda b: (b / "card.json").unlink(), "expected a bundle made by `facegraft export`"),
    "no json": (lambda b: (b / "card.json").write_text("{"), "expected a bundle"),
    "a list": (lambda b: (b / "card.json").write_text('["facegraft_bundle"]'), "expected a bundle"),
    "another's card": (lambda b: (b / "card.json").write_text('{"facegraft_dataset": 1}'), "expected a bundle"),
    "newer": (lambda b: edit_card(b, facegraft_bundle=9), "expected version 1, found 9; update facegraft"),
    "no files": (lambda b: edit_card(b, files=3), "damaged"),
    "a name": (lambda b: edit_card(b, files={"../swap.onnx": {"sha256": ""}}), "damaged"),
    "blend": (lambda b: edit_card(b, blend="poisson"), "expected blend of visible, adaptive, found 'poisson'"),
    "template": (lambda b: edit_card(b, alignment="upside_down"), "damaged"),
    "other graph": (lambda b: swap_file(b, "swap.onnx", (b / "identity.onnx").read_bytes()), "swap.onnx: "),
    "no onnx": (lambda b: swap_file(b, "swap.onnx", b"text"), "not an ONNX graph"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused_in_one_line(damage: str, copy: Path) -> None:
    spoil, says = DAMAGES[damage]
    spoil(copy)
    with pytest.raises(BadInputError) as error:
        Bundle.open(copy)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_card_of_another_size_is_refused(copy: Path) -> None:
    graphs = json.loads((copy / "card.json").read_text(encoding="utf-8"))["graphs"]
    graphs["swap"]["inputs"]["attribute"] = ["b", 3, 64, 64]
    edit_card(copy, graphs=graphs)
    with pytest.raises(BadInputError, match=r"attribute is \[3, 32, 32\], the card says \[3, 64, 64\]"):
        Bundle.open(copy)


def test_bundles_are_found_by_folder_and_by_name(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    assert "mine" not in installed_bundles()
    shutil.copytree(tiny_bundle, tmp_path / "mine")
    assert installed_bundles()["mine"] == tmp_path / "mine"
    assert is_bundle(tiny_bundle)
    assert not is_bundle(tmp_path)
    for name in (str(tiny_bundle), tiny_bundle, "mine"):
        engine = load_swapper(name).engine
        assert isinstance(engine, BundleEngine)
        assert engine.method == "simswap"
    with pytest.raises(BadInputError, match=r"no method or bundle 'nobody'; there is: warp, .*mine.*facegraft export"):
        load_swapper("nobody")


def test_the_stamp_tells_two_bundles_apart(tiny_bundle: Path, copy: Path) -> None:
    assert Bundle.open(copy).stamp == Bundle.open(tiny_bundle).stamp
    content = (copy / "swap.onnx").read_bytes()
    assert content.count(b"0123abc") == 1
    swap_file(copy, "swap.onnx", content.replace(b"0123abc", b"0123abd"))
    assert Bundle.open(copy).stamp != Bundle.open(tiny_bundle).stamp
