"""Experiments: recipe -> data -> model -> engine -> run directory."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import aae
from aae import data as datasets
from aae import recipes
from aae.baselines import SupervisedNetwork
from aae.building import build_model, make_phases, make_scaling
from aae.data import Dataset, Split
from aae.errors import InputError
from aae.evaluation import energy_distance, error_percent
from aae.model import AdversarialAutoencoder
from aae.noise import Noise
from aae.recipes import Recipe
from aae.run import Run
from aae.training.checkpoints import latest_checkpoint, save_checkpoint, write_json, write_tensors
from aae.training.engine import INIT, SUBSET, Trainer, TrainingData, choose_device
from aae.training.progress import Progress
from aae.training.rundir import RunDirectory

VALIDATION_CODES = 1000  # codes compared with the prior after every epoch


class InterruptedTrainingError(RuntimeError):
    """Ctrl-C stopped the run after its checkpoint was written; the message says how to go on."""


def load_data(recipe: Recipe) -> Dataset:
    """Load the data of a recipe with its splits."""
    d = recipe.data
    return datasets.load(
        d.source,
        validation=d.validation,
        test=d.test,
        label_column=d.label_column,
        labels=d.labels_file,
        image_size=d.image_size,
        colour=d.colour,
    )


def read_recipe(recipe: str | Path, overrides: Sequence[str] = (), data: str | None = None) -> Recipe:
    """Read a recipe, optionally pointed at other data.

    Parameters
    ----------
    recipe : str or Path
        Name of a recipe or a ``.toml`` file.
    overrides : sequence of str
        ``section.key=value``; they win over everything else.
    data : str, optional
        Named data set or path. The recipe's size of the validation split, which fits its own data, becomes 15 %, and the
        paper's numbers are dropped.

    Returns
    -------
    Recipe
        Complete and checked.

    Raises
    ------
    InputError
        As `recipes.read`.
    """
    own = recipes.read(recipe)
    if data is None or data == own.data.source:
        return recipes.read(recipe, overrides)
    fit = [f"data.source={json.dumps(data)}", f"data.validation={0.15 if own.data.validation else 0}"]
    return recipes.read(recipe, [*fit, *overrides]).model_copy(update={"paper": {}})


def train_seeds(
    recipe: Recipe, seeds: int, *, run: str | Path | None = None, device: str = "auto", resume: bool = False
) -> list[Run]:
    """Train a recipe with several seeds, from ``training.seed`` on.

    Parameters
    ----------
    recipe : Recipe
        What to train.
    seeds : int
        How many. One trains into the run folder itself, several into ``seed-<seed>`` folders inside it.
    run, device, resume
        As for `train`.

    Returns
    -------
    list of Run
        The finished runs, by seed.
    """
    if seeds == 1:
        return [train(recipe, run=run, device=device, resume=resume)]
    folder = Path(run or Path("runs") / recipe.name)
    if not resume:
        RunDirectory(folder).require_new()
    dataset = load_data(recipe)
    first = recipe.training.seed
    finished = []
    for seed in range(first, first + seeds):
        training = recipe.training.model_copy(update={"seed": seed})
        one = recipe.model_copy(update={"training": training})
        path = folder / f"seed-{seed}"
        finished.append(train(one, run=path, device=device, resume=resume and path.exists(), dataset=dataset))
    return finished


def load_runs(folder: str | Path, device: str = "auto") -> list[Run]:
    """Load a run, or every seed of one that was trained with several, by seed."""
    paths = [path for path in Path(folder).glob("seed-*") if path.is_dir()]
    runs = [Run.load(path, device) for path in paths or [Path(folder)]]
    return sorted(runs, key=lambda run: run.recipe.training.seed)


def train(
    recipe: str | Path | Recipe,
    *,
    run: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    dataset: Dataset | None = None,
) -> Run:
    """Train a recipe into a run directory.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Name of a recipe, a ``.toml`` file, or a recipe already read.
    run : str or Path, optional
        The run directory, by default ``runs/<recipe name>``.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    resume : bool
        Go on with the run in that directory; it ends with the same bits as one that was never interrupted.
    dataset : Dataset, optional
        Data already loaded; by default that of the recipe is.

    Returns
    -------
    Run
        The finished run, ready to use.

    Raises
    ------
    InputError
        Bad recipe, data or run directory, all before any training.
    TrainingError
        A loss was not finite.
    InterruptedTrainingError
        Ctrl-C; a checkpoint was written.
    """
    if not isinstance(recipe, Recipe):
        recipe = recipes.read(recipe)
    place = choose_device(device)
    folder = RunDirectory(run or Path("runs") / recipe.name)
    if resume:
        _check_same_recipe(folder, recipe)
    dataset = dataset or load_data(recipe)
    seed = recipe.training.seed
    inputs = int(np.prod(dataset.shape))
    labelled = _labelled_rows(recipe, dataset)
    model = build_model(recipe.model, inputs, len(dataset.class_names), Noise(seed, INIT))
    model.to(place)
    torch.manual_seed(seed)  # for modules and samplers of the user that draw from torch itself
    scaling = make_scaling(recipe.data, recipe.model, dataset.train.rows)
    training_data = _training_data(recipe, dataset.train, scaling, labelled).to(place)
    trainer = Trainer(model, make_phases(recipe, model), training_data, recipe.training, place)

    facts = {
        "recipe": recipe.name,
        "shape": list(dataset.shape),
        "class_names": list(dataset.class_names),
        "rows": str(dataset.train.rows.dtype),
        "data": _fingerprint(dataset),
        "training_rows": len(dataset.train),
        "device": describe_device(place),
        "threads": torch.get_num_threads(),
        "version": aae.__version__,
        "torch": torch.__version__,
        "command": " ".join(["aae", *map(shlex.quote, sys.argv[1:])]),
    }
    seconds = 0.0
    if resume:
        _check_same_data(folder, facts)
        checkpoint = latest_checkpoint(folder.checkpoints)
        if checkpoint is not None:
            trainer.load_state(*checkpoint)
            seconds = checkpoint[1]["seconds"]
        folder.keep_metrics(trainer.epoch)
    else:
        folder.create(recipes.dump(recipe))
    write_json(folder.facts, facts)
    if labelled is not None and not resume:
        np.save(folder.path / "labelled.npy", labelled)

    seconds = _run_epochs(trainer, recipe, dataset, folder, seconds)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"scaling.{name}": tensor for name, tensor in scaling.state_dict().items()}
    write_tensors(folder.weights, tensors)
    write_json(folder.facts, {**facts, "epochs": trainer.epoch, "seconds": round(seconds, 1)})
    return Run.load(folder.path, device)


def _run_epochs(trainer: Trainer, recipe: Recipe, dataset: Dataset, folder: RunDirectory, seconds: float) -> float:
    """Train to the last epoch, with metrics, checkpoints and progress; returns the seconds spent."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, needed only here

    settings = recipe.training
    started = time.monotonic() - seconds

    def checkpoint() -> None:
        tensors, state = trainer.state()
        name = f"epoch-{trainer.epoch:06d}-step-{trainer.step:06d}"
        save_checkpoint(folder.checkpoints, name, tensors, {**state, "seconds": time.monotonic() - started})

    events = SummaryWriter(str(folder.events), purge_step=trainer.epoch + 1)
    title = f"{recipe.name} seed {settings.seed}"
    progress = Progress(title, settings.epochs, trainer.steps_per_epoch, trainer.epoch)
    with progress, _interrupts() as interrupted:

        def on_step() -> bool:
            progress.step()
            return interrupted.is_set()

        while trainer.epoch < settings.epochs:
            losses = trainer.run_epoch(on_step)
            if losses is not None:
                last = trainer.epoch == settings.epochs
                metrics = losses
                if last or trainer.epoch % settings.validate_every == 0:
                    metrics = losses | validate(trainer.module, trainer.data, dataset, recipe)
                seconds = time.monotonic() - started
                folder.append_metrics({"epoch": trainer.epoch, "seconds": round(seconds, 2), **metrics})
                for name, value in metrics.items():
                    events.add_scalar(name, value, trainer.epoch)
                progress.epoch(metrics)
                if last or trainer.epoch % settings.checkpoint_every == 0:
                    checkpoint()
            if interrupted.is_set() and trainer.epoch < settings.epochs:
                checkpoint()
                events.close()
                raise InterruptedTrainingError(
                    f"stopped in epoch {trainer.epoch + 1} after {trainer.step} steps; "
                    f"the checkpoint in {folder.path} goes on with --resume"
                )
    events.close()
    return time.monotonic() - started


@torch.no_grad()
def validate(model: nn.Module, data: TrainingData, dataset: Dataset, recipe: Recipe) -> dict[str, float]:
    """Measure a model under training on the validation split; empty without one."""
    split = dataset.validation
    if split is None:
        return {}
    assert isinstance(model, AdversarialAutoencoder | SupervisedNetwork)
    model.eval()
    device = data.rows.device
    metrics: dict[str, float] = {}
    noise = Noise(0, device=device)  # the same draws after every epoch
    scores, codes, squared = [], [], 0.0
    for start in range(0, len(split), 1000):
        rows = data.scaling(torch.from_numpy(np.array(split.rows[start : start + 1000])).to(device))
        if isinstance(model, SupervisedNetwork):
            scores.append(model.label_logits(rows))
            continue
        drawn = model.encode(rows, noise)
        codes.append(drawn["style"])
        if model.has_labels:
            scores.append(drawn["label"])
        labels = None if split.labels is None else torch.from_numpy(split.labels[start : start + 1000]).to(device)
        squared += 0.5 * (model.decode(drawn, labels) - rows).square().sum().item()
    if scores and split.labels is not None and recipe.data.labels is not None and (split.labels >= 0).any():
        metrics["validation_error_percent"] = error_percent(split.labels, torch.cat(scores).argmax(1).cpu().numpy())
    if isinstance(model, AdversarialAutoencoder):
        metrics["validation_reconstruction"] = squared / len(split)
        some = torch.cat(codes)[:VALIDATION_CODES]
        prior = model.latent("style").prior.sample(len(some), None, noise)
        metrics["validation_energy_distance"] = energy_distance(some, prior)
    return metrics


def describe_device(device: torch.device) -> str:
    """Name the hardware: the GPU, or the processor and its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {torch.get_num_threads()} threads"


def _labelled_rows(recipe: Recipe, dataset: Dataset) -> NDArray[np.int64] | None:
    """Choose the labelled subset, or None where the recipe trains without labels."""
    if recipe.data.labels is None:
        if recipe.model.method == "network" or recipe.model.decoder_sees_label or _label_informed(recipe):
            raise InputError("data.labels is not set; this model needs labels, expected a number or 'all'")
        return None
    labels, classes = dataset.train.labels, len(dataset.class_names)
    if labels is None or not (labels >= 0).any():
        raise InputError(f"{dataset.name}: no row has a label; data.labels {recipe.data.labels!r} expects some")
    missing = [dataset.class_names[k] for k in range(classes) if not (labels == k).any()]
    if missing:
        raise InputError(f"{dataset.name}: no training row has the label {missing[0]!r}; expected some of every class")
    if recipe.model.decoder_sees_label and (labels < 0).any():
        raise InputError(
            f"{dataset.name}: {int((labels < 0).sum())} training rows have no label; "
            "a decoder that sees the label (section 4) expects a label for every row"
        )
    if recipe.data.labels == "all":
        return np.flatnonzero(labels >= 0)
    seed = int(np.random.SeedSequence([recipe.training.seed, SUBSET]).generate_state(1)[0])
    return datasets.labelled_subset(labels, recipe.data.labels, num_classes=classes, seed=seed)


def _label_informed(recipe: Recipe) -> bool:
    return recipe.model.style is not None and recipe.model.style.label_informed


def _training_data(recipe: Recipe, split: Split, scaling: Any, labelled: NDArray[np.int64] | None) -> TrainingData:
    rows = split.rows
    if labelled is None:
        return TrainingData(_tensor(rows), scaling)
    assert split.labels is not None
    labels = np.full(len(rows), -1, dtype=np.int64)
    labels[labelled] = split.labels[labelled]
    if recipe.model.method == "network":  # an epoch is one pass over the labelled rows
        return TrainingData(
            _tensor(rows[labelled]), scaling, torch.from_numpy(labels[labelled]), torch.arange(len(labelled))
        )
    return TrainingData(_tensor(rows), scaling, torch.from_numpy(labels), torch.from_numpy(labelled))


def _tensor(rows: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.array(rows))


def _fingerprint(dataset: Dataset) -> str:
    """Hash sizes, types and a thousand rows, enough to notice that the data of a run was exchanged."""
    rows = dataset.train.rows
    digest = hashlib.sha256(repr((rows.shape, str(rows.dtype), dataset.class_names)).encode())
    digest.update(np.ascontiguousarray(rows[:: max(1, len(rows) // 1000)]).tobytes())
    if dataset.train.labels is not None:
        digest.update(dataset.train.labels.tobytes())
    return digest.hexdigest()[:16]


def _check_same_recipe(folder: RunDirectory, recipe: Recipe) -> None:
    folder.require()
    before, now = (_flat(r.model_dump(mode="json")) for r in (recipes.read(folder.recipe), recipe))
    free = {"training.epochs", "training.validate_every", "training.checkpoint_every", "title", "reference", "cost"}
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and key not in free and not key.startswith("paper."):
            raise InputError(
                f"{folder.path}: cannot resume with another recipe; {key} is {now.get(key)!r}, the run has {before.get(key)!r}"
            )


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _check_same_data(folder: RunDirectory, facts: dict[str, Any]) -> None:
    before = folder.read_facts()
    if before.get("data") != facts["data"]:
        raise InputError(
            f"{folder.path}: cannot resume on other data; its fingerprint is {facts['data']}, the run has {before.get('data')}"
        )


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; a second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(signum: int, frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
