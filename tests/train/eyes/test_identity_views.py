"""The taught identity network looks at its teacher: what the teacher is asked about, and what is learned from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.faces.recognisers import OnnxRecogniser  # noqa: E402
from facegraft.train.eyes.identity import IdentityRecipe  # noqa: E402
from facegraft.train.eyes.identity_teacher import MAP_SIDES, WatchedTeacher  # noqa: E402
from facegraft.train.eyes.identity_views import MIXED, bent, bent_points, draw_bend, draw_mix, mixed  # noqa: E402
from tests.train.eyes.test_identity import config, dataset  # noqa: E402

__all__ = ["dataset"]
CHANNELS, ANSWER = (4, 6, 8), 12


def small_teacher(path: Path, *, sides: tuple[int, int, int] = (4, 2, 2), ends: bool = True) -> Path:
    """A recogniser of convolutions: residual sums at 28 and 14 pixels, a map of 7 that is weighed as a whole."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []

    def conv(given: str, made: str, shape: tuple[int, ...], stride: int) -> str:
        weights.append(onnx.numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), f"{made}_w"))
        kind = {"kernel_shape": shape[2:], "strides": [stride, stride]}
        nodes.append(onnx.helper.make_node("Conv", [given, f"{made}_w"], [made], **kind))
        return made

    found = "input0"
    before = 3
    for level, (channels, stride) in enumerate(zip(CHANNELS, sides, strict=True)):
        found = conv(found, f"down{level}", (channels, before, stride, stride), stride)
        if level < 2:
            inner = conv(found, f"inner{level}", (channels, channels, 1, 1), 1)
            nodes.append(onnx.helper.make_node("Add", [found, inner], [f"sum{level}"]))
            found = f"sum{level}"
        before = channels
    nodes.append(onnx.helper.make_node("Relu", [found], ["seen"]))
    if ends:
        whole = conv("seen", "whole", (16, before, 7, 7), 1)
        conv(whole, "last", (ANSWER, 16, 1, 1), 1)
        nodes.append(onnx.helper.make_node("Flatten", ["last"], ["output0"]))
    else:
        nodes.append(onnx.helper.make_node("Flatten", ["seen"], ["output0"]))
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "teacher",
        [onnx.helper.make_tensor_value_info("input0", floats, [1, 3, 112, 112])],
        [onnx.helper.make_tensor_value_info("output0", floats, None)],
        weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_teacher(tmp_path_factory.mktemp("teacher") / "teacher.onnx")


def views(dataset: Path, teacher: Path, **data: Any) -> dict[str, Any]:
    return config(dataset, teacher=str(teacher), views=True, **({"composite_share": 0.0} | data))


def test_a_batch_is_answered_as_each_crop_alone(teacher: Path) -> None:
    crops = torch.randint(0, 256, (5, 3, 112, 112), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    watched = WatchedTeacher(teacher)
    seen = watched(crops.float() / 255)
    alone = OnnxRecogniser(teacher).embed(crops.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(seen.answers.numpy(), alone, atol=1e-5)
    assert [tuple(found.shape) for found in seen.maps] == [
        (5, channels, side, side) for channels, side in zip(CHANNELS, MAP_SIDES, strict=True)
    ]
    assert (watched.map_channels, watched.answer_size) == (CHANNELS, ANSWER)
    assert float(seen.maps[2].min()) == 0, "expected what the last layer sees, behind its ReLU"


@pytest.mark.parametrize("kind", ["bytes", "other sizes", "no layer for the whole"])
def test_other_teachers_are_told_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "teacher.onnx"
    if kind == "bytes":
        path.write_bytes(b"no network")
    elif kind == "other sizes":
        small_teacher(path, sides=(2, 2, 4))
    else:
        small_teacher(path, ends=False)
    with pytest.raises(BadInputError, match=r"teacher\.onnx: expected [^\n]*$"):
        WatchedTeacher(path)


def test_the_teacher_sees_crops_before_they_are_worn(dataset: Path, teacher: Path) -> None:
    """Nothing moved, bent or mixed: its answers are those to the plain pictures, mirrored ones apart."""
    still: dict[str, Any] = {"shift": 0.0, "scale": 0.0, "degrees": 0.0}
    recipe = IdentityRecipe(views(dataset, teacher, **still), torch.device("cpu"))
    batch = recipe.batch(torch.Generator().manual_seed(0), 8)
    plain = recipe.train.plain(recipe.draw_rows(torch.Generator().manual_seed(0), 8)).float() / 255
    watched = WatchedTeacher(teacher)
    straight, mirrored = watched(plain).answers, watched(plain.flip(-1)).answers
    assert batch.answers is not None
    for answer, one, other in zip(batch.answers, straight, mirrored, strict=True):
        assert max(float(answer @ one), float(answer @ other)) > 0.9999
    assert not torch.equal(batch.crops, plain)
    again = recipe.batch(torch.Generator().manual_seed(0), 8)
    assert torch.equal(batch.crops, again.crops)
    assert torch.equal(batch.maps[1], again.maps[1])


def test_bent_and_mixed_faces_are_asked_about_as_they_are(dataset: Path, teacher: Path) -> None:
    one, two = (
        IdentityRecipe(views(dataset, teacher, **more), torch.device("cpu")).batch(torch.Generator().manual_seed(0), 16)
        for more in ({}, {"bend_px": 8.0, "mix_share": 1.0})
    )
    assert one.answers is not None
    assert two.answers is not None
    assert torch.equal(one.labels, two.labels)
    assert float((one.answers * two.answers).sum(1).mean()) < 0.999


def test_it_learns_from_answers_relations_and_maps(dataset: Path, teacher: Path) -> None:
    recipe = IdentityRecipe(views(dataset, teacher, bend_px=2.0, mix_share=0.3), torch.device("cpu"))
    assert recipe.loss_names == {"answer", "relation", "maps"}
    batch = recipe.batch(torch.Generator().manual_seed(0), 16)
    first = recipe.losses(recipe.net.train(), batch)
    assert set(first) == recipe.loss_names
    optimiser = torch.optim.AdamW([*recipe.net.parameters(), *recipe.head.parameters()], lr=1e-2)
    for step in range(40):
        found = recipe.losses(recipe.net, batch)
        if step == 2:  # at first the guess of a map is that nothing differs in it, whatever the network says
            for name, loss in found.items():
                (gradient, *_) = torch.autograd.grad(loss, next(recipe.net.parameters()), retain_graph=True)
                assert float(gradient.abs().sum()) > 0, f"{name} teaches the network nothing"
        optimiser.zero_grad()
        torch.stack([*found.values()]).sum().backward()
        optimiser.step()
    for name in recipe.loss_names:
        assert found[name].item() < 0.8 * first[name].item(), name


def test_maps_of_composites_are_not_guessed(dataset: Path, teacher: Path) -> None:
    recipe = IdentityRecipe(views(dataset, teacher, composite_share=1.0), torch.device("cpu"))
    batch = recipe.batch(torch.Generator().manual_seed(0), 16)
    assert batch.composed is not None
    assert batch.composed.all()
    assert float(recipe.losses(recipe.net.train(), batch)["maps"].detach()) == 0
    through = IdentityRecipe(views(dataset, teacher, composite_share=0.5, mix_share=1.0), torch.device("cpu"))
    some = through.batch(torch.Generator().manual_seed(0), 32).composed
    assert some is not None
    assert float(some.float().mean()) > 0.5, "a composite that shines through counts, too"


def test_it_goes_on_from_a_file(dataset: Path, teacher: Path, tmp_path: Path) -> None:
    """The network says what the file's did, and not what chance would."""
    pytest.importorskip("onnxscript")
    from facegraft.export.to_onnx import Ports, export_onnx

    torch.manual_seed(1)
    first = IdentityRecipe(views(dataset, teacher), torch.device("cpu"))
    crops = first.batch(torch.Generator().manual_seed(3), 16).crops
    for _ in range(20):
        first.net.train()(crops)
    ports = Ports(("crop",), ("embedding", "map"), {"crop": {0: "b"}})
    export_onnx(first.net.eval(), IdentityRecipe.example(), tmp_path / "identity.onnx", ports=ports)
    second = IdentityRecipe(views(dataset, teacher, start=str(tmp_path / "identity.onnx")), torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(second.net.eval()(crops), first.net(crops), atol=1e-4, rtol=0)
    with pytest.raises(BadInputError, match=r"nothing\.onnx"):
        IdentityRecipe(views(dataset, teacher, start=str(tmp_path / "nothing.onnx")), torch.device("cpu"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"views": True}, "views: expected a teacher"),
        ({"teacher": "t.onnx"}, "answers: expected a folder"),
        ({"teacher": "t.onnx", "answers": "a", "bend_px": 2.0}, "expected views"),
        ({"mix_share": 0.5}, "expected views"),
    ],
)
def test_options_that_do_not_fit_are_refused(dataset: Path, data: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        IdentityRecipe(config(dataset, **data), torch.device("cpu"))


def test_bending_moves_points_along() -> None:
    """A bright spot is where its point says, to a pixel; the bend of one crop is none of another's."""
    bend = draw_bend(torch.Generator().manual_seed(1), 6, 3.0)
    assert bend.shape == (6, 112, 112, 2)
    assert float(bend[0].std()) != float(bend[1].std())
    points = torch.tensor([[40.0, 60.0]]).expand(6, 1, 2)
    y, x = torch.meshgrid(torch.arange(112) + 0.5, torch.arange(112) + 0.5, indexing="ij")
    spot = torch.exp(-((x - 40) ** 2 + (y - 60) ** 2) / 18)[None, None].expand(6, 1, 112, 112)
    found = bent(spot, bend)[:, 0]
    at = torch.stack([(found * x).sum((1, 2)), (found * y).sum((1, 2))], 1) / found.sum((1, 2))[:, None]
    assert float((at - bent_points(points, bend)[:, 0]).norm(dim=1).max()) < 1.0
    torch.testing.assert_close(bent(spot, torch.zeros_like(bend)), spot, atol=1e-5, rtol=0)


def test_mixing_takes_a_share_of_another() -> None:
    other, share = draw_mix(torch.Generator().manual_seed(0), 400, 0.3)
    assert 0.2 < float((share > 0).float().mean()) < 0.4
    some = share[share > 0]
    assert MIXED[0] <= float(some.min()) <= float(some.max()) <= MIXED[1]
    crops = torch.arange(400.0)[:, None, None, None].expand(400, 1, 2, 2)
    expected = (1 - share) * torch.arange(400.0) + share * other
    torch.testing.assert_close(mixed(crops, other, share)[:, 0, 0, 0], expected)
