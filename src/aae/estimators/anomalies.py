"""How normal a row is: the score of the basic model, its threshold and verdicts."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin, clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from aae.anomaly_score import AnomalyScore, compared_rows
from aae.errors import InterruptedTrainingWarning
from aae.estimators.base import AdversarialTransformer
from aae.estimators.rows import Labels, Rows
from aae.estimators.weights import Weights, repeat
from aae.noise import ORDER, Noise

KEPT_ROWS, KEPT_VALUES = (50, 1000), 2**20  # of a sample of all rows seen: 4 MiB, unless rows are very long
FOLDS = 3  # in which few rows are scored by estimators that did not train on them
LEAST_CROSSED, MOST_CROSSED = 30, 1000  # rows that are few, but enough for that


class ScoringEstimator(AdversarialTransformer):
    """Scores rows by the training rows that are nearest in code and residual."""

    _kept: Tensor  # a sample of all scaled rows seen
    _seen: int  # of so many
    _compared: dict[str, Tensor]  # what the anomaly score needs from training rows: its state
    _waiting: Tensor | None  # scaled training rows from which that is still to be made

    def score_samples(self, X: ArrayLike, *, covariates: Any = None) -> Rows:
        """Return how normal each row is, by the training rows that are nearest in code and residual; larger is more normal.

        The score is written out at `aae.anomaly_score`; that of a `Run` is the same. It is no log-likelihood in nats. The
        estimator keeps scaled training rows for it, a sample where they are more than 10,000 or 16 MiB, and `save` writes them
        too. Rows that training saw are not their own neighbours.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows.
        covariates : optional
            As for `decode`, where they are no columns of `X`.

        Returns
        -------
        array of float64, (n_samples,)
            Scores.
        """
        check_is_fitted(self)
        scores: Rows = self._anomaly_score.scores(self._rows(X, self._decoder_covariates(X, covariates)))
        return scores

    @property
    def _anomaly_score(self) -> AnomalyScore:
        """The score as a module, from scaled rows (n, n_features_in_) to scores (n,)."""
        check_is_fitted(self)
        if self._waiting is not None:
            self._measure(self._waiting)
        return AnomalyScore(self.model_, self._compared)

    def _some(self, rows: Tensor, weights: Weights | None) -> Tensor:
        """Return the scaled rows that others are compared with: all, as often as they count, or a sample where there are many."""
        index, drawn = repeat(np.arange(len(rows)), weights)
        random = np.random.RandomState(self._seed)
        size = compared_rows(len(index), rows.shape[1])
        if drawn is not None:
            index = random.choice(index, size, p=drawn / drawn.sum())
        elif len(index) > size:
            index = random.permutation(index)[:size]
        return rows[torch.from_numpy(index)]

    def _remember(
        self,
        rows: Tensor,
        weights: Weights | None,
        *,
        incremental: bool,
        partial: bool,
        at_once: bool = False,
        as_new: NDArray[np.float64] | None = None,
    ) -> None:
        """Keep a sample of the scaled training rows, by which `score_samples` says how normal others are."""
        self._keep_some(rows, anew=not partial or not incremental)
        self._compare_with(self._kept if partial else self._some(rows, weights), at_once=at_once, as_new=as_new)

    def _compare_with(self, rows: Tensor, *, at_once: bool, as_new: NDArray[np.float64] | None = None) -> None:
        """Choose the scaled training rows that others are compared with, now or when a score is first asked for."""
        self._waiting, self._compared = rows, {}
        if at_once:
            self._measure(rows, as_new)

    def _measure(self, rows: Tensor, as_new: NDArray[np.float64] | None = None) -> None:
        """Set what the anomaly score needs from scaled training rows, and the threshold."""
        score = AnomalyScore.of(self.model_, rows, getattr(self, "contamination", "auto"), as_new)
        self._compared, self._waiting = score.state(), None

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


class AnomalyDetector(OutlierMixin, ScoringEstimator):  # type: ignore[misc]
    """Finds anomalies by the scores of rows."""

    contamination: float | Literal["auto"]

    def decision_function(self, X: ArrayLike, *, covariates: Any = None) -> Rows:
        """Return the scores of rows (n_samples, n_features) less `offset_`, (n_samples,): below 0 for an anomaly."""
        scores: Rows = self.score_samples(X, covariates=covariates) - self.offset_
        return scores

    def predict(self, X: ArrayLike, *, covariates: Any = None) -> NDArray[np.int64]:
        """Return 1 for each row (n_samples, n_features) that is normal, and -1 for an anomaly, (n_samples,)."""
        return np.where(self.decision_function(X, covariates=covariates) < 0, -1, 1)

    def fit_predict(self, X: ArrayLike, y: Any = None, **options: Any) -> NDArray[np.int64]:
        """Train as `fit` does, and return 1 for each row that is normal, and -1 for an anomaly, (n_samples,)."""
        verdicts: NDArray[np.int64] = self.fit(X, y, **options).predict(X)
        return verdicts

    def score(self, X: ArrayLike, y: object = None, *, covariates: Any = None) -> float:
        """Compute the mean of `score_samples` over rows (n_samples, n_features); `y` is ignored."""
        return float(self.score_samples(X, covariates=covariates).mean())

    @property
    def offset_(self) -> float:
        """Score below which a row is an anomaly."""
        return self._anomaly_score.offset

    @offset_.setter
    def offset_(self, offset: float) -> None:
        state = self._anomaly_score.state()
        self._compared = {**state, "offset": torch.tensor(offset, dtype=state["offset"].dtype)}

    @property
    def noise_variance_(self) -> NDArray[np.float64]:
        """Mean squared reconstruction error of each column of the scaled training rows, (columns,)."""
        variance: NDArray[np.float64] = self._anomaly_score.noise_variance.numpy()
        return variance

    def _scores_as_new(self, X: Any, labels: Labels | None, order: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Compute the scores of rows by estimators that did not train on them: each on two thirds, those of the last third.

        None where that is not worth it, or Ctrl-C ends it. The order is one that does not depend on how the rows came.
        """
        if self.contamination == "auto" or not LEAST_CROSSED <= len(order) <= MOST_CROSSED or self._interrupted.is_set:
            return None
        if self.columns_ is not None:  # a third may have categories that the rest has not
            return None
        shuffled = order[Noise(self._seed, ORDER, 0, 4).permutation(len(order)).numpy()]
        scores = np.empty(len(order))
        changes = {"callbacks": None, "warm_start": False, "verbose": False, "random_state": self._seed}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", InterruptedTrainingWarning)
            for part in np.array_split(shuffled, FOLDS):
                one = clone(self).set_params(**changes, latent_dim=self.latent_dim_, contamination="auto")
                rest = np.setdiff1d(order, part)
                known = (None, None) if labels is None else (labels[rest], np.arange(self._num_classes))
                try:
                    one._fit(_safe_indexing(X, rest), *known, None, partial=False)
                except InterruptedTrainingWarning:
                    return None
                scores[part] = one.score_samples(_safe_indexing(X, part))
        return scores
