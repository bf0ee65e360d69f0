"""Clustering without labels (section 6), from a partition to start from, with consistency and information beside it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import ClassifierTags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from aae.errors import InputError
from aae.estimators.anomalies import ScoringEstimator
from aae.estimators.fitting import fitting
from aae.estimators.losses import CONSISTENT, chosen_losses
from aae.estimators.rows import BATCH, Labels, Rows
from aae.noise import Noise
from aae.priors import Categorical
from aae.recipes.model_settings import LabelSettings
from aae.scaling import Scaling, ScalingKind
from aae.training.partitions import fit_to_shares, partition_shares, start_partition
from aae.training.settings import LossSettings, Precision, TrainingSettings, fading, learnt_part

STEPS = 400  # mini-batches that epochs="auto" makes at least
KEPT_ROWS = 1000  # of those that `partial_fit` saw first, at most, by which it knows the partition


class AAEClusterer(ClusterMixin, ScoringEstimator):  # type: ignore[misc]
    """Clustering by an adversarial autoencoder: a categorical code finds the clusters, a continuous one the style (section 6).

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, 1 or larger. More clusters than there are groups in the data do better (Table 3).
    latent_dim : int, default=5
        Number of dimensions of the style, what differs within a cluster.
    cluster_prior : sequence of float, optional
        p(y), the share of each cluster among all rows, with sum 1, in any order: cluster k is to get the k-th. By default the
        shares are those of the partition that training starts from, and without one all clusters are to be equally large, which
        cuts a large group into several clusters.
    init : {"auto", "random"} or array-like of int, (n_samples,), default="auto"
        Partition that training starts from: q(y|x) learns it as labels are learnt in section 5, with a weight that falls to 0
        over the first 30 % of the epochs, or 2 % for each cluster, at most 80 %. ``"auto"``: clusters that are set apart, where
        at some density so many hold nearly all rows, and they are learnt over all epochs; else the consensus of several quick
        partitions (k-means, Ward's method, Gaussian mixtures, spectral clustering). Clusters are numbered by size.
        ``"random"``: none. An array has the cluster of each row, 0 to n_clusters - 1, or -1 where that is open.
    losses : {"consistent", "paper"} or dict, default="consistent"
        What is lowered. ``"consistent"``: one joint update with virtual adversarial consistency and the information of q(y|x)
        beside the losses of the paper. ``"paper"``: the phases of section 6 alone, and no partition to start from. A dictionary
        is in the words of a recipe's ``training.losses``.
    prior, posterior, hidden_layer_sizes, discriminator_layer_sizes, batch_norm, input_noise, discriminator_noise
        As for `AAE`; `prior` is that of the style, and by default `discriminator_layer_sizes` is (100, 100), `batch_norm`
        ``"hidden"``, `input_noise` 0.5 and `discriminator_noise` 0.3. `input_noise` has an effect with ``losses="paper"`` alone:
        the other losses are those of rows as they are.
    encoder, decoder, discriminator, image_shape, missing, columns, handle_unknown, layer, learning_rate_decay
        As for `AAE`.
    early_stopping, validation_fraction, n_iter_no_change, tol, callbacks
        As for `AAE`.
    scaling, output, epochs, batch_size, learning_rate, optimizers, precision, device, warm_start, verbose, random_state
        As for `AAE`, but `batch_size` is 200 by default, and ``epochs="auto"`` with a joint update
        means at least 10 passes and 400 mini-batches. Phases are ``"discriminator"`` and ``"joint"``, with other losses
        ``"reconstruction"``, ``"discriminator"`` and ``"generator"``.

    Attributes
    ----------
    labels_ : int64 array, (n_samples,)
        Cluster of each training row, 0 to n_clusters - 1. A cluster may be empty.
    cluster_heads_ : array, (n_clusters, n_features)
        What each cluster looks like: its one-hot label decoded with style 0 (figure 9), in the units of the rows.
    model_, scaler_, history_, n_iter_, n_features_in_, feature_names_in_
        As for `AAE`.

    Notes
    -----
    Not in the paper: the partition to start from, consistency and information. Most of the time the clusters found are near
    those of the partition; what training adds is q(y|x) for any row, a border between clusters where rows are few, the style
    and the decoder.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from aae import AAEClusterer
    >>> model = AAEClusterer(n_clusters=3, latent_dim=2, random_state=0)
    >>> model.fit_predict(load_iris().data).shape
    (150,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ScoringEstimator._parameter_constraints,
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"auto", "random"}), "array-like"],
        "losses": [StrOptions({"consistent", "paper"}), dict],
    }
    _joint_steps: ClassVar[int] = STEPS
    _shares: list[float] | None  # of the partition that training started from
    _apart: bool = False  # whether its clusters are set apart
    _first: tuple[Rows, Labels] | None  # some of its rows and their clusters, while `partial_fit` learns it
    n_clusters: int
    cluster_prior: Sequence[float] | None
    init: Literal["auto", "random"] | ArrayLike
    losses: Literal["consistent", "paper"] | dict[str, Any]

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 5,
        cluster_prior: Sequence[float] | None = None,
        init: Literal["auto", "random"] | ArrayLike = "auto",
        losses: Literal["consistent", "paper"] | dict[str, Any] = "consistent",
        prior: Any = "gaussian",
        posterior: Literal["deterministic", "gaussian", "universal"] = "deterministic",
        hidden_layer_sizes: Sequence[int] = (200, 200),
        discriminator_layer_sizes: Sequence[int] = (100, 100),
        batch_norm: Literal["none", "hidden", "all"] = "hidden",
        input_noise: float = 0.5,
        discriminator_noise: float = 0.3,
        scaling: ScalingKind | Scaling = "auto",
        output: Literal["auto", "linear", "sigmoid"] = "auto",
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 200,
        learning_rate: float = 0.002,
        optimizers: dict[str, dict[str, Any]] | None = None,
        learning_rate_decay: Literal["auto", "none", "linear", "cosine"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float | None = None,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        callbacks: Sequence[Any] | None = None,
        encoder: Any = None,
        decoder: Any = None,
        discriminator: Any = None,
        image_shape: Sequence[int] | None = None,
        missing: Literal["error", "mask"] = "error",
        columns: str | dict[Any, str] = "auto",
        handle_unknown: Literal["error", "unknown"] = "error",
        layer: str | None = None,
        precision: Precision = "fp32",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self._set_parameters(locals())

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: Any = None,
        covariates: Any = None,
    ) -> Self:
        """Find clusters.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows; at least two, and at least as many as clusters.
        y : ignored
            Present by convention.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, 0 or larger. Whole numbers (of a mean up to 10 over the rows that count) do what as
            many equal rows would; other weights say how often a row is drawn, relative to the others.
        validation_data : array-like, (n_validation, n_features), optional
            Rows that are only measured, after every epoch: what `early_stopping` goes by, in place of a part of the rows.
        covariates : str, sequence of str, data frame, mapping or array-like, (n_samples, m), optional
            What the decoder sees beside the code, and the encoder does not, such as a batch or donor: names of columns of `X` (of
            ``obs``, where that is an AnnData object), or their values, which then go as a last part into `validation_data` too.

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
        return self._fit(X, sample_weight, validation_data, partial=False, covariates=covariates)

    def partial_fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None, *, covariates: Any = None
    ) -> Self:
        """Make one pass over rows (n_samples, n_features), in mini-batches.

        Scaling and networks are those of an earlier `fit`, or else set up by the first call, whose rows should then be like all
        that are to come; a warning says where later ones are not. It also finds the partition to start from, which the first
        120 mini-batches learn, or more (`init`): rows of later calls have the cluster of the nearest row of the first. Optimizers
        go on as the last call left them; `labels_` are those of these rows. Raises as `fit` does.
        """
        return self._fit(X, sample_weight, None, partial=True, covariates=covariates)

    @fitting
    def _fit(
        self, X: Any, sample_weight: ArrayLike | None, validation_data: Any, *, partial: bool, covariates: Any = None
    ) -> Self:
        incremental = self._is_incremental(partial)
        every = X
        X, _, weights, covariates = self._leave_out(X, None, sample_weight, covariates)
        checked = self._check_fit(X, incremental=incremental, covariates=covariates)
        if not incremental and len(checked) < self.n_clusters:
            raise InputError(f"n_samples={len(checked)} should be >= n_clusters={self.n_clusters}.")
        validation = self._check_validation(validation_data, covariates)
        rows = self._train(checked, weights=weights, incremental=incremental, partial=partial, validation=validation)
        self._remember(rows, weights, incremental=incremental, partial=partial)
        rows = rows if self._counted is None else self._rows(every)
        self.labels_ = self._probabilities(rows).argmax(axis=1)
        return self

    def _parts(self) -> dict[str, Any]:
        scale = 0.1 if self._loss_settings().joint else 1.0
        return (
            {"label": LabelSettings(categories=int(self.n_clusters), init_scale=scale)} if self.n_clusters > 1 else {}
        )

    def _loss_settings(self) -> LossSettings:
        losses = chosen_losses(self.losses, CONSISTENT)
        if self.n_clusters == 1 and self.losses == "consistent":  # there is no q(y|x)
            weights = {"style": losses.generator["style"]}
            return losses.model_copy(update={"generator": weights, "consistency": None, "information": None})
        return losses

    def _training_settings(self, epochs: int, seed: int, *, incremental: bool) -> TrainingSettings:
        settings = super()._training_settings(epochs, seed, incremental=incremental)
        if "classification" in settings.losses.model_fields_set:
            return settings
        weight: float | dict[int, float] = fading(self._learnt_part, epochs)
        if incremental:
            weight = max(0.0, 1 - getattr(self, "_steps", 0) / self._learnt_steps)
        return settings.model_copy(update={"losses": settings.losses.model_copy(update={"classification": weight})})

    def _learnt_labels(
        self,
        rows: Tensor,
        labels: Labels | None,
        index: NDArray[np.int64],
        n: int,
        seed: int,
        *,
        incremental: bool,
        partial: bool,
    ) -> Labels | None:
        """Find the partition of rows that training starts from; later rows of `partial_fit` have that of the nearest."""
        if incremental:
            if self._first is None or self._steps >= self._learnt_steps:
                self._first = None
                return None
            nearest = KNeighborsClassifier(1).fit(*self._first)
            parts = rows.split(BATCH)  # type: ignore[no-untyped-call]
            return np.concatenate([nearest.predict(np.asarray(part)) for part in parts])
        partition = self._start(rows, index, n, seed)
        self._first = None
        if partial and partition is not None:
            known = np.flatnonzero(partition >= 0)
            kept = known[Noise(seed).permutation(len(known))[:KEPT_ROWS].numpy()]
            self._first = np.asarray(rows[kept]), partition[kept]
        return partition

    @property
    def _learnt_steps(self) -> int:
        """Mini-batches after which `partial_fit` no longer learns the partition."""
        return round(self._learnt_part * STEPS)

    @property
    def _learnt_part(self) -> float:
        """Part of the epochs in which the partition is learnt: all, where its clusters are set apart."""
        return 1.0 if self._apart else learnt_part(int(self.n_clusters))

    def _start(self, rows: Tensor, index: NDArray[np.int64], n: int, seed: int) -> Labels | None:
        """Find the partition of scaled rows that training starts from, if there is to be one, and the shares of its clusters.

        The rows are those of an index into the `n` that were given.
        """
        self._shares, self._apart = None, False
        given = not isinstance(self.init, str)
        if self.n_clusters == 1 or self.losses == "paper" or (not given and self.init == "random"):
            return None
        clusters = int(self.n_clusters)
        if given:
            partition = self._given_partition(n)[index]
        else:
            start = start_partition(rows, Scaling.identity(), clusters, seed)
            partition, self._apart = start.labels, start.apart
            shares = self._label_prior(clusters).probabilities
            partition = partition if shares is None else fit_to_shares(partition, shares)
        self._shares = partition_shares(partition, clusters)
        return None if self._shares is None else partition

    def _given_partition(self, rows: int) -> Labels:
        """Check the partition that is given as `init`, for each row that was given, and choose that of those that count."""
        partition = np.asarray(self.init)
        if self._counted is not None and partition.shape == (self._given_rows,):
            partition = partition[self._counted]
        whole = partition.dtype.kind in "iu" or (
            partition.dtype.kind == "f" and (partition == np.round(partition)).all()
        )
        if partition.shape != (rows,) or not whole:
            raise InputError(
                f"init has shape {partition.shape} and type {partition.dtype}; expected a whole number for each of {rows} rows"
            )
        if partition.min() < -1 or partition.max() >= self.n_clusters:
            raise InputError(
                f"init goes from {partition.min()} to {partition.max()}; expected -1 to {self.n_clusters - 1}, the last cluster"
            )
        return partition.astype(np.int64)

    def _label_prior(self, categories: int) -> Categorical:
        if self.cluster_prior is None and self._shares is not None:
            return Categorical(categories, self._shares)
        return super()._label_prior(categories)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags()  # `predict_proba` has a column for each of several clusters
        return tags

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Find the cluster of each row: (n_samples, n_features) to (n_samples,), 0 to n_clusters - 1."""
        clusters: NDArray[np.int64] = self.predict_proba(X).argmax(axis=1)
        return clusters

    def predict_proba(self, X: ArrayLike) -> Rows:
        """Compute q(y|x), (n_samples, n_clusters), for rows (n_samples, n_features)."""
        return self._probabilities(self._rows(X))

    @property
    def cluster_heads_(self) -> Any:
        """What each cluster looks like, (n_clusters, n_features): its one-hot label decoded with style 0 (figure 9).

        Where the decoder sees covariates it depends on them, and there is no such attribute; `decode` has them.
        """
        check_is_fitted(self)
        if self.columns_ is not None and self.columns_.covariates:
            names = ", ".join(self.columns_.outer.names)
            raise AttributeError(
                f"cluster_heads_ depend on covariates, {names}; expected decode({{'label': ..., 'style': ...}}, covariates=...)"
            )
        categories = self.model_.latent("label").prior.dim if self.model_.classifies else 1
        styles = torch.zeros(categories, self.model_.latent("style").prior.dim, dtype=torch.float32)
        return self._decoded({"label": torch.eye(categories, dtype=torch.float32), "style": styles})
