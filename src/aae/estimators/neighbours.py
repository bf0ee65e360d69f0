"""How near a row lies to training rows by its code and its residual: the anomaly score, as a module of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from aae.model import AdversarialAutoencoder

NEIGHBOURS = 10  # that a distance is the mean of
WIDER = 50  # neighbours by which training rows are judged that are anomalies themselves
LOCAL = 0.5  # share of the distances among the neighbours that is taken off: 0 is a density, 1 a local outlier factor
LEAST_VARIANCE = 0.01  # of a column's residual, relative to the mean of all columns
CLOSE = 0.01  # of the median distance, which is added to all: equal rows have a logarithm
SAME = 1e-5  # nearer than this, relative to the length of a point, a row is the training row itself
TINY, FURTHEST = 1e-6, 1e15
AT_ONCE = 2**23  # distances or coordinates held at a time: 64 MiB


class Neighbours(nn.Module):
    """Score of points by the logarithms of the distances to their nearest training points.

    Parameters
    ----------
    state : mapping of str to Tensor
        ``points`` (m, dim + columns) of training rows, their ``log_distances`` (m,), the ``floor`` that is added to distances,
        and where a code and a residual begin and what their units are: ``code_mean`` (dim,), ``code_unit`` (),
        ``residual_unit`` (columns,). As `state_dict` returns them.
    neighbours : int
        How many, less than m.
    """

    points: Tensor
    log_distances: Tensor
    floor: Tensor
    code_mean: Tensor
    code_unit: Tensor
    residual_unit: Tensor

    def __init__(self, state: Mapping[str, Tensor], neighbours: int = NEIGHBOURS) -> None:
        super().__init__()
        for name, values in state.items():
            self.register_buffer(name, values)
        self.neighbours = min(neighbours, len(self.points) - 1)

    @classmethod
    def of(cls, rows: Tensor, codes: Tensor, residuals: Tensor, contamination: float = 0.0) -> Self:
        """Create the score from training rows.

        Parameters
        ----------
        rows, codes, residuals : Tensor, (m, columns), (m, dim), (m, columns)
            Scaled training rows, two or more, their codes, and what these leave of them.
        contamination : float
            Fraction of them, from 0 to 0.5, that is left out: those furthest from their 50 nearest.
        """
        variance = residual_variance(residuals)
        spread = rows.double().var(0, correction=0).mean().sqrt().clamp(min=TINY)
        codes = codes.double()
        score = cls(
            {
                "code_mean": codes.mean(0),
                "code_unit": codes.var(0, correction=0).mean().sqrt().clamp(min=TINY),
                "residual_unit": (variance.clamp(min=LEAST_VARIANCE * float(variance.mean())).sqrt() * spread).sqrt(),
                "points": codes,
            }
        )
        points = score.place(codes, residuals)
        if contamination:
            kept = len(points) - round(contamination * len(points))
            far = score._among(points, WIDER).log_distances
            points = points[far.argsort()[: max(2, kept)].sort().values]
        return score._among(points, NEIGHBOURS)

    def _among(self, points: Tensor, neighbours: int) -> Self:
        """Create the same score with other training points."""
        units = {name: getattr(self, name) for name in ("code_mean", "code_unit", "residual_unit")}
        unknown = {"log_distances": points.new_zeros(len(points)), "floor": points.new_tensor(TINY)}
        score = type(self)({**units, **unknown, "points": points.float().to(points)}, neighbours)
        distances = torch.cat([score.nearest(batch)[0] for batch in torch.split(points, score.batch_size)])
        score.floor = (CLOSE * distances.median()).clamp(min=TINY)
        score.log_distances = (distances + score.floor).log().mean(1)
        score.points = points.float()  # half the memory
        return score

    @property
    def batch_size(self) -> int:
        """How many rows are compared at once, so that memory is bounded."""
        m, width = self.points.shape
        return max(1, AT_ONCE // max(m, (self.neighbours + 1) * width))

    def place(self, codes: Tensor, residuals: Tensor) -> Tensor:
        """Compute the points (n, dim + columns) of rows: code and residual, side by side and each in its unit."""
        residuals = residuals.to(codes.dtype) / self.residual_unit.to(codes.dtype)
        points = torch.cat([(codes - self.code_mean) / self.code_unit, residuals], dim=1)
        return points.nan_to_num(FURTHEST, FURTHEST, -FURTHEST).clamp(-FURTHEST, FURTHEST)

    def nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Find the distances to the nearest training points and their places, each (n, neighbours).

        A point that is a training point itself is not its own neighbour.
        """
        others = self.points.to(points.dtype)
        products = points @ others.T
        squares = others.square().sum(1) - 2 * products  # but for what all distances of a point share
        places = squares.topk(self.neighbours + 1, dim=1, largest=False).indices
        exact = (points[:, None] - others[places]).square().sum(2).sqrt()
        distances, order = exact.sort(dim=1)
        places = places.gather(1, order)
        itself = distances[:, :1] <= SAME * (1 + points.square().sum(1, keepdim=True).sqrt())
        return (
            torch.where(itself, distances[:, 1:], distances[:, :-1]),
            torch.where(itself, places[:, 1:], places[:, :-1]),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Compute the scores (n,) of points, larger where it is denser; see `aae.AAE.score_samples`."""
        distances, places = self.nearest(points)
        return LOCAL * self.log_distances[places].mean(1) - (distances + self.floor).log().mean(1)


class AnomalyScore(nn.Module):
    """Anomaly score of scaled rows (n, columns), by a model and the neighbours of its codes and residuals."""

    def __init__(self, model: AdversarialAutoencoder, neighbours: Neighbours) -> None:
        super().__init__()
        self.model, self.neighbours = model, neighbours

    def forward(self, rows: Tensor) -> Tensor:
        """Compute the scores (n,), larger for more normal rows."""
        points = self.neighbours.place(*code_and_residual(self.model, rows))
        scores: Tensor = self.neighbours(points)
        return scores


def code_and_residual(model: AdversarialAutoencoder, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the codes (n, dim) of scaled rows (n, columns) and what these leave of them, in the type of the rows."""
    codes = {name: code.to(rows.dtype) for name, code in model.encode(rows).items()}
    return codes["style"], model.residuals(codes, rows).to(rows.dtype)


def residual_variance(residuals: Tensor) -> Tensor:
    """Compute the mean squared residual of each column (columns,), in float64."""
    tiny = torch.finfo(torch.float32).eps
    return residuals.double().square().mean(0).clamp(min=tiny)


def principal_dimension(rows: Tensor, explained: float) -> int:
    """Compute how many principal components hold a fraction of the variance of rows (n, columns); 1 or more."""
    shares = torch.linalg.svdvals(rows.double() - rows.double().mean(0)).square()
    if not float(shares.sum()):
        return 1
    held = (shares.cumsum(0) / shares.sum()) < explained * (1 - math.ulp(1.0))
    return min(int(held.sum()) + 1, len(shares))
