"""How normal a row is: the score of the basic model, its threshold and verdicts."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from torch import Tensor

from aae.device import usual_state
from aae.estimators.base import AdversarialTransformer
from aae.estimators.neighbours import (
    AnomalyScore,
    Neighbours,
    code_and_reconstruction,
    residual_variance,
)
from aae.estimators.rows import BATCH, Rows, batches
from aae.estimators.weights import Weights, repeat
from aae.noise import Noise
from aae.training.trainer import ORDER

KEPT_ROWS, KEPT_VALUES = (50, 1000), 2**20  # of a sample of all rows seen: 4 MiB, unless rows are very long
COMPARED_ROWS, COMPARED_VALUES = (50, 10_000), 2**22  # of the training rows that the score compares with: 16 MiB
FENCE = 1.5  # contamination="auto": so many interquartile ranges below the lower quartile


class AnomalyDetector(OutlierMixin, AdversarialTransformer):  # type: ignore[misc]
    """Scores rows by the training rows that are nearest in code and residual."""

    noise_variance_: NDArray[np.float64]
    offset_: float
    _kept: Tensor  # a sample of all scaled rows seen
    _seen: int  # of so many
    _compared: dict[str, Tensor]  # training rows that the anomaly score compares with: a state of `Neighbours`

    def score_samples(self, X: ArrayLike) -> Rows:
        r"""Return how normal each row is, by the training rows that are nearest in code and residual; larger is more normal.

        A scaled row x with code z and residual e = x - decoded z has the point u = (z / c, e / r) of as many coordinates as the
        code and the row have together. c is the standard deviation of the training codes, and r of a column the geometric
        mean of the standard deviation of its residual (the square root of `noise_variance_`, at least a tenth of the root
        mean square of all columns) and that of the rows. With d_j(u) the distance to the j-th nearest of the training
        points, u_j, and f a hundredth of the median of such distances,

        log_distance(u) = mean of log(d_j(u) + f) over j = 1, ..., 10,

        score(x) = mean of log_distance(u_j) / 2 over j = 1, ..., 10 - log_distance(u).

        Up to its sign, a factor and a constant, the last term alone estimates log q(z, e), the likelihood of code and residual
        under the distribution of the training rows themselves, by nearest neighbours. The first is half of what would make
        it a local outlier factor: it lowers the bar where training rows lie far apart. The paper has no anomaly score, and this
        is no log-likelihood in nats: neither the density of the prior nor that of a noise model is in it. Rows that training
        saw are not their own neighbours. Training rows are sampled where there are more than 10,000.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows.

        Returns
        -------
        array of float64, (n_samples,)
            Scores.
        """
        return self._scores(self._rows(X))

    def decision_function(self, X: ArrayLike) -> Rows:
        """Return the scores of rows (n_samples, n_features) less `offset_`, (n_samples,): below 0 for an anomaly."""
        scores: Rows = self.score_samples(X) - self.offset_
        return scores

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return 1 for each row (n_samples, n_features) that is normal, and -1 for an anomaly, (n_samples,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Compute the mean of `score_samples` over rows (n_samples, n_features); `y` is ignored."""
        return float(self.score_samples(X).mean())

    @property
    def _anomaly_score(self) -> AnomalyScore:
        """The score as a module, from scaled rows (n, n_features_in_) to scores (n,); `export` can trace it."""
        return AnomalyScore(self.model_, Neighbours(self._compared))

    @usual_state()
    @torch.no_grad()
    def _scores(self, rows: Tensor) -> Rows:
        """Compute the scores of scaled rows, in float64: those of a row then do not depend on its batch."""
        score = copy.deepcopy(self._anomaly_score).double().to(self._device)
        size = min(BATCH, score.neighbours.batch_size)
        scores = [score(batch.to(self._device).double()).cpu() for batch in rows.split(size)]  # type: ignore[no-untyped-call]
        found: Rows = torch.cat(scores).numpy()
        return found

    def _some(self, rows: Tensor, weights: Weights | None) -> Tensor:
        """Return the scaled rows that others are compared with: all, as often as they count, or a sample where there are many."""
        index, drawn = repeat(np.arange(len(rows)), weights)
        random = np.random.RandomState(self._seed)
        size = max(COMPARED_ROWS[0], min(COMPARED_ROWS[1], COMPARED_VALUES // rows.shape[1]))
        if drawn is not None:
            index = random.choice(index, min(size, len(index)), p=drawn / drawn.sum())
        elif len(index) > size:
            index = random.permutation(index)[:size]
        return rows[torch.from_numpy(index)]

    @usual_state()
    @torch.no_grad()
    def _compare_with(self, rows: Tensor) -> None:
        """Set what the anomaly score needs from scaled training rows, and the threshold."""
        model = copy.deepcopy(self.model_).double()
        found = [code_and_reconstruction(model, batch.to(self._device).double()) for batch in batches(rows)]
        codes, reconstructions = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
        self.noise_variance_ = residual_variance(rows, reconstructions).numpy()
        contamination = 0.0 if self.contamination == "auto" else float(self.contamination)
        self._compared = dict(Neighbours.of(rows, codes, reconstructions, contamination).state_dict())
        scores = self._scores(rows)
        if contamination:
            self.offset_ = float(np.quantile(scores, contamination))
        else:
            low, high = np.quantile(scores, [0.25, 0.75])
            self.offset_ = float(low - FENCE * (high - low))

    def _keep_some(self, rows: Tensor, *, anew: bool) -> None:
        """Keep a fair sample of all scaled rows seen so far, for what `partial_fit` measures on all of them."""
        kept, seen = (rows[:0], 0) if anew else (self._kept, self._seen)
        size = max(KEPT_ROWS[0], min(KEPT_ROWS[1], KEPT_VALUES // rows.shape[1]))
        noise = Noise(self._seed, ORDER, seen, 2)
        total = seen + len(rows)
        # As many of the old ones as a draw without replacement from all would have, on average.
        old = min(len(kept), round(min(size, total) * seen / total))
        new = min(len(rows), min(size, total) - old)
        parts = [kept[noise.permutation(len(kept))[:old]], rows[noise.permutation(len(rows))[:new]]]
        self._kept, self._seen = torch.cat(parts), total
