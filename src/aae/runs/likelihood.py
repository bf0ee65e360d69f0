"""Evaluation of the samples of a run: the Parzen window of section 3, and measures of quality."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from aae.data import Dataset, Split
from aae.data.tfd import FOLDS
from aae.device import usual_state
from aae.errors import InputError
from aae.evaluation.parzen import ParzenEstimate, parzen_log_likelihood, reference_scores
from aae.evaluation.quality import frechet_distance, precision_recall
from aae.noise import LIKELIHOOD, Noise, seeded
from aae.recipes.build_data import load_data
from aae.runs.reference_classifier import ReferenceClassifier
from aae.runs.run import Run

CAVEAT = (
    "the Parzen window ranks models badly: compare with parzen_training_rows_nats and parzen_centroids_nats, "
    "which need no model (Theis et al. 2015)"
)
VALIDATION_ROWS = 1000  # that choose sigma; of a fold of TFD the paper's protocol takes all
QUALITY_ROWS = 10_000
KEPT_VALUES = 2**25  # of samples that are drawn once and kept


def sampler(run: Run, seed: int = 0) -> Callable[[int, int], torch.Tensor]:
    """Create a function that draws samples `start` to `stop` of a run, on the scale of `unit_rows`: always the same ones."""

    def draw(start: int, stop: int) -> torch.Tensor:
        noise = Noise(seed, LIKELIHOOD, start, device=run.device)
        # Custom modules may draw from torch itself.
        with torch.no_grad(), seeded(noise.generator.initial_seed(), run.device):
            rows = run.generative.sample(stop - start, None, noise)
        return run.scaling.inverse(rows) / unit(run)

    return draw


def unit(run: Run) -> float:
    """Return the stored value that counts as 1: 255 for images of 8 bits, so that pixels are in [0, 1]."""
    return 255.0 if run.metadata["rows"] == "uint8" else 1.0


def unit_rows(run: Run, rows: NDArray[Any]) -> NDArray[np.float32]:
    """Flatten stored rows (n, ...) and bring pixels to [0, 1]."""
    return rows.reshape(len(rows), -1).astype(np.float32) / np.float32(unit(run))


@usual_state()
def parzen(run: Run, dataset: Dataset, test: Split, samples: int, folder: str | Path | None = None) -> ParzenEstimate:
    """Estimate the log-likelihood of test rows by a Parzen window on samples of a run (section 3, A.1).

    Parameters
    ----------
    run : Run
        Any run that can be sampled.
    dataset : Dataset
        Its data. The first 1,000 rows of the validation split choose sigma; all of them where the data brings its own split
        (TFD). Without a validation split they are the first of the training rows.
    test : Split
        Rows to be scored.
    samples : int
        N, drawn block by block; memory does not grow with it.
    folder : path, optional
        Keeps what was done so far, for computations that may be interrupted.

    Returns
    -------
    ParzenEstimate
        In nats, on pixels in [0, 1]; a standardization of the rows is undone first.

    Raises
    ------
    InputError
        If rows are not numbers alone, all there.
    """
    if run.table is not None:
        raise InputError(
            f"{run.folder.path}: found columns of other kinds than numbers, covariates or missing values; a Parzen window is for "
            "rows of numbers"
        )
    choosers, _ = _split(run, dataset)
    draw = sampler(run)
    if samples * math.prod(test.rows.shape[1:]) <= KEPT_VALUES:  # three passes: for sigma twice, then for the test rows
        draw = cache(draw)
    return parzen_log_likelihood(
        draw,
        unit_rows(run, choosers.rows),
        unit_rows(run, test.rows),
        n_samples=samples,
        device=run.device,
        folder=folder,
    )


def parzen_of_folds(
    run: Run,
    split: Literal["test", "validation"],
    samples: int,
    folder: str | Path | None = None,
    data: str | Path | None = None,
) -> tuple[ParzenEstimate, list[ParzenEstimate]]:
    """Estimate the log-likelihood of the rows of every official fold of TFD (section 3), all by the same samples.

    Parameters
    ----------
    run : Run
        Trained on the rows that no fold uses.
    split : {"test", "validation"}
        Which rows of each fold are scored.
    samples, folder
        As for `parzen`; each fold has a folder of its own in `folder`.
    data : str or Path, optional
        Where the data is by now.

    Returns
    -------
    mean : ParzenEstimate
        The means over folds; its standard errors are those of a mean over folds, and its numbers of rows are sums.
    folds : list of ParzenEstimate
        One for each fold.

    Raises
    ------
    InputError
        If the data has no folds, or a fold has other training rows than the run had.
    """
    trained_on = run.load_data(data).train
    found = []
    for fold in range(FOLDS):
        settings = run.recipe.data.model_copy(update={"fold": fold})
        dataset = load_data(run.recipe.model_copy(update={"data": settings}), data)
        if not np.array_equal(dataset.train.rows, trained_on.rows):
            raise InputError(
                f"{dataset.name}: fold {fold} has other training rows than {run.folder.path}; expected folds that share them"
            )
        held_out = getattr(dataset, split)
        found.append(parzen(run, dataset, held_out, samples, None if folder is None else Path(folder) / f"fold-{fold}"))

    def mean(name: str) -> float:
        return float(np.mean([getattr(estimate, name) for estimate in found]))

    def error(name: str) -> float:
        return float(np.std([getattr(estimate, name) for estimate in found], ddof=1) / np.sqrt(len(found)))

    curves = [estimate.grid_validation_log_likelihoods_nats for estimate in found]
    return ParzenEstimate(
        log_likelihood_nats=mean("log_likelihood_nats"),
        standard_error_nats=error("log_likelihood_nats"),
        sigma=mean("sigma"),
        validation_log_likelihood_nats=mean("validation_log_likelihood_nats"),
        fine_sigma=mean("fine_sigma"),
        fine_log_likelihood_nats=mean("fine_log_likelihood_nats"),
        fine_standard_error_nats=error("fine_log_likelihood_nats"),
        fine_validation_log_likelihood_nats=mean("fine_validation_log_likelihood_nats"),
        grid=found[0].grid,
        grid_validation_log_likelihoods_nats=tuple(np.mean(curves, axis=0).tolist()),
        samples=samples,
        validation_rows=sum(estimate.validation_rows for estimate in found),
        test_rows=sum(estimate.test_rows for estimate in found),
        dim=found[0].dim,
    ), found


def likelihood(run: Run, dataset: Dataset, test: Split, samples: int) -> dict[str, float]:
    """Measure samples of a run.

    Parameters
    ----------
    run, dataset, test, samples
        As for `parzen`.

    Returns
    -------
    dict of str to float
        ``parzen_log_likelihood_nats`` with ``parzen_standard_error_nats`` over test rows and ``parzen_sigma`` from the
        paper's grid; the same with ``_fine`` for the best sigma in between. References under the same protocol, with at most
        10,000 rows that choose no sigma: ``parzen_training_rows_nats`` and ``parzen_centroids_nats``. With labels, in the
        features of a classifier trained on the training rows: ``frechet_distance``, ``precision_percent`` and
        ``recall_percent``, each from as many samples as test rows, at most 10,000.
    """
    found = parzen(run, dataset, test, samples)
    metrics = {
        "parzen_log_likelihood_nats": found.log_likelihood_nats,
        "parzen_standard_error_nats": found.standard_error_nats,
        "parzen_sigma": found.sigma,
    }
    if found.fine_sigma is not None:
        assert found.fine_log_likelihood_nats is not None
        metrics["parzen_fine_log_likelihood_nats"] = found.fine_log_likelihood_nats
        metrics["parzen_fine_sigma"] = found.fine_sigma
    choosers, others = _split(run, dataset)
    if len(others):
        references = reference_scores(
            unit_rows(run, others.rows),
            unit_rows(run, choosers.rows),
            unit_rows(run, test.rows),
            n=min(10_000, len(others)),
            device=run.device,
        )
        metrics |= {f"parzen_{name}_nats": estimate.log_likelihood_nats for name, estimate in references.items()}
    labels = dataset.train.labels
    if labels is not None and (labels >= 0).any():
        metrics |= _second_opinion(run, dataset, test)
    return metrics


def _split(run: Run, dataset: Dataset) -> tuple[Split, Split]:
    """Return the rows that choose sigma, and training rows that are none of them."""
    if dataset.validation is None:
        return dataset.train.take(slice(VALIDATION_ROWS)), dataset.train.take(slice(VALIDATION_ROWS, None))
    own = not run.recipe.data.validation
    return dataset.validation if own else dataset.validation.take(slice(VALIDATION_ROWS)), dataset.train


def _second_opinion(run: Run, dataset: Dataset, test: Split) -> dict[str, float]:
    classifier = ReferenceClassifier(run, dataset.train, len(dataset.class_names))
    real = classifier.features(test.rows[:QUALITY_ROWS])
    generated = classifier.features(run.sample(len(real), random_state=0))
    try:
        precision, recall = precision_recall(real, generated)
    except InputError:  # too few rows for neighbourhoods
        return {}
    return {
        "frechet_distance": frechet_distance(real, generated),
        "precision_percent": 100 * precision,
        "recall_percent": 100 * recall,
    }
