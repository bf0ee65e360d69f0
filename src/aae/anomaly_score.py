"""The anomaly score of estimators and runs: how near a row lies to training rows by its code and its residual.

A scaled row x with code z and residual e = x - decoded z has the point u = (z / c, e / r) of as many coordinates as the code
and the row have together; of columns by kind the residuals are those of the deviance, whose squares add up to -2 log p(x|z) but
for a constant. Where the decoder sees the label they are those under the label that leaves least. c is the standard deviation of
the training codes, and r of a column the geometric mean of the standard deviation of its residual (at least a tenth of the root
mean square of all columns) and that of the rows. With d_j(u) the distance to the j-th nearest of the training points, u_j, and f
a hundredth of the median of such distances,

log_distance(u) = mean of log(d_j(u) + f) over j = 1, ..., 10,

score(x) = mean of log_distance(u_j) / 2 over j = 1, ..., 10 - log_distance(u).

Up to its sign, a factor and a constant, the last term alone estimates log q(z, e), the likelihood of code and residual under
the distribution of the training rows themselves, by nearest neighbours. The first is half of what would make it a local outlier
factor: it lowers the bar where training rows lie far apart. The paper has no anomaly score, and this is no log-likelihood in
nats: neither the density of the prior nor that of a noise model is in it. Rows that training saw are not their own neighbours.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aae.device import usual_state
from aae.model import AdversarialAutoencoder

NEIGHBOURS = 10  # that a distance is the mean of
WIDER = 50  # neighbours by which training rows are judged that are anomalies themselves
LOCAL = 0.5  # share of the distances among the neighbours that is taken off: 0 is a density, 1 a local outlier factor
LEAST_VARIANCE = 0.01  # of a column's residual, relative to the mean of all columns
CLOSE = 0.01  # of the median distance, which is added to all: equal rows have a logarithm
SAME = 1e-5  # nearer than this, relative to the length of a point, a row is the training row itself
TINY, FURTHEST = 1e-6, 1e15
COMPARED_ROWS, COMPARED_VALUES = (50, 10_000), 2**22  # of the training rows that others are compared with: 16 MiB
FENCE = 1.5  # contamination="auto": so many interquartile ranges below the lower quartile
PART = 4096  # rows pushed through the networks at once
OWN = ("offset", "optimism", "noise_variance")  # what the state of a score has beside that of its neighbours
AT_ONCE = 2**23  # distances or coordinates held at a time: 64 MiB


class Neighbours(nn.Module):
    """Score of points by the logarithms of the distances to their nearest training points.

    Parameters
    ----------
    state : mapping of str to Tensor
        ``points`` (m, dim + columns) of training rows, their ``log_distances`` (m,), the ``floor`` that is added to distances,
        and where a code and a residual begin and what their units are: ``code_mean`` (dim,), ``code_unit`` (),
        ``residual_unit`` (columns,). ``left_out`` (k, dim + columns) are training rows that are not compared with. As
        `state_dict` returns them.
    neighbours : int
        How many, less than m.
    """

    points: Tensor
    left_out: Tensor
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
                "left_out": codes[:0],
            }
        )
        points = score.place(codes, residuals)
        if contamination:
            kept = len(points) - round(contamination * len(points))
            order = score._among(points, WIDER).log_distances.argsort()
            far = order[max(2, kept) :]
            score.left_out = points[far].float()
            points = points[order[: max(2, kept)].sort().values]
        return score._among(points, NEIGHBOURS)

    def _among(self, points: Tensor, neighbours: int) -> Self:
        """Create the same score with other training points."""
        units = {name: getattr(self, name) for name in ("code_mean", "code_unit", "residual_unit", "left_out")}
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
        """Compute the scores (n,) of points, larger where it is denser; see the top of this module."""
        distances, places = self.nearest(points)
        return LOCAL * self.log_distances[places].mean(1) - (distances + self.floor).log().mean(1)

    def seen(self, points: Tensor) -> Tensor:
        """Check which points (n,) are training points, compared with or left out."""
        known = torch.cat([self.points, self.left_out]).to(points.dtype)
        squares = known.square().sum(1) - 2 * points @ known.T
        nearest = squares.topk(2, dim=1, largest=False).indices  # two, for what rounding may confuse
        exact = (points[:, None] - known[nearest]).square().sum(2).sqrt().amin(1)
        return exact <= SAME * (1 + points.square().sum(1).sqrt())


class AnomalyScore(nn.Module):
    """Anomaly score of scaled rows (n, columns), by a model and the neighbours of its codes and residuals, and a threshold.

    Parameters
    ----------
    model : AdversarialAutoencoder
        In evaluation mode.
    state : mapping of str to Tensor
        As `state` returns it.

    Attributes
    ----------
    offset : float
        The threshold: a row with a lower score is an anomaly.
    optimism : float
        What is taken off the scores of training rows, which the model fits better than new ones; 0 where that is not known.
    noise_variance : Tensor, (columns,)
        Mean squared reconstruction error of the training rows.
    """

    def __init__(self, model: AdversarialAutoencoder, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.model = model
        self.neighbours = Neighbours({name: values for name, values in state.items() if name not in OWN})
        self.offset, self.optimism = float(state["offset"]), float(state["optimism"])
        self.noise_variance = state["noise_variance"]

    @classmethod
    @usual_state()
    @torch.no_grad()
    def of(
        cls,
        model: AdversarialAutoencoder,
        rows: Tensor,
        contamination: float | Literal["auto"],
        as_new: NDArray[np.float64] | None = None,
    ) -> Self:
        """Create the score from scaled training rows (m, columns), two or more, with its threshold.

        Parameters
        ----------
        model, rows
            The model and the rows.
        contamination : float or "auto"
            Fraction of anomalies among the rows, in (0, 0.5]: that quantile of their scores is the threshold, and those furthest
            from the rest are left out. ``"auto"``: none, and it lies 1.5 interquartile ranges below the lower quartile.
        as_new : array of float64, (m,), optional
            Scores of the rows by models that did not see them: the threshold is then that of these, and training rows lose as
            much as the thresholds differ.
        """
        device = next(model.parameters()).device
        double = copy.deepcopy(model).double()
        found = [code_and_residual(double, part.to(device).double()) for part in torch.split(rows, PART)]
        codes, residuals = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
        fraction = 0.0 if contamination == "auto" else float(contamination)
        neighbours = Neighbours.of(rows, codes, residuals, fraction)
        own = {
            "offset": torch.tensor(0.0),
            "optimism": torch.tensor(0.0),
            "noise_variance": residual_variance(residuals),
        }
        score = cls(model, {**neighbours.state_dict(), **own})
        own_offset = threshold(score.scores(rows), contamination)
        score.offset = own_offset if as_new is None else threshold(as_new, contamination)
        score.optimism = own_offset - score.offset
        return score

    def state(self) -> dict[str, Tensor]:
        """Collect what it takes beside the model to create this score again."""
        own = {name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in ("offset", "optimism")}
        own["noise_variance"] = self.noise_variance
        return {**{name: values.cpu() for name, values in self.neighbours.state_dict().items()}, **own}

    def forward(self, rows: Tensor) -> Tensor:
        """Compute the scores (n,), larger for more normal rows."""
        points = self.neighbours.place(*code_and_residual(self.model, rows))
        scores: Tensor = self.neighbours(points)
        return scores - self.optimism * self.neighbours.seen(points).to(scores.dtype) if self.optimism else scores

    @usual_state()
    @torch.no_grad()
    def scores(self, rows: Any) -> NDArray[np.float64]:
        """Compute the scores (n,) of scaled rows part by part, in float64: those of a row then do not depend on its part.

        The rows are a tensor (n, columns), or what is cut like one by ``split``.
        """
        device = next(self.model.parameters()).device
        double = copy.deepcopy(self).double().to(device)
        parts = rows.split(min(PART, self.neighbours.batch_size))
        return torch.cat([double(part.to(device).double()).cpu() for part in parts]).numpy()


def compared_rows(n: int, columns: int) -> int:
    """Compute how many of n training rows are compared with; the others are left out."""
    return min(n, max(COMPARED_ROWS[0], min(COMPARED_ROWS[1], COMPARED_VALUES // columns)))


def threshold(scores: NDArray[np.float64], contamination: float | Literal["auto"]) -> float:
    """Compute the score below which a row is an anomaly from those of training rows (n,); see `AnomalyScore.of`."""
    if contamination != "auto":
        return float(np.quantile(scores, contamination))
    low, high = np.quantile(scores, [0.25, 0.75])
    return float(low - FENCE * (high - low))


def code_and_residual(model: AdversarialAutoencoder, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the codes (n, dim) of scaled rows (n, columns) and what these leave of them, in the type of the rows.

    A decoder that sees the label is told that which leaves least.
    """
    codes = {name: code.to(rows.dtype) for name, code in model.encode(rows).items()}
    if model.decoder_classes is None:
        return codes["style"], model.residuals(codes, rows).to(rows.dtype)
    first, *rest = (torch.full_like(rows[:, 0], k, dtype=torch.int64) for k in range(model.decoder_classes))
    least = model.residuals(codes, rows, first).to(rows.dtype)
    for labels in rest:
        other = model.residuals(codes, rows, labels).to(rows.dtype)
        closer = other.square().sum(1, keepdim=True) < least.square().sum(1, keepdim=True)
        least = torch.where(closer, other, least)
    return codes["style"], least


def residual_variance(residuals: Tensor) -> Tensor:
    """Compute the mean squared residual of each column (columns,), in float64."""
    tiny = torch.finfo(torch.float32).eps
    return residuals.double().square().mean(0).clamp(min=tiny)
