"""What is said of a run: names, sizes of weights, and TensorBoard's file."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("tensorboardX")

from torch import nn  # noqa: E402

from facegraft.train.board import Board, flat, in_phase, loss_names, sizes_of  # noqa: E402
from facegraft.train.job import Phase  # noqa: E402
from facegraft.train.options import OptimiserOptions  # noqa: E402


def test_names_have_their_phase_in_front() -> None:
    plain = Phase("", {"b": 1.0, "a": 2.0}, OptimiserOptions(lr=1.0))
    named = Phase("generator", {"b": 1.0, "a": 2.0}, OptimiserOptions(lr=1.0), ("encoder", "decoder"))
    assert loss_names(plain) == ["a", "b"]
    assert loss_names(named) == ["generator/a", "generator/b"]
    assert in_phase(named, "gradient") == "generator/gradient"
    assert [named.trains(name) for name in ("encoder.0.weight", "encoders.weight", "decoder")] == [True, False, True]
    assert plain.trains("anything")


def test_sizes_are_root_mean_squares_of_each_part() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.fill_(-3.0)
        net[2].weight.copy_(torch.tensor([[0.0, 2.0]]))
    assert sizes_of(net) == {"0": pytest.approx(3.0), "2": pytest.approx(2**0.5)}


def test_tables_are_flattened() -> None:
    assert flat({"losses": {"a": 1, "b/c": 2.5}, "lr": 3}) == {"losses/a": 1.0, "losses/b/c": 2.5, "lr": 3.0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scalars_come_to_tensorboards_file(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.add({"images_seen": 64, "losses": {"generator/identity": 0.25}})
    board.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    assert b"losses/generator/identity" in content
    assert len(content) > 60
