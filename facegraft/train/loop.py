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
from torch import Tensor, nn

from facegraft.core.config import load_config
from facegraft.core.errors import BadInputError
from facegraft.core.seeds import seed_for
from facegraft.frozen.nets import FrozenNets
from facegraft.methods._method import find_method
from facegraft.nn.weights import save_weights
from facegraft.train import folder as files
from facegraft.train.board import Board, in_phase, loss_names, sizes_of
from facegraft.train.checkpoint import State, load_state, save_state, trained_weights
from facegraft.train.devices import fast_convolutions, half_precision, pick_device, quicken, seeded
from facegraft.train.job import Job, NetworkJob
from facegraft.train.methods import MethodJob
from facegraft.train.optimise import (
    learning_rate,
    make_average,
    make_optimiser,
    set_learning_rate,
    update_average,
    weights_of,
)
from facegraft.train.options import AnyRunConfig, MethodRunConfig, run_config
from facegraft.train.processes import Processes, joined
from facegraft.train.recipe import RecipeClass, find_recipe
from facegraft.train.signals import stop_on_signals

logger = logging.getLogger(__name__)

NETWORK_STREAM = 1
"""Rank for `seed_for`: first weights, dropout, whatever a step draws; odd, as data streams are even."""
UPDATE_STREAM = 1_000_001
"""The same for what an optimiser draws: odd too, beyond any process' own, for all must move the same weights."""
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
    config: str | Path | Mapping[str, Any],
    run_dir: str | Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    recipe: RecipeClass | None = None,
    frozen: FrozenNets | None = None,
) -> Run:
    """Trains a method or a network, or goes on with it, or finds it done.

    Args:
        config: A TOML file, or its tables.
        run_dir: The run's folder; made if it is not there.
        device: "cpu", "cuda", or "auto": CUDA where there is one.
        progress: Called twice a second at most.
        recipe: Instead of the one that the config of a network names.
        frozen: Instead of the frozen networks that ship, which a method looks through.

    Raises:
        BadInputError: The config, the data or an earlier state of the run cannot be used, or a loss is no number.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state was saved after the step.
        MissingPartError: CUDA was asked for and is not there.
        OutputError: Something cannot be written; the last state that was saved stays.
    """
    tables = load_config(config) if isinstance(config, str | Path) else dict(config)
    run_dir = Path(run_dir)
    options = run_config(tables)
    found = pick_device(device)
    with joined(found) as processes:
        if options.train.batch % processes.world:
            whole = f"a multiple of the {processes.world} processes"
            raise BadInputError(f"train.batch: expected {whole}, found {options.train.batch}")
        was_there = run_dir.is_dir()
        if processes.first:
            files.open_run(run_dir, options)
        processes.wait()
        with files.begun(run_dir, options, keep=was_there) if processes.first else contextlib.nullcontext():
            opener = _opener(tables, options, run_dir, found, processes, recipe, frozen)
            return _go_on(opener, options, run_dir, found, processes, progress or (lambda _status: None))


def _opener(
    tables: Mapping[str, Any],
    options: AnyRunConfig,
    run_dir: Path,
    device: torch.device,
    processes: Processes,
    recipe: RecipeClass | None,
    frozen: FrozenNets | None,
) -> Callable[[], Job]:
    """Makes the job; what it is, is checked at once."""
    if isinstance(options, MethodRunConfig):
        find_method(options.method)
        return lambda: MethodJob(options, run_dir, device, processes, frozen)
    chosen = recipe or find_recipe(options.network)
    return lambda: NetworkJob(chosen(tables, device), options, processes)


def _go_on(
    opener: Callable[[], Job],
    options: AnyRunConfig,
    run_dir: Path,
    device: torch.device,
    processes: Processes,
    progress: Progress,
) -> Run:
    """Trains from where the folder's run stands."""
    done = files.read_result(run_dir)
    if done is not None and done.images_seen >= options.train.images:
        return Run(run_dir, done.images_seen, done.images_seen, done.scores)
    with seeded(seed_for(options.seed, NETWORK_STREAM, 0), device):
        job = opener()
    state = _start(job, device)
    if (run_dir / files.STATE).exists():
        load_state(run_dir / files.STATE, state)
    if processes.first:
        files.write_facts(run_dir, options, device)
        files.cut_log(run_dir, state.images_seen)
    processes.wait()
    trainer = _Trainer(run_dir, options, job, device, state, processes)
    scores = trainer.run(progress)
    return Run(run_dir, state.images_seen, trainer.images_before, scores)


def _start(job: Job, device: torch.device) -> State:
    job.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    quicken(job.net)
    weights = trained_weights(job.net, job.head)
    optimisers: list[torch.optim.Optimizer] = []
    for phase in job.phases:
        mine = [weight for name, weight in weights.items() if phase.trains(name.partition("/")[2])]
        optimisers.append(make_optimiser(mine, phase.optimiser))
    sums = torch.zeros(sum(len(phase.losses) + 1 for phase in job.phases), device=device)
    return State(job.net, make_average(job.net), job.head, optimisers, sums)


class _Trainer:
    """One call of `train`: what it was told, the state that it changes, and the folder that it writes."""

    def __init__(
        self,
        folder: Path,
        options: AnyRunConfig,
        job: Job,
        device: torch.device,
        state: State,
        processes: Processes,
    ) -> None:
        self.folder, self.options, self.job, self.device, self.state = folder, options, job, device, state
        self.processes = processes
        self.names = [name for phase in job.phases for name in [*loss_names(phase), in_phase(phase, "gradient")]]
        self.saved_at = self.began = time.monotonic()
        self.images_before = state.images_seen
        self.board = Board(folder) if options.train.tensorboard and processes.first else None
        if options.train.compile:
            for part in state.net.children():
                part.compile()

    def run(self, progress: Progress) -> dict[str, float]:
        """Steps until enough images are seen; returns the scores at the end."""
        state, images = self.state, self.options.train.images
        reported = ticked = time.monotonic()
        board = contextlib.nullcontext() if self.board is None else contextlib.closing(self.board)
        with board, stop_on_signals() as stopped, self._batches() as next_batch, fast_convolutions(self.device):
            while state.images_seen < images:
                before = state.images_seen
                self._step(next_batch())
                now = time.monotonic()
                state.seconds += now - ticked
                ticked = now
                self._write_what_is_due(before, last=state.images_seen >= images)
                if self.processes.agree(stopped()):
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
        return self.job.batch(images_seen)

    def _step(self, batch: Any) -> None:
        state, options = self.state, self.options.train
        state.net.train()
        measured = [self._phase(number, batch) for number in range(len(self.job.phases))]
        state.sums += torch.cat(measured)
        state.steps_logged += 1
        if self.device.type == "cpu":  # on a GPU looking would wait for it; there every line of the log looks
            self._check_finite()
        update_average(state.average, state.net, options.ema, state.step)
        state.images_seen += options.batch
        state.step += 1

    def _phase(self, number: int, batch: Any) -> Tensor:
        """One step of one optimiser; gives the losses and the gradient's length."""
        state, phase, options = self.state, self.job.phases[number], self.options
        optimiser = state.optimisers[number]
        others = [weights_of(each) for each in state.optimisers if each is not optimiser]
        held = [weight for weights in others for weight in weights if weight.requires_grad]
        for weight in held:
            weight.requires_grad = False
        half = half_precision(options.train.half, self.device)
        stream = NETWORK_STREAM + 2 * (number + len(self.job.phases) * self.processes.rank)
        with seeded(seed_for(options.seed, stream, state.images_seen + 1), self.device), half:
            losses = self.job.losses(phase.name, state.net, batch)
            if set(losses) != set(phase.losses):
                raise RuntimeError(f"{phase.name}: promised losses {sorted(phase.losses)} and gave {sorted(losses)}")
            total = torch.stack([phase.losses[name] * losses[name].float() for name in sorted(phase.losses)]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        for weight in held:
            weight.requires_grad = True
        weights = weights_of(optimiser)
        self.processes.average(weight.grad for weight in weights if weight.grad is not None)
        length = nn.utils.clip_grad_norm_(weights, options.train.clip or torch.inf)
        values = torch.stack([*(losses[name].detach().float() for name in sorted(losses)), length.detach().float()])
        self.processes.average([values])
        rate = learning_rate(state.images_seen + options.train.batch, options.train.images, phase.optimiser)
        set_learning_rate(optimiser, rate)
        if bool(torch.isfinite(length)) or self.device.type != "cpu":
            with seeded(seed_for(options.seed, UPDATE_STREAM + 2 * number, state.images_seen + 1), self.device):
                optimiser.step()
        return values

    def _check_finite(self) -> dict[str, float]:
        """Means since the last line of the log.

        Raises:
            BadInputError: One of them is no number.
        """
        means = dict(zip(self.names, (self.state.sums / self.state.steps_logged).tolist(), strict=True))
        odd = next((name for name, mean in means.items() if not -torch.inf < mean < torch.inf), None)
        if odd is not None:
            phase, _, name = odd.rpartition("/")
            what = f"the loss {odd}" if name != "gradient" else f"the gradient of {phase}" if phase else "the gradient"
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
        if due["preview"] and self.processes.first:
            files.write_preview(self.folder, now, self._quietly(self.job.preview))
        if (kept := options.snapshot_every) and before // kept != now // kept and self.processes.first:
            save_weights(files.snapshot_path(self.folder, now), self.state.average, self._facts())
        if due["save"] or time.monotonic() - self.saved_at > 60 * options.save_minutes:
            self._save()

    def _log(self) -> None:
        state, processes = self.state, self.processes
        means = self._check_finite()
        seen = state.steps_logged * self.options.train.batch
        gradients = {in_phase(phase, "gradient") for phase in self.job.phases}
        line: dict[str, Any] = {
            "images_seen": state.images_seen,
            "losses": {name: mean for name, mean in means.items() if name not in gradients},
        }
        rates = [optimiser.param_groups[0]["lr"] for optimiser in state.optimisers]
        if len(rates) == 1:
            line |= {"gradient": means[gradients.pop()], "lr": rates[0]}
        else:
            names = [phase.name for phase in self.job.phases]
            line["gradient"] = {name: means[f"{name}/gradient"] for name in names}
            line |= {"lr": dict(zip(names, rates, strict=True)), "weights": sizes_of(state.net)}
        line |= {"images": seen, "seconds": round(state.seconds, 3)}
        if processes.first:
            files.append_log(self.folder, line)
        if self.board is not None:
            self.board.add(line)
        state.sums.zero_()
        state.steps_logged = 0

    def _save(self) -> None:
        if self.state.steps_logged:
            self._check_finite()
        if self.processes.first:
            save_state(self.folder / files.STATE, self.state)
        self.saved_at = time.monotonic()

    def _quietly(self, look: Callable[[nn.Module], Any]) -> Any:
        """Shows the average to the recipe, in evaluation mode, without gradients."""
        self.state.average.eval()
        with torch.no_grad():
            return look(self.state.average)

    def _scores(self) -> dict[str, float]:
        scores = {name: float(score) for name, score in self._quietly(self.job.validate).items()}
        for name in sorted(name for name, score in scores.items() if not -torch.inf < score < torch.inf):
            how = "though its losses are sound: what a batch levels in training can grow without a bound in evaluation"
            logger.warning("the score %s is %s after %d images, %s", name, scores[name], self.state.images_seen, how)
        if self.processes.first:
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
        if self.processes.first:
            save_weights(self.folder / files.WEIGHTS, state.average, self._facts())
            files.write_result(self.folder, files.Result(state.images_seen, state.seconds, scores))
        self.processes.wait()
        return scores

    def _facts(self) -> dict[str, Any]:
        """What is written into a file of weights."""
        kind = "method" if isinstance(self.options, MethodRunConfig) else "network"
        return {kind: self.job.name, "model": self.options.model, "images_seen": self.state.images_seen}
