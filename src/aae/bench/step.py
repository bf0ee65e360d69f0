"""Speed of one training step against what the machine can do: its matrix products alone, and its memory."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from rich.table import Table

from aae import data as datasets
from aae.bench.matmuls import Matmul, Memory, Recorder
from aae.data import Dataset, Split
from aae.device import choose_device, describe_device
from aae.errors import InputError
from aae.noise import Noise
from aae.recipes import Recipe
from aae.recipes.build_data import labelled_rows, load_data, training_data, untrained_model
from aae.recipes.build_model import build_phases
from aae.training.acceleration.compiled import CompiledStep
from aae.training.batched_seeds import BatchedSeeds
from aae.training.optimizers import Optimizer
from aae.training.phases import Phase
from aae.training.trainer import Trainer

WARM_UP = 3  # steps before anything is measured
STREAM = 2**25  # float32 numbers in each buffer of the bandwidth measurement (128 MiB, larger than any cache)


def bench(recipe: Recipe, device: str = "auto", steps: int = 20, rounds: int = 5) -> dict[str, Any]:
    """Measure one training step of a recipe against the machine's roofline for the same matrix products.

    A step is what training runs: batch gather, noise, all phases, optimizer updates. Moment matching or pretraining, which runs
    other phases, is passed over. Its matrix products are recorded, and timed alone, back to back, at the same shapes, types and
    layouts, on memory of their own that no allocation interrupts. Steps and matmuls take turns (`rounds` times: some steps, the
    matmuls as often, the memory), so that other load on the machine spoils both alike; times are medians over the rounds.

    The roofline of a step is the time of its matmuls plus the time to move what its updates must move: every update reads
    the gradient, and reads and writes the weight and the optimizer's state. The bandwidth for it is that of ``y += x`` on
    buffers larger than the caches (two reads and one write, the access pattern of an update); weights that stay in a
    cache can beat it.

    Parameters
    ----------
    recipe : Recipe
        Any recipe. For a named data set the rows are made up (nothing is downloaded); a path is read.
    device : {"auto", "cpu", "cuda"}
        Where to measure.
    steps : int
        Steps in every round, 1 or larger.
    rounds : int
        1 or larger.

    Returns
    -------
    dict
        Plain numbers, strings and lists, fit for JSON: ``recipe``, ``device``, ``precision``, ``compiled``,
        ``batch_size``; ``step_ms``, ``samples_per_second``; ``matmuls`` (operation, operands, count, gflop each),
        ``gflop_per_step``, ``gflop_per_second``, ``matmul_ms``, ``matmul_gflop_per_second`` and
        ``fraction_of_matmul_roofline``, matmul_ms / step_ms; ``parameters`` (updated per step, counted once per phase),
        ``moved_mb``, ``bandwidth_gb_per_second``, ``update_ms``, ``roofline_ms`` = matmul_ms + update_ms,
        ``fraction_of_roofline``;
        ``steps_per_epoch``, ``epochs``, ``schedule_seconds`` (training steps only, without validation and checkpoints).
        Prefixes are decimal: 1 GB is 10^9 bytes.

    Raises
    ------
    InputError
        If `steps` or `rounds` is smaller than 1, or the recipe, device and data do not fit together.
    """
    for name, value in {"steps": steps, "rounds": rounds}.items():
        if value < 1:
            raise InputError(f"{name} is {value}; expected 1 or larger")
    torch_device = choose_device(device)
    trainer = make_trainer(recipe, torch_device)
    matmuls = _record(trainer)
    if not matmuls:
        raise InputError(f"recipe {recipe.name}: a step has no matrix product to measure it by")
    phases = _fullest_epoch(trainer)
    run_steps(trainer, WARM_UP)

    noise, memory = Noise(0, device=torch_device), Memory()
    compiled = isinstance(trainer.captured, CompiledStep) and trainer.captured.compiling
    calls = [matmul.repeat(memory, noise, compiled) for matmul in matmuls]
    run_matmuls = _as_one(lambda: [call() for call in calls], torch_device)
    x, y = noise.normal(STREAM), torch.zeros(STREAM, device=torch_device)
    step_times, matmul_times, stream_times = [], [], []
    with torch.no_grad():
        run_matmuls()
        y.add_(x)
    for _ in range(rounds):
        step_times.append(run_steps(trainer, steps))
        with torch.no_grad():
            matmul_times.append(_time(run_matmuls, steps, torch_device))
            stream_times.append(_time(lambda: y.add_(x), 3, torch_device))

    step, matmul = statistics.median(step_times), statistics.median(matmul_times)
    bandwidth = 3 * STREAM * 4 / statistics.median(stream_times)
    flops = sum(matmul.flops for matmul in matmuls)
    moved = sum(_moved_bytes(trainer.optimizers[phase.name]) for phase in phases)
    roofline = matmul + moved / bandwidth
    each = {matmul.describe(): matmul.flops for matmul in matmuls}
    counts = Counter(matmul.describe() for matmul in matmuls)
    return {
        "recipe": recipe.name,
        "device": describe_device(torch_device),
        "torch": torch.__version__,
        "precision": trainer.precision,
        "compiled": compiled,
        "batch_size": trainer.batch_size,
        "phases": [phase.name for phase in phases],
        "steps": steps,
        "rounds": rounds,
        "step_ms": 1e3 * step,
        "samples_per_second": trainer.batch_size / step,
        "matmuls": [
            {"operation": key[0], "operands": key[1], "count": count, "gflop": each[key] / 1e9}
            for key, count in counts.items()
        ],
        "gflop_per_step": flops / 1e9,
        "gflop_per_second": flops / step / 1e9,
        "matmul_ms": 1e3 * matmul,
        "matmul_gflop_per_second": flops / matmul / 1e9,
        "fraction_of_matmul_roofline": matmul / step,
        "parameters": sum(p.numel() for phase in phases for p in phase.parameters),
        "moved_mb": moved / 1e6,
        "bandwidth_gb_per_second": bandwidth / 1e9,
        "update_ms": 1e3 * moved / bandwidth,
        "roofline_ms": 1e3 * roofline,
        "fraction_of_roofline": roofline / step,
        "steps_per_epoch": trainer.steps_per_epoch,
        "epochs": recipe.training.epochs,
        "schedule_seconds": step * trainer.steps_per_epoch * recipe.training.epochs,
    }


def lines(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Write what `bench` found: a title and one value per result in each line, both terms of the roofline, and what is left."""
    shown: dict[str, Callable[[dict[str, Any]], str]] = {
        "precision": lambda r: str(r["precision"]),
        "compiled": lambda r: "yes" if r["compiled"] else "no",
        "batch size": lambda r: f"{r['batch_size']}",
        "step": lambda r: f"{r['step_ms']:.2f} ms",
        "samples per second": lambda r: f"{r['samples_per_second']:,.0f}",
        "matrix products": lambda r: f"{sum(p['count'] for p in r['matmuls'])}, {r['gflop_per_step']:.3f} GFLOP",
        "speed in the step": lambda r: f"{r['gflop_per_second']:.0f} GFLOP/s",
        "roofline: the matmuls alone": lambda r: f"{r['matmul_gflop_per_second']:.0f} GFLOP/s",
        "fraction of the matmul roofline": lambda r: f"{r['fraction_of_matmul_roofline']:.1%}",
        "roofline: matmuls": lambda r: f"{r['matmul_ms']:.2f} ms",
        "roofline: updates": lambda r: f"{r['update_ms']:.2f} ms",
        "  bytes they move": lambda r: f"{r['moved_mb']:.0f} MB",
        "  bandwidth of y += x": lambda r: f"{r['bandwidth_gb_per_second']:.1f} GB/s",
        "everything else": lambda r: f"{r['step_ms'] - r['roofline_ms']:.2f} ms",
        "fraction of the roofline": lambda r: f"{r['fraction_of_roofline']:.1%}",
        "full schedule": lambda r: f"{r['epochs']} epochs, {_duration(r['schedule_seconds'])}",
    }
    return [[title, *(text(result) for result in results)] for title, text in shown.items()]


def table(results: Sequence[dict[str, Any]]) -> Table:
    """Lay out what `bench` found: one column per recipe."""
    grid = Table(title=" / ".join(dict.fromkeys(str(r["device"]) for r in results)), title_justify="left")
    grid.add_column("")
    for result in results:
        grid.add_column(result["recipe"], justify="right")
    for line in lines(results):
        grid.add_row(*line, style="bold" if line[0] == "fraction of the roofline" else None)
    return grid


def make_trainer(recipe: Recipe, device: torch.device) -> Trainer:
    """Create what `aae.train` builds, on made-up rows."""
    dataset = _make_up(recipe)
    recipe, model, scaling = untrained_model(recipe, dataset)
    model.to(device)
    labelled = labelled_rows(recipe, dataset)
    rows = training_data(recipe, dataset.train, scaling, labelled, table=dataset.table).to(device)
    return Trainer(model, build_phases(recipe, model), rows, recipe.training, device)


def _record(trainer: Trainer) -> list[Matmul]:
    """List the matrix products of a step that is neither compiled nor the replay of a graph."""
    settings = trainer.settings.model_copy(update={"compile": False})
    plain = Trainer(trainer.module, trainer.phases, trainer.data, settings, trainer.device)
    _fullest_epoch(plain)
    with Recorder() as recorder:
        plain.run_epoch(lambda: True)  # the first step, which is as it is on a GPU too
    matmuls: list[Matmul] = recorder.matmuls
    return matmuls


def _fullest_epoch(trainer: Trainer) -> list[Phase]:
    """Go to the last epoch with as many phases as any, past a beginning that runs others; returns the phases that run in it."""
    starts = {phase.start for phase in trainer.phases}
    running = {epoch: [phase for phase in trainer.phases if phase.runs_in(epoch)] for epoch in starts}
    trainer.epoch = max(starts, key=lambda epoch: (len(running[epoch]), epoch))
    return running[trainer.epoch]


def _make_up(recipe: Recipe) -> Dataset:
    """Create images and labels of the size of a named data set; a path is read."""
    known = {entry.name: entry for entry in datasets.names()}.get(recipe.data.source)
    if known is None:
        return load_data(recipe)
    held = recipe.data.validation
    count = known.train_size - (held if isinstance(held, int) else round(held * known.train_size))
    if count < 1:
        raise InputError(f"data.validation is {held}; {known.name} has {known.train_size} training rows")
    rows = np.random.default_rng(0).integers(256, size=(count, *known.shape), dtype=np.uint8)
    labels = np.arange(count) % len(known.class_names)
    return Dataset(known.name, Split(rows, labels), None, None, known.shape, known.class_names)


def run_steps(trainer: Trainer | BatchedSeeds, steps: int) -> float:
    """Train for one step, then for `steps` more; returns the seconds of each of those.

    An epoch that ends on the way is closed and the next one opened, as in training.
    """
    done, started, seconds = -1, 0.0, 0.0

    def on_step() -> bool:
        nonlocal done, started, seconds
        done += 1
        if done == 0:
            started = _now(trainer.device)
        if done == steps:
            seconds = _now(trainer.device) - started
        return done >= steps

    while done < steps:
        trainer.run_epoch(on_step)
    return seconds / steps


def _time(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Measure the seconds that `work` takes, over `times` runs."""
    started = _now(device)
    for _ in range(times):
        work()
    return (_now(device) - started) / times


def _now(device: torch.device) -> float:
    """Read the clock when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _as_one(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """On CUDA, capture `work` as one graph, so that a roofline holds no time of Python launching kernels."""
    if device.type != "cuda":
        return work
    with torch.no_grad():
        work()
        torch.cuda.synchronize(device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
    return graph.replay


def _moved_bytes(update: Optimizer) -> int:
    """Count the bytes that one update must move: gradient read; weight and state read and written, all in fp32.

    In bf16 it is as much: the gradient takes half of that, and the copy of the weight that is written the other half.
    """
    states = [value for values in update.state.values() for value in values if value.dim() > 0]
    numbers = 3 * sum(weight.numel() for weight in update.weights) + 2 * sum(value.numel() for value in states)
    return 4 * numbers


def _duration(seconds: float) -> str:
    """Write seconds as hours, minutes and seconds, without leading zeros."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
