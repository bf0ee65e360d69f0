"""Rows that are held out from training, and what is measured on them after every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae.device import usual_state
from aae.errors import InputError
from aae.estimators.rows import BATCH, Labels, Places
from aae.estimators.weights import Weights
from aae.latents import Codes
from aae.model import AdversarialAutoencoder
from aae.noise import ORDER, Noise


@dataclass(frozen=True, eq=False)
class Validation:
    """Rows to measure on, with their labels, and which of their values are known where some are missing.

    Attributes
    ----------
    rows : array or Tensor, (n, columns)
        Checked and filled rows; scaled where they are measured on.
    labels : array of int, (n,), or None
        Class numbers.
    observed : array of bool, (n, columns), or None
        Without covariates.
    weights : array, (n,), or None
        How much each row counts.
    """

    rows: Any
    labels: Labels | None = None
    observed: NDArray[np.bool_] | None = None
    weights: Weights | None = None


def hold_out(order: Places, labels: Labels | None, fraction: float, seed: int) -> tuple[Places, Places]:
    """Divide rows into those to train on and those to measure on.

    Parameters
    ----------
    order : array of int, (n,)
        The rows.
    labels : array of int, optional
        Class of every row; the fraction is then that of the labelled rows of each class, and unlabelled rows are trained on.
    fraction : float
        How many are held out, in (0, 1).
    seed : int
        Decides which.

    Raises
    ------
    InputError
        If that leaves too few of either.
    """
    shuffled = order[Noise(seed, ORDER, 0, 3).permutation(len(order)).numpy()]
    held = []
    classes = [0] if labels is None else np.unique(labels[labels >= 0]).tolist()
    for number in classes:
        own = shuffled if labels is None else shuffled[labels[shuffled] == number]
        count = max(1, round(fraction * len(own)))
        if count < len(own):  # the only row of a class is needed
            held.append(own[:count])
    found = np.concatenate(held) if held else np.empty(0, np.int64)
    rest = order[~np.isin(order, found)]
    if not len(found) or len(rest) < 2:
        of = f"{len(order)} rows" if labels is None else f"{int((labels >= 0).sum())} labelled rows"
        raise InputError(
            f"validation_fraction is {fraction:g} of {of}; expected at least one to measure on and two to train on"
        )
    return rest, found


@usual_state()
@torch.no_grad()
def measure(model: AdversarialAutoencoder, held: Validation, *, scores_labels: bool) -> dict[str, float]:
    """Measure a model under training on scaled validation rows: the reconstruction loss, and the share of wrong labels."""
    model.eval()
    rows, labels = held.rows, held.labels
    device = next(model.parameters()).device
    weights = torch.ones(len(rows), dtype=torch.float64) if held.weights is None else torch.from_numpy(held.weights)
    weights = weights.to(device)
    squared = wrong = known = 0.0
    for start in range(0, len(rows), BATCH):
        part, own = rows[start : start + BATCH].to(device), weights[start : start + BATCH]
        of_part = None if labels is None else torch.from_numpy(labels[start : start + BATCH]).to(device)
        known_values = None
        if held.observed is not None:
            known_values = torch.from_numpy(held.observed[start : start + BATCH]).to(device)
        seen = of_part if model.decoder_classes is not None else None
        codes = model.encode(part)
        if held.weights is None:
            mean = model.reconstruction_loss(codes, part, "sum", seen, None, known_values)
            squared += len(part) * mean.double().item()
        else:
            squared += float((own * _row_losses(model, codes, part, seen, known_values)).sum())
        if scores_labels and of_part is not None:
            labelled = of_part >= 0
            wrong += float(own[labelled & (model.label_logits(part).argmax(1) != of_part)].sum())
            known += float(own[labelled].sum())
    metrics = {"validation_reconstruction": squared / float(weights.sum())}
    return metrics | ({"validation_error_percent": 100 * wrong / known} if known else {})


def _row_losses(
    model: AdversarialAutoencoder, codes: Codes, rows: Tensor, labels: Tensor | None, observed: Tensor | None
) -> Tensor:
    """Compute the reconstruction loss of each row, (batch,)."""
    beside = {name: tensor for name, tensor in (("labels", labels), ("observed", observed)) if tensor is not None}

    def one(code: Codes, row: Tensor, beside: Mapping[str, Tensor]) -> Tensor:
        alone = {name: tensor[None] for name, tensor in code.items()}
        label, known = (beside[name][None] if name in beside else None for name in ("labels", "observed"))
        return model.reconstruction_loss(alone, row[None], "sum", label, None, known)

    losses: Tensor = torch.vmap(one)(codes, rows, beside)
    return losses
