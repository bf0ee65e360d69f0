"""``model.style.dim = "auto"``, ``latent_dim="auto"`` of `aae.AAE`: a number of dimensions that fits the training rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aae.anomaly_score import compared_rows

ROWS, EXPLAINED = 2000, 0.9  # rows that are looked at, and share of their variance that is held


def chosen_rows(n: int, columns: int) -> Tensor:
    """Choose which of `n` rows the number of dimensions is found from: spread evenly, all of them where they are few."""
    return torch.linspace(0, n - 1, min(ROWS, compared_rows(n, columns))).round().long()


def principal_dimension(rows: Tensor, explained: float = EXPLAINED) -> int:
    """Compute how many principal components hold a fraction of the variance of rows (n, columns); 1 or more."""
    shares = torch.linalg.svdvals(rows.double() - rows.double().mean(0)).square()
    if not float(shares.sum()):
        return 1
    held = (shares.cumsum(0) / shares.sum()) < explained * (1 - math.ulp(1.0))
    return min(int(held.sum()) + 1, len(shares))
