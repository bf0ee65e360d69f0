"""Clustering without labels (section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from aae.errors import InputError
from aae.estimators.base import AdversarialEstimator
from aae.estimators.fitting import fitting
from aae.estimators.labels import wanted_labels
from aae.estimators.use import Rows
from aae.estimators.weights import check_weights
from aae.networks import Scaling
from aae.recipes.schema import LabelSettings
from aae.scaling import ScalingKind


class AAEClusterer(ClusterMixin, AdversarialEstimator):  # type: ignore[misc]
    """Clustering by an adversarial autoencoder: a categorical code finds the clusters, a continuous one the style (section 6).

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, 1 or larger. More clusters than there are groups in the data do better (Table 3).
    latent_dim : int, default=5
        Number of dimensions of the style, what differs within a cluster.
    cluster_prior : sequence of float, optional
        Share of each cluster among all rows, with sum 1, in any order: cluster k is to get the k-th. By default all clusters are
        to be equally large, which cuts a large group into several clusters.
    prior, posterior, hidden_layer_sizes, discriminator_layer_sizes, batch_norm, input_noise, discriminator_noise
        As for `AAE`; `prior` is that of the style, and by default `batch_norm` is ``"all"`` (A.3) and `input_noise` is 0.5.
    scaling, output, epochs, batch_size, learning_rate, optimizers, learning_rate_decay, early_stopping, validation_fraction, \
    n_iter_no_change, tol, callbacks, precision, device, warm_start, verbose, random_state
        As for `AAE`.

    Attributes
    ----------
    labels_ : int64 array, (n_samples,)
        Cluster of each training row, 0 to n_clusters - 1. A cluster may be empty.
    cluster_heads_ : array, (n_clusters, n_features)
        What each cluster looks like: its one-hot label decoded with style 0 (figure 9), in the units of the rows.
    model_, scaler_, history_, n_iter_, n_features_in_, feature_names_in_
        As for `AAE`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from aae import AAEClusterer
    >>> model = AAEClusterer(n_clusters=3, latent_dim=2, random_state=0)
    >>> model.fit_predict(load_iris().data).shape
    (150,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialEstimator._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 5,
        cluster_prior: Sequence[float] | None = None,
        prior: Any = "gaussian",
        posterior: Literal["deterministic", "gaussian", "universal"] = "deterministic",
        hidden_layer_sizes: Sequence[int] = (200, 200),
        discriminator_layer_sizes: Sequence[int] = (200, 200),
        batch_norm: Literal["none", "hidden", "all"] = "all",
        input_noise: float = 0.5,
        discriminator_noise: float = 0.0,
        scaling: ScalingKind | Scaling = "auto",
        output: Literal["auto", "linear", "sigmoid"] = "auto",
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 50,
        learning_rate: float = 0.001,
        optimizers: dict[str, dict[str, Any]] | None = None,
        learning_rate_decay: Literal["auto", "none", "linear", "cosine"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float | None = None,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        callbacks: Sequence[Any] | None = None,
        precision: Literal["fp32", "bf16", "tf32"] = "fp32",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            latent_dim,
            prior=prior,
            posterior=posterior,
            hidden_layer_sizes=hidden_layer_sizes,
            discriminator_layer_sizes=discriminator_layer_sizes,
            batch_norm=batch_norm,
            input_noise=input_noise,
            discriminator_noise=discriminator_noise,
            scaling=scaling,
            output=output,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizers=optimizers,
            learning_rate_decay=learning_rate_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            precision=precision,
            device=device,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
        )
        self.n_clusters = n_clusters
        self.cluster_prior = cluster_prior

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: ArrayLike | None = None,
    ) -> Self:
        """Find clusters.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows; at least two, and at least as many as clusters.
        y : ignored
            Present by convention.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, 0 or larger. Whole numbers (of a mean up to 10) do what as many equal rows would; other
            weights say how often a row is drawn, relative to the others.
        validation_data : array-like, (n_validation, n_features), optional
            Rows that are only measured, after every epoch: what `early_stopping` goes by, in place of a part of the rows.

        Returns
        -------
        AAEClusterer
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range or the rows cannot be used.
        TrainingError
            If a loss or a weight is not finite.
        """
        return self._fit(X, sample_weight, validation_data, partial=False)

    def partial_fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Make one pass over rows (n_samples, n_features), in mini-batches.

        Scaling and networks are those of an earlier `fit`, or else set up by the first call, whose rows should then be like all
        that are to come; a warning says where later ones are not. Optimizers go on as the last call left them; `labels_` are
        those of these rows. Raises as `fit` does.
        """
        return self._fit(X, sample_weight, None, partial=True)

    @fitting
    def _fit(
        self, X: ArrayLike, sample_weight: ArrayLike | None, validation_data: ArrayLike | None, *, partial: bool
    ) -> Self:
        incremental = self._is_incremental(partial)
        checked = self._check_fit(X, incremental=incremental)
        if not incremental and len(checked) < self.n_clusters:
            raise InputError(f"n_samples={len(checked)} should be >= n_clusters={self.n_clusters}.")
        validation = self._check_validation(validation_data)
        weights = check_weights("sample_weight", sample_weight, len(checked))
        rows = self._train(checked, weights=weights, incremental=incremental, partial=partial, validation=validation)
        self.labels_ = self._probabilities(rows).argmax(axis=1)
        return self

    def _parts(self) -> dict[str, Any]:
        return {"label": LabelSettings(categories=int(self.n_clusters))} if self.n_clusters > 1 else {}

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Find the cluster of each row: (n_samples, n_features) to (n_samples,), 0 to n_clusters - 1."""
        clusters: NDArray[np.int64] = self.predict_proba(X).argmax(axis=1)
        return clusters

    def predict_proba(self, X: ArrayLike) -> Rows:
        """Compute q(y|x), (n_samples, n_clusters), for rows (n_samples, n_features)."""
        return self._probabilities(self._rows(X))

    @property
    def cluster_heads_(self) -> Rows:
        """What each cluster looks like, (n_clusters, n_features): its one-hot label decoded with style 0 (figure 9)."""
        check_is_fitted(self)
        categories = self.model_.latent("label").prior.dim if self.model_.classifies else 1
        styles = torch.zeros(categories, self.model_.latent("style").prior.dim, dtype=torch.float32)
        return self._decoded({"label": torch.eye(categories, dtype=torch.float32), "style": styles})

    def sample(
        self, n: int = 1, cluster: ArrayLike | None = None, *, random_state: int | np.random.RandomState | None = None
    ) -> Rows:
        """Draw rows from the model.

        Parameters
        ----------
        n : int
            How many, 1 or larger.
        cluster : int or array-like of int, (n,), optional
            Cluster of all rows, or of each; without it clusters are drawn, all of them equally likely, or as
            `cluster_prior` says.
        random_state : int, RandomState or None
            Decides the draw.

        Returns
        -------
        array, (n, n_features)
            Rows, in the units of the training rows.
        """
        check_is_fitted(self)
        if cluster is None or not self.model_.classifies:
            return self._draw(n, None, random_state)
        return self._draw(n, wanted_labels(cluster, n, np.arange(self.model_.latent("label").prior.dim)), random_state)
