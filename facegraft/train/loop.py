"""The one loop: a config and a folder become a run, and the same call goes on where a run was stopped.

A run's folder holds `config.json`, `run.json` (commit, machine, data), `log.jsonl`, `preview/`, `last.safetensors` (to
go on from), and at the end `weights.safetensors` (the average over the last steps: the result) and `scores.json`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegraft.core.config import fill, load_config, unknown_name
from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.seeds import seed_for
from facegraft.nn.weights import save_weights
from facegraft.train import folder as files
from facegraft.train.checkpoint import State, load_state, save_state, trained_weights
from facegraft.train.optimise import learning_rate, make_average, make_optimiser, set_learning_rate, update_average
from facegraft.train.options import RunConfig
from facegraft.train.recipe import Recipe, RecipeClass, find_recipe
from facegraft.train.signals import stop_on_signals

logger = logging.getLogger(__name__)

DATA_STREAM, NETWORK_STREAM = 0, 1
"""Ranks for `seed_for`: what the recipe draws; first weights and dropout."""
SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class Run:
    """What `train` did.

    Attributes:
        folder: Where it lies.
        images_seen: In all.
        images_before: Of these, before this call; equal to `images_seen` where the run was done already.
        scores: Of the average at the end.
    """

    folder: Path
    images_seen: int
    images_before: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Status:
    """What a progress line shows; losses are means since the last line of the log."""

    images_seen: int
    images: int
    images_per_s: float
    left_s: float
    losses: dict[str, float]


Progress = Callable[[Status], None]


def train(
    config: Path | Mapping[str, Any],
    run_dir: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    recipe: RecipeClass | None = None,
) -> Run:
    """Trains a network, or goes on with it, or finds it done.

    Args:
        config: A TOML file, or its tables.
        run_dir: The run's folder; made if it is not there.
        device: "cpu", "cuda", or "auto": CUDA where there is one.
        progress: Called twice a second at most.
        recipe: Instead of the one that the config names.

    Raises:
        BadInputError: The config, the data or an earlier state of the run cannot be used, or a loss is no number.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state was saved after the step.
        MissingPartError: CUDA was asked for and is not there.
        OutputError: Something cannot be written; the last state that was saved stays.
    """
    tables = load_config(config) if isinstance(config, Path) else dict(config)
    options = fill(RunConfig, tables, "")
    chosen = recipe or find_recipe(options.network)
    found = pick_device(device)
    files.open_run(run_dir, options)
    with files.sole_use(run_dir):
        files.write_config(run_dir, options)
        return _go_on(tables, options, run_dir, chosen, found, progress or (lambda _status: None))


def _go_on(
    tables: Mapping[str, Any],
    options: RunConfig,
    run_dir: Path,
    chosen: RecipeClass,
    device: torch.device,
    progress: Progress,
) -> Run:
    """Trains from where the folder's run stands."""
    done = files.read_result(run_dir)
    if done is not None and done.images_seen >= options.train.images:
        return Run(run_dir, done.images_seen, done.images_seen, done.scores)
    with seeded(seed_for(options.seed, NETWORK_STREAM, 0), device):
        made = chosen(tables, device)
    state = _start(made, options, device)
    if (run_dir / files.STATE).exists():
        load_state(run_dir / files.STATE, state)
    files.write_facts(run_dir, options, device)
    files.cut_log(run_dir, state.images_seen)
    trainer = _Trainer(run_dir, options, made, device, state)
    scores = trainer.run(progress)
    return Run(run_dir, state.images_seen, trainer.images_before, scores)


def pick_device(name: str) -> torch.device:
    """The device that a user names.

    Raises:
        BadInputError: The name is none of auto, cpu, cuda.
        MissingPartError: There is no CUDA here.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"--device: expected auto, cpu or cuda, found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise MissingPartError("--device cuda: torch finds no CUDA here; use --device cpu, or install torch for CUDA")
    return torch.device("cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda")


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators start at the seed; outside they are as they were.

    First weights and dropout draw from the global generators and can be told no other.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else [], enabled=True):
        torch.manual_seed(seed)
        yield


def _start(recipe: Recipe, options: RunConfig, device: torch.device) -> State:
    odd = sorted(recipe.loss_names ^ set(options.losses))
    if odd and odd[0] in recipe.loss_names:
        raise BadInputError(f"losses.{odd[0]}: is missing; give its weight, 0 for none")
    if odd:
        raise BadInputError(unknown_name(f"losses.{odd[0]}", odd[0], sorted(recipe.loss_names)))
    recipe.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    weights = trained_weights(recipe.net, recipe.head).values()
    optimiser = make_optimiser(weights, options.optimiser)
    sums = torch.zeros(len(recipe.loss_names) + 1, device=device)
    return State(recipe.net, make_average(recipe.net), recipe.head, optimiser, sums)


class _Trainer:
    """One call of `train`: what it was told, the state that it changes, and the folder that it writes."""

    def __init__(self, folder: Path, options: RunConfig, recipe: Recipe, device: torch.device, state: State) -> None:
        self.folder, self.options, self.recipe, self.device, self.state = folder, options, recipe, device, state
        self.names = sorted(options.losses)
        self.saved_at = self.began = time.monotonic()
        self.images_before = state.images_seen

    def run(self, progress: Progress) -> dict[str, float]:
        """Steps until enough images are seen; returns the scores at the end."""
        state, images = self.state, self.options.train.images
        reported = ticked = time.monotonic()
        with stop_on_signals() as stopped, self._batches() as next_batch, _fast_convolutions(self.device):
            while state.images_seen < images:
                before = state.images_seen
                self._step(next_batch())
                now = time.monotonic()
                state.seconds += now - ticked
                ticked = now
                self._write_what_is_due(before, last=state.images_seen >= images)
                if stopped():
                    self._save()
                    raise KeyboardInterrupt
                if now - reported > SECONDS_BETWEEN_REPORTS:
                    progress(self._status())
                    reported = now
        return self._finish()

    @contextlib.contextmanager
    def _batches(self) -> Iterator[Callable[[], Any]]:
        """What gives the next batch; made ahead in one thread where the config says so."""
        size, ahead = self.options.train.batch, self.options.train.ahead
        if not ahead:
            yield lambda: self._batch(self.state.images_seen)
            return
        made: deque[Future[Any]] = deque()
        next_start = self.state.images_seen

        def following() -> Any:
            nonlocal next_start
            while len(made) <= ahead:
                made.append(pool.submit(self._batch, next_start))
                next_start += size
            return made.popleft().result()

        pool = ThreadPoolExecutor(1, "batches")
        try:
            yield following
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch(self, images_seen: int) -> Any:
        generator = torch.Generator().manual_seed(seed_for(self.options.seed, DATA_STREAM, images_seen))
        return self.recipe.batch(generator, self.options.train.batch)

    def _step(self, batch: Any) -> None:
        state, options = self.state, self.options
        state.net.train()
        # bfloat16 on a GPU only: a CPU without it is forty times slower than in float32.
        half = torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda")
        with seeded(seed_for(options.seed, NETWORK_STREAM, state.images_seen + 1), self.device), half:
            losses = self.recipe.losses(state.net, batch)
            if set(losses) != set(self.names):
                raise RuntimeError(f"the recipe promised losses {self.names} and gave {sorted(losses)}")
            total = torch.stack([options.losses[name] * losses[name].float() for name in self.names]).sum()
        state.optimiser.zero_grad(set_to_none=True)
        total.backward()
        weights = [weight for group in state.optimiser.param_groups for weight in group["params"]]
        length = nn.utils.clip_grad_norm_(weights, options.train.clip or torch.inf)
        measured = torch.stack([*(losses[name].detach().float() for name in self.names), length.detach().float()])
        state.sums += measured
        state.steps_logged += 1
        if self.device.type == "cpu":  # on a GPU looking would wait for it; there every line of the log looks
            self._check_finite()
        set_learning_rate(
            state.optimiser,
            learning_rate(state.images_seen + options.train.batch, options.train.images, options.optimiser),
        )
        state.optimiser.step()
        update_average(state.average, state.net, options.train.ema, state.step)
        state.images_seen += options.train.batch
        state.step += 1

    def _check_finite(self) -> dict[str, float]:
        """Means since the last line of the log.

        Raises:
            BadInputError: One of them is no number.
        """
        means = dict(zip([*self.names, "gradient"], (self.state.sums / self.state.steps_logged).tolist(), strict=True))
        odd = next((name for name, mean in means.items() if not -torch.inf < mean < torch.inf), None)
        if odd is not None:
            what = "the gradient" if odd == "gradient" else f"the loss {odd}"
            last = "the last state saved is sound, the same command goes on from it"
            advice = f"lower optimiser.lr, or look for a division by 0 or an odd label; {last}"
            raise BadInputError(f"{what} is {means[odd]} after {self.state.images_seen} images: {advice}")
        return means

    def _write_what_is_due(self, before: int, *, last: bool) -> None:
        options, now = self.options.train, self.state.images_seen
        due = {
            name: last or before // every != now // every
            for name, every in {
                "log": options.log_every,
                "preview": options.preview_every,
                "save": options.save_every,
            }.items()
        }
        if due["log"]:
            self._log()
        if before // options.validate_every != now // options.validate_every and not last:
            self._scores()
        if due["preview"]:
            files.write_preview(self.folder, now, self._quietly(self.recipe.preview))
        if due["save"] or time.monotonic() - self.saved_at > 60 * options.save_minutes:
            self._save()

    def _log(self) -> None:
        state = self.state
        means = self._check_finite()
        seen = state.steps_logged * self.options.train.batch
        line = {"images_seen": state.images_seen, "losses": {name: means[name] for name in self.names}}
        line |= {"gradient": means["gradient"], "lr": state.optimiser.param_groups[0]["lr"]}
        files.append_log(self.folder, line | {"images": seen, "seconds": round(state.seconds, 3)})
        state.sums.zero_()
        state.steps_logged = 0

    def _save(self) -> None:
        if self.state.steps_logged:
            self._check_finite()
        save_state(self.folder / files.STATE, self.state)
        self.saved_at = time.monotonic()

    def _quietly(self, look: Callable[[nn.Module], Any]) -> Any:
        """Shows the average to the recipe, in evaluation mode, without gradients."""
        self.state.average.eval()
        with torch.no_grad():
            return look(self.state.average)

    def _scores(self) -> dict[str, float]:
        scores = {name: float(score) for name, score in self._quietly(self.recipe.validate).items()}
        files.append_log(self.folder, {"images_seen": self.state.images_seen, "scores": scores})
        return scores

    def _status(self) -> Status:
        state, images = self.state, self.options.train.images
        speed = (state.images_seen - self.images_before) / (time.monotonic() - self.began)
        means = self._check_finite() if state.steps_logged else {}
        return Status(state.images_seen, images, speed, max(0, images - state.images_seen) / speed, means)

    def _finish(self) -> dict[str, float]:
        state = self.state
        scores = self._scores()
        facts = {"network": self.options.network, "model": self.options.model, "images_seen": state.images_seen}
        save_weights(self.folder / files.WEIGHTS, state.average, facts)
        files.write_result(self.folder, files.Result(state.images_seen, state.seconds, scores))
        return scores


@contextlib.contextmanager
def _fast_convolutions(device: torch.device) -> Iterator[None]:
    """Lets cuDNN try which algorithm is fastest: a training's shapes stay the same."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        yield
