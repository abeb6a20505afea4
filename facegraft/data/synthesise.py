"""Rendered datasets: a plan becomes shards, by several processes, in an order that nothing can change.

Which people and scenes a shard holds is decided by the options alone (synth_plan.py), so a run that was cut short goes
on with the shards that are missing and ends with the same files as one that was not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegraft import __version__
from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.machine import physical_cores
from facegraft.core.memory import keep_freed
from facegraft.data.assets import assets_digest, find_assets
from facegraft.data.benchmark_sets import SETS, counts, digests, swaps_of_shard
from facegraft.data.dataset import Dataset, DatasetCard, Item, Pair, open_dataset, shard_done, write_card, write_shard
from facegraft.data.fanout import run_units
from facegraft.data.synth_folder import begin, sweep
from facegraft.data.synth_items import changed_plane, make_items, with_even_light
from facegraft.data.synth_plan import (
    PICTURES_OF_A_SWAP,
    USUAL_PLANES,
    Shot,
    Swap,
    SynthOptions,
    check_options,
    folders_in,
    in_order,
    joined,
    shard_length,
    shots_of,
    swaps_of,
    unit_count,
)

if TYPE_CHECKING:
    from facegraft.data.synth.people import Person
    from facegraft.data.synth.render import Rendered, Renderer
    from facegraft.data.synth.scene import Scene

DEFAULT_PICTURES = 8
"""Of each person, where the number of pictures is not given."""
UNITS = {
    "depth": "16 bits: tenths of a millimetre from the camera's plane; 0 = background",
    "normals": "red, green, blue: 128 + 127 x (x right, y up, z to the camera); 128, 128, 128 = background",
    "even": "red, green, blue: the same moment in even, white light",
}
"""What the card says of planes that are not plain shares or labels."""
BATCH = {"cpu": 8, "cuda": 64}
ABOUT = (
    "Rendered adults who do not exist, made of MakeHuman's CC0 assets, with exact labels. They are no substitute for "
    "photographs: scores on them say how well a method does what it should where the right answer is known."
)

Progress = Callable[[int, int], None]
"""Shards done, shards in all."""


@dataclass(frozen=True)
class Plan:
    """What will be written.

    Attributes:
        shards: Files.
        pictures: Of every role.
        people: Who may occur.
    """

    shards: int
    pictures: int
    people: int


@dataclass(frozen=True)
class Job:
    """One shard; all that a worker process needs."""

    number: int
    options: SynthOptions
    folder: str
    assets: str


def make_plan(options: SynthOptions) -> Plan:
    """Counts of what the options ask for.

    Raises:
        BadInputError: They ask for what cannot be.
    """
    check_options(options)
    if options.plan in SETS:
        return Plan(*counts(options))
    units = unit_count(options)
    each = 1 if options.plan == "pictures" else PICTURES_OF_A_SWAP
    return Plan(
        -(-units // shard_length(options)),
        units * each,
        min(options.people, units * (1 if options.plan == "pictures" else 2)),
    )


def synthesise(
    people: int,
    out_dir: Path | str,
    *,
    images: int | None = None,
    size_px: int = 256,
    seed: int = 0,
    pairs: str = "none",
    jobs: int | None = None,
    assets: Path | str | None = None,
    progress: Progress = lambda _done, _all: None,
    **others: Any,
) -> Dataset:
    """Renders people into a dataset; the same call again continues or, where all is done, opens it.

    Args:
        people: How many.
        out_dir: The dataset's folder.
        images: Pictures in all; default: eight of each person, or one swap of each as identity.
        size_px: Side of the square pictures.
        seed: Another one has other people and scenes.
        pairs: "none", or "exact": swaps with their exact truths, five pictures each.
        jobs: Processes; default: one per core. The files do not depend on it.
        assets: MakeHuman's assets; default: see `facegraft data assets`.
        progress: Called after every shard.
        others: Further fields of `SynthOptions`: dial, stratum, picture, planes, backgrounds, environments,
            device, split.

    Raises:
        BadInputError: An option cannot be used, or the folder holds a dataset of other options.
        MissingPartError: torch or the assets are not there.
        OutputError: The folder cannot be written; what is whole stays, nothing half does.
    """
    if pairs not in ("none", "exact"):
        raise BadInputError(f"pairs: expected none or exact, found {pairs!r}")
    unknown = others.keys() - {field.name for field in dataclasses.fields(SynthOptions)}
    if unknown:
        raise BadInputError(f"synthesise: no option {', '.join(sorted(unknown))}")
    options = sampled_options(people, images=images, pairs=pairs, size_px=size_px, seed=seed, **others)
    folder = Path(assets) if assets else None
    return write_set(options, Path(out_dir), jobs=jobs, assets=folder, progress=progress)


def sampled_options(people: int, *, images: int | None, pairs: str, **others: Any) -> SynthOptions:
    """Options of a sampled set with the defaults that depend on each other; swaps are stored exactly."""
    exact = pairs == "exact"
    others.setdefault("picture", "png" if exact else "jpg")
    others["planes"] = in_order(others.get("planes", USUAL_PLANES))
    each = PICTURES_OF_A_SWAP if exact else DEFAULT_PICTURES
    count = people * each if images is None else images
    return SynthOptions(plan="swaps" if exact else "pictures", people=people, images=count, **others)


def write_set(
    options: SynthOptions,
    out: Path,
    *,
    jobs: int | None = None,
    assets: Path | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Dataset:
    """Renders what is missing of a set, then writes its card. See `synthesise`."""
    plan = make_plan(options)
    _check_torch(options.device)
    found = find_assets(assets).resolve()
    count = _jobs(jobs, options)  # a wrong option leaves nothing behind
    begin(out, options, digest := assets_digest(found))
    sweep(out / "shards")
    missing = [n for n in range(plan.shards) if not shard_done(out, n)]
    if not missing and (out / "card.json").is_file():
        progress(plan.shards, plan.shards)
        return open_dataset(out)
    before = plan.shards - len(missing)
    progress(before, plan.shards)
    units = [Job(number, options, str(out), str(found)) for number in missing]
    with contextlib.closing(run_units(write_one, units, jobs=count)) as finished:
        for done, _ in enumerate(finished, before + 1):
            progress(done, plan.shards)
    write_card(out, _card(options, digest, out, found))
    return open_dataset(out)


def write_one(job: Job) -> int:
    """Renders and writes one shard. Runs in a worker; may be killed at any moment."""
    options, folder = job.options, Path(job.folder)
    with _one_thread(options.device):
        renderer = _renderer(job.assets, options.size_px, options.device, options.backgrounds, options.environments)
        if options.plan == "pictures":
            length = shard_length(options)
            first, last = job.number * length, min((job.number + 1) * length, options.images)
            items = render_shots(renderer, shots_of(options, first, last), options)
            pairs: list[Pair] = []
        else:
            items, pairs = render_swaps(renderer, _swaps(options, job.number), options)
    write_shard(folder, job.number, items, pairs)
    return job.number


def _swaps(options: SynthOptions, shard: int) -> list[Swap]:
    if options.plan in SETS:
        return swaps_of_shard(options, shard)
    length = shard_length(options)
    return swaps_of(options, shard * length, min((shard + 1) * length, unit_count(options)))


def render_shots(renderer: Renderer, shots: Sequence[Shot], options: SynthOptions) -> list[Item]:
    """Pictures with labels."""
    from facegraft.data.synth.scene import evenly_lit

    items = []
    for batch in _batches(shots, options):
        people, scenes = [person_of(shot, options) for shot in batch], [scene_of(shot, options) for shot in batch]
        made = make_items(renderer.render(people, scenes), batch, people, scenes, options)
        if "even" in options.planes.split(","):
            made = with_even_light(made, renderer.render(people, [evenly_lit(each) for each in scenes], labels=False))
        items += made
    return items


def render_swaps(renderer: Renderer, swaps: Sequence[Swap], options: SynthOptions) -> tuple[list[Item], list[Pair]]:
    """Identities, attributes and their truths, in this order for each swap, and the pairs."""
    items: list[Item] = []
    pairs: list[Pair] = []
    for swap in swaps:
        (identity,) = render_shots(renderer, [swap.identity], options)
        items.append(identity)
        who = person_of(swap.identity, options)
        for batch in _batches(swap.attributes, options):
            people, scenes = [person_of(shot, options) for shot in batch], [scene_of(shot, options) for shot in batch]
            made = renderer.swap([who] * len(batch), people, scenes, swap.truths)
            items += (attributes := make_items(made.pictures, batch, people, scenes, options))
            for kind, answers in made.truths.items():
                items += _truth_items(kind, answers, made.pictures, batch, who, scenes, options)
            for shot, shown in zip(batch, attributes, strict=True):
                named = {kind: truth_key(shot.key, kind) for kind in swap.truths}
                stratum = shown.stratum if swap.stratum == "mixed" else swap.stratum
                pairs.append(Pair(identity.key, shot.key, named, stratum))
    return items, pairs


def _truth_items(
    kind: str,
    answers: Rendered,
    pictures: Rendered,
    batch: Sequence[Shot],
    who: Person,
    scenes: Sequence[Scene],
    options: SynthOptions,
) -> list[Item]:
    shots = [dataclasses.replace(shot, key=truth_key(shot.key, kind), person=who.seed) for shot in batch]
    made = make_items(answers, shots, [who] * len(shots), scenes, options)
    return [
        dataclasses.replace(
            item,
            role="truth",
            planes=item.planes | {"changed": changed_plane(answers.image[n], pictures.image[n])},
            facts=item.facts | {"truth": kind},
        )
        for n, item in enumerate(made)
    ]


def truth_key(attribute: str, kind: str) -> str:
    return f"{attribute}-{kind}"


def person_of(shot: Shot, options: SynthOptions) -> Person:
    return _person(shot.person, options.dial)


@functools.lru_cache(maxsize=512)
def _person(seed: int, dial: float) -> Person:
    from facegraft.data.synth.people import sample_person

    return sample_person(seed, dial)


def scene_of(shot: Shot, options: SynthOptions) -> Scene:
    from facegraft.data.synth.scene import sample_scene

    if shot.frame < 0:
        return sample_scene(shot.scene, shot.stratum)
    return _clip(shot.scene, options.frames, shot.stratum)[shot.frame]


@functools.lru_cache(maxsize=4)
def _clip(seed: int, frames: int, stratum: str) -> list[Scene]:
    from facegraft.data.synth.motion import sample_clip

    return sample_clip(seed, frames, stratum=stratum)


@functools.lru_cache(maxsize=1)
def _renderer(assets: str, size_px: int, device: str, backgrounds: str, environments: str) -> Renderer:
    """Kept by a worker process from shard to shard."""
    from facegraft.data.synth.render import Renderer

    keep_freed()
    behind, around = folders_in(backgrounds) or None, Path(environments) if environments else None
    return Renderer(Path(assets), size_px, device=device, backgrounds=behind, environments=around)


def _batches(shots: Sequence[Shot], options: SynthOptions) -> Iterator[Sequence[Shot]]:
    size = BATCH.get(options.device.partition(":")[0], BATCH["cpu"])
    return (shots[first : first + size] for first in range(0, len(shots), size))


@contextlib.contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """Sums depend on how many threads share them, so that one thread renders, whatever --jobs says."""
    import torch

    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _explained(options: SynthOptions, assets: Path) -> dict[str, str]:
    """What the numbers of arrays and planes mean: of `expression` the weights' names, of planes their units."""
    from facegraft.data.synth.body import Body

    body = Body(assets)
    units = {f"{name}_unit": UNITS[name] for name in options.planes.split(",") if name in UNITS}
    return {"expression_names": " ".join((*body.morph_names, *body.unit_names))} | units


def _card(options: SynthOptions, digest: str, out: Path, found: Path) -> DatasetCard:
    extra = digests(options, out) if options.plan in SETS else {}
    return DatasetCard(
        name=options.plan if options.plan in SETS else out.resolve().name,
        about=ABOUT,
        command=command_of(options, out.resolve().name),
        commit=f"facegraft {__version__}",
        seed=options.seed,
        assets_digest=digest,
        options=dataclasses.asdict(_nameless(options)) | extra | _explained(options, found),
    )


def _nameless(options: SynthOptions) -> SynthOptions:
    """Folders by their last names: where they lie is nobody's business."""
    behind = joined(Path(folder.name) for folder in folders_in(options.backgrounds))
    around = Path(options.environments).name
    return dataclasses.replace(options, backgrounds=behind, environments=around)


def command_of(options: SynthOptions, out: str) -> str:
    """The command line that makes this set, folders by their last names."""
    options = _nameless(options)
    device = ["--device", options.device] if options.device != "cpu" else []
    if options.plan in SETS:
        words = ["facegraft", "data", "benchmark", options.plan, "-o", out, "--size", options.size_px]
        return shlex.join(map(str, words + device))
    words = ["facegraft", "synth", "-o", out, "--people", options.people, "--images", options.images]
    words += ["--size", options.size_px, "--seed", options.seed, "--dial", options.dial]
    words += ["--pairs", "exact"] if options.plan == "swaps" else []
    words += ["--stratum", options.stratum, "--format", options.picture, "--split", options.split]
    words += ["--planes", options.planes] if options.planes != USUAL_PLANES else []
    words += [word for folder in folders_in(options.backgrounds) for word in ("--backgrounds", folder)]
    words += ["--environments", options.environments] if options.environments else []
    return shlex.join(map(str, words + device))


def _jobs(jobs: int | None, options: SynthOptions) -> int:
    if jobs is not None and jobs < 1:
        raise BadInputError(f"--jobs: expected 1 or more, found {jobs}")
    if jobs is None:
        return physical_cores() if options.device == "cpu" else min(4, physical_cores())  # encoding takes a core
    return jobs


def _check_torch(device: str) -> None:
    try:
        import torch
    except ImportError as error:
        raise MissingPartError("rendering needs torch: pip install 'facegraft[train]'") from error
    if device not in ("cpu", "cuda"):
        raise BadInputError(f"--device: expected cpu or cuda, found {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingPartError("--device cuda: torch sees no CUDA device here; `facegraft doctor` says more; use cpu")
