"""Evaluation of a finished run: every metric that fits it, on rows it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from aae import evaluation
from aae.anomaly_score import AnomalyScore, compared_rows
from aae.baselines.vae import importance_weighted_bound
from aae.data import Dataset, Split
from aae.device import usual_state
from aae.errors import InputError, note
from aae.files import read_object, write_json
from aae.latents import Latent
from aae.model import AdversarialAutoencoder, Model
from aae.noise import Noise, seeded
from aae.priors import Prior
from aae.recipes import Recipe
from aae.recipes.methods import METHODS
from aae.runs.disentanglement import disentanglement
from aae.runs.likelihood import likelihood
from aae.runs.run import Run
from aae.scaling import Scaling
from aae.training.settings import Count, validation_message

Report = dict[str, Any]
VALIDATION_CODES = 1000  # codes compared with the prior after every epoch
MATCHED_ROWS = 11  # the fewest that can be compared with the prior
NOISE_ROWS = 1000  # training rows whose reconstruction error is measured
PLACEMENT_SAMPLES = 5000  # of the prior, that show which region of it belongs to which label
NEIGHBOURHOOD = 12  # rows in a neighbourhood for trustworthiness and continuity
REFERENCE_ROWS = 10_000  # training rows among which nearest neighbours are sought


class _Report(BaseModel):
    """What ``evaluation.json`` has to hold."""

    model_config = ConfigDict(extra="allow", strict=True)

    split: Literal["test", "validation"]
    rows: Count
    epochs: Count
    seed: int | None = None
    metrics: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    paper: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    labelled: Count | None = None
    confusion: list[list[int]] = []

    @field_validator("confusion")
    @classmethod
    def _check_square(cls, matrix: list[list[int]]) -> list[list[int]]:
        if any(len(line) != len(matrix) for line in matrix):
            raise ValueError("expected as many numbers in each line as there are lines")
        return matrix


def read_report(path: Path) -> Report:
    """Read what `evaluate` wrote.

    Raises
    ------
    InputError
        If it cannot be read or is no such report.
    """
    report = read_object(path)
    try:
        _Report.model_validate(report)
    except ValidationError as error:
        raise InputError(f"{path}: not the report of an evaluation; {validation_message(error)}") from None
    return report


def measured_rows(report: Report) -> str:
    """Return which rows a report is about, in words."""
    labelled = f", {report['labelled']:,} of them with a label" if "labelled" in report else ""
    return f"{report['rows']:,} {report['split']} rows{labelled}"


@torch.no_grad()
def validate(model: Model, scaling: Scaling, split: Split | None, recipe: Recipe) -> dict[str, float]:
    """Measure a model under training on the validation split; empty without one."""
    if split is None or not (model.encodes or model.classifies):
        return {}
    model.eval()
    device = scaling.offset.device
    metrics: dict[str, float] = {}
    noise = Noise(0, 0, device=device)  # the same draws after every epoch
    autoencoder = cast(AdversarialAutoencoder, model) if model.encodes else None
    if autoencoder is not None and autoencoder.decoder_classes is not None:
        split = split.take(_known(split))
        if not len(split):
            return {}
    scores, codes, squared = [], [], 0.0
    for rows, labels, known in _scaled(scaling, split):
        if model.classifies:
            scores.append(model.label_logits(rows))
        if autoencoder is None:
            continue
        drawn = autoencoder.encode(rows, noise)
        codes.append(drawn)
        loss = autoencoder.reconstruction_loss(drawn, rows, "sum", labels, None, known)
        squared += len(rows) * loss.item()
    if autoencoder is not None:
        metrics["validation_reconstruction"] = squared / len(split)
        if "style" in autoencoder.latents and len(split) > 1:
            every = torch.cat([drawn["style"] for drawn in codes])
            some = every[torch.from_numpy(_some(len(every), VALIDATION_CODES)).to(device)]
            prior = autoencoder.latent("style").prior
            if not METHODS[recipe.model.method].maps:
                samples = prior.sample(len(some), None, noise)
                metrics["validation_energy_distance"] = evaluation.energy_distance(some, samples)
                metrics["validation_code_mismatch"] = evaluation.code_mismatch(some, samples)
            if _owns_regions(autoencoder.latent("style")) and split.labels is not None and len(_known(split)):
                metrics["validation_label_placement_percent"] = _label_placement(
                    prior, every.cpu().numpy(), split.labels
                )
    if scores:
        pending = autoencoder is not None and autoencoder.clusters_pending
        metrics |= _label_metrics(torch.cat(scores).cpu(), split, recipe.data.labels is not None and not pending)
    return metrics


@torch.no_grad()
def noise_variance(model: Model, scaling: Scaling, rows: NDArray[Any]) -> float | None:
    """Compute the mean squared error of reconstructed training rows, scaled, per value; larger than 0.

    None where there is no such thing: without codes, without a style, or where the decoder has to be told labels.
    """
    autoencoder = cast(AdversarialAutoencoder, model) if model.encodes else None
    if autoencoder is None or "style" not in autoencoder.latents or autoencoder.decoder_classes is not None:
        return None
    autoencoder.eval()
    device = scaling.offset.device
    total = count = 0.0
    with seeded(0, device):  # custom modules may draw from torch itself
        for some in np.array_split(_some(len(rows), NOISE_ROWS), 4):
            batch = scaling(torch.from_numpy(np.array(rows[some])).to(device))
            total += float((autoencoder.reconstruct(batch) - batch).double().square().sum())
            count += batch.numel()
    variance = max(total / count, float(np.finfo(np.float32).eps))
    return variance if np.isfinite(variance) else None


def anomaly_score(
    model: Model, scaling: Scaling, rows: NDArray[Any], contamination: float | Literal["auto"]
) -> AnomalyScore:
    """Create the anomaly score from training rows (n, *shape) as stored, or a sample of them."""
    device = scaling.offset.device
    some = _some(len(rows), compared_rows(len(rows), int(np.prod(rows.shape[1:]))))
    model.eval()
    with seeded(0, device):  # custom modules may draw from torch itself
        scaled = scaling(torch.from_numpy(np.array(rows[some])).to(device)).cpu()
        return AnomalyScore.of(cast(AdversarialAutoencoder, model), scaled, contamination)


def _label_metrics(logits: torch.Tensor, split: Split, supervised: bool) -> dict[str, float]:
    """Compute on the validation split how good the labels or clusters are."""
    predicted = torch.softmax(logits, 1).argmax(1).numpy()  # ties as in `evaluate`
    clusters = {"validation_clusters_in_use": float(len(np.unique(predicted)))}
    if split.labels is None or not len(_known(split)):
        return {} if supervised else clusters
    if supervised:
        never = np.setdiff1d(split.labels[_known(split)], predicted)
        return {
            "validation_error_percent": evaluation.error_percent(split.labels, predicted),
            "validation_classes_never_predicted": float(len(never)),
        }
    report = evaluation.clustering_report(logits, split.labels, logits, split.labels)
    names = ("clustering_error_percent", "majority_vote_error_percent")
    return clusters | {f"validation_{name}": report[name] for name in names}


@usual_state()
def evaluate(
    run: Run, split: Literal["test", "validation"] = "test", data: Dataset | str | Path | None = None
) -> Report:
    """Measure a run and write ``evaluation.json`` into its folder.

    Parameters
    ----------
    run : Run
        A finished run.
    split : {"test", "validation"}
        Held-out rows to measure on. Anything chosen by looking at numbers is to be chosen on the validation split.
    data : Dataset, str or Path, optional
        The run's data, if already loaded, or where it is by now.

    Returns
    -------
    dict
        ``metrics`` (name to number), ``paper`` (the paper's numbers by the same names), what was measured (``recipe``,
        ``split``, ``rows``, how many of them are ``labelled`` if not all, ``epochs``, ``seed``) and, for a classifier, the
        ``confusion`` matrix (rows are true classes).

    Raises
    ------
    InputError
        If the data has no such split or is not the data of the run.
    """
    dataset = run.load_data(data)
    held_out = getattr(dataset, split)
    if held_out is None:
        raise InputError(f"{dataset.name}: has no {split} split; expected data.{split} larger than 0 in the recipe")
    metrics: dict[str, float] = {}
    report: Report = {
        "recipe": run.recipe.name,
        "split": split,
        "rows": len(held_out),
        "epochs": run.metadata.get("epochs"),
        "seed": run.recipe.training.seed,
        "metrics": metrics,
        "paper": run.recipe.paper,
    }
    autoencoder = run.autoencoder if run.model.encodes else None
    if autoencoder is not None and autoencoder.decoder_classes is not None:
        held_out = held_out.take(_known(held_out))  # the decoder needs the label
        if not len(held_out):
            raise InputError(f"{dataset.name}: no {split} row has a label; the decoder of this run expects some")
    labelled = len(_known(held_out))
    if 0 < labelled < report["rows"]:
        report["labelled"] = labelled
    if run.model.classifies and run.recipe.data.labels is not None and labelled:
        classified = evaluation.classification_report(held_out.labels, run.predict_proba(held_out.rows))
        report["confusion"] = classified.pop("confusion")
        metrics |= {f"{split}_{name}": value for name, value in classified.items()}
        first = next(iter(run.folder.read_metrics()), {}).get("validation_error_percent")
        if first is not None:
            metrics["validation_error_percent_epoch_1"] = first
    if run.model.classifies and run.recipe.data.labels is None and labelled:
        metrics |= _clustering(run, dataset, held_out)
    if autoencoder is not None:
        if "style" in autoencoder.latents:
            if not METHODS[run.recipe.model.method].maps:
                metrics |= _code_metrics(run, held_out)
            metrics |= _embedding_metrics(run, dataset.train, held_out)
        metrics[f"{split}_reconstruction"] = _reconstruction(run, held_out)
        if autoencoder.decoder_classes is not None:
            metrics |= disentanglement(run, dataset, held_out)
    if run.recipe.evaluation.importance_samples:
        metrics |= _bounds(run, held_out)
    if run.recipe.evaluation.parzen_samples:
        metrics |= likelihood(run, dataset, held_out, run.recipe.evaluation.parzen_samples)
    for name, value in metrics.items():
        if not np.isfinite(value):
            raise InputError(f"{run.folder.path}: {name} is {value}; expected a model whose numbers are finite")
    try:
        write_json(run.folder.evaluation, report)
    except OSError as error:
        note(f"{error.filename}: {error.strerror}; the numbers are not kept, expected a run folder that can be written")
    return report


def _some(n: int, limit: int) -> NDArray[np.int64]:
    """Pick at most `limit` of `n` rows, always the same ones; rows may be sorted by class, so not the first."""
    return np.sort(np.random.default_rng(0).permutation(n)[:limit])


def _known(split: Split) -> NDArray[np.int64]:
    """Find the labelled rows of a split."""
    return np.flatnonzero(split.labels >= 0) if split.labels is not None else np.empty(0, np.int64)


def _clustering(run: Run, dataset: Dataset, held_out: Split) -> dict[str, float]:
    """Measure clusters; they are named by validation rows, by training rows where there is no validation split (section 6)."""
    names = dataset.validation or dataset.train
    if names.labels is None or held_out.labels is None or not len(_known(names)):
        return {}
    return evaluation.clustering_report(
        run.label_logits(names.rows), names.labels, run.label_logits(held_out.rows), held_out.labels
    )


def _code_metrics(run: Run, held_out: Split) -> dict[str, float]:
    """Compare the style codes with the prior."""
    drawn = run.encode(held_out.rows, seed=0)["style"]
    if len(drawn) < MATCHED_ROWS:
        return {}

    def draw(n: int, seed: int) -> torch.Tensor:
        return torch.from_numpy(run.sample_prior(n, seed))

    limit = max(MATCHED_ROWS, run.recipe.evaluation.prior_samples)
    metrics = evaluation.match_report(drawn, draw, limit=limit)
    style = run.autoencoder.latent("style")
    if _owns_regions(style) and held_out.labels is not None and len(_known(held_out)):
        metrics["label_placement_percent"] = _label_placement(style.prior, drawn, held_out.labels)
    return metrics


def _owns_regions(latent: Latent) -> bool:
    """Check whether each label owns a region of the prior (section 2.3)."""
    return latent.label_informed and latent.prior.has_parts


def _label_placement(prior: Prior, codes: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Compute the fraction of codes that lie in the region of the prior that belongs to their label (section 2.3), in percent.

    A point belongs to the label of most of the nearest among samples of the prior that were drawn per label.
    """
    assert prior.num_labels is not None
    owners = torch.arange(PLACEMENT_SAMPLES) % prior.num_labels
    samples = prior.sample(PLACEMENT_SAMPLES, owners, Noise(0, 0))
    return evaluation.knn_accuracy_percent(samples, owners, codes, labels)


def _embedding_metrics(run: Run, train: Split, held_out: Split) -> dict[str, float]:
    """Compute whether neighbours in the embedding agree on the label, and on a map whether they are neighbours in the data."""
    embedded = run.embed(held_out.rows)
    rows, known = _known(train), _known(held_out)
    metrics: dict[str, float] = {}
    if len(rows) and len(known):
        assert train.labels is not None
        assert held_out.labels is not None
        rows = rows[_some(len(rows), REFERENCE_ROWS)]
        metrics["knn_accuracy_percent"] = evaluation.knn_accuracy_percent(
            run.embed(train.rows[rows]),
            train.labels[rows],
            embedded[known],
            held_out.labels[known],
            k=min(run.recipe.evaluation.neighbours, len(rows)),
        )
    is_map = run.recipe.model.cluster_heads is not None or METHODS[run.recipe.model.method].maps
    if is_map and held_out.labels is not None:
        torn = evaluation.fracture(embedded, held_out.labels)
        metrics |= {"fracture_percent": 100 * torn} if np.isfinite(torn) else {}
    if is_map and len(embedded) > 2 * NEIGHBOURHOOD:
        scaled = (
            torch.cat([run.autoencoder.split(rows)[0] for rows, _, _ in _scaled(run.scaling, held_out)]).cpu().numpy()
        )
        metrics["trustworthiness"] = evaluation.trustworthiness(scaled, embedded, NEIGHBOURHOOD)
        metrics["continuity"] = evaluation.continuity(scaled, embedded, NEIGHBOURHOOD)
    return metrics


def _reconstruction(run: Run, held_out: Split) -> float:
    """Compute half the squared error in network units, or -log p(x|z) of columns by kind, mean over rows."""
    model, total = run.autoencoder, 0.0
    for rows, labels, known in _scaled(run.scaling, held_out):
        with torch.no_grad():
            loss = model.reconstruction_loss(model.encode(rows), rows, "sum", labels, None, known)
            total += len(rows) * loss.item()
    return total / len(held_out)


def _bounds(run: Run, held_out: Split) -> dict[str, float]:
    """Compute two lower bounds of log p(x), mean over rows (section 2.1; Burda et al. 2015)."""
    samples, likelihood = run.recipe.evaluation.importance_samples, run.recipe.model.likelihood
    noise = Noise(0, 0, device=run.device)
    found = [
        importance_weighted_bound(run.autoencoder, rows, samples, likelihood, noise)
        for rows, _, _ in _scaled(run.scaling, held_out)
    ]
    evidence, weighted = (float(torch.cat(parts).mean()) for parts in zip(*found, strict=True))
    return {"elbo_nats": evidence, "importance_weighted_bound_nats": weighted}


def _scaled(scaling: Scaling, split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]]:
    """Return rows as the network sees them, flat, with their labels and what is known of each, block by block."""
    device = scaling.offset.device
    for start in range(0, len(split), 1000):
        part = split.take(slice(start, start + 1000))
        labels = None if part.labels is None else torch.from_numpy(part.labels).to(device)
        rows = torch.from_numpy(np.array(part.rows)).to(device)
        known = None if scaling.fill is None else ~rows.isnan()
        yield scaling(rows), labels, known
