"""Dimensionality reduction (section 7), with the graph of neighbours beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import ClassifierTags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from aae.arrays import UNLABELLED
from aae.data.anndata import labels_of
from aae.device import usual_state
from aae.errors import InputError
from aae.estimators.anomalies import ScoringEstimator
from aae.estimators.base import AdversarialEstimator
from aae.estimators.fitting import fitting
from aae.estimators.losses import NEIGHBOURS, chosen_losses
from aae.estimators.rows import Rows
from aae.estimators.weights import check_class_weights
from aae.recipes.model_settings import ClusterHeadSettings, LabelSettings
from aae.scaling import Scaling, ScalingKind
from aae.training.settings import LossSettings, Precision

PAPER_DISTANCE, HEAD_STD = (
    8.0,
    4.0,
)  # of heads: below which they repel each other; of those that the graph moves, at first


class AAEEmbedding(ScoringEstimator):
    """Dimensionality reduction: the place of a row is the head of its cluster plus its style, y W_C + z (section 7).

    Parameters
    ----------
    n_components : int, default=2
        Number of dimensions of the map.
    n_clusters : int, default=20
        Number of clusters to find where no row has a label, 1 or larger; with labels there is one for each class.
    head_distance : float or "auto", default="auto"
        Distance below which the heads of two clusters repel each other, 0 or larger; the style has standard deviation 1.
        ``"auto"``: 8, but none where the graph of neighbours says how far apart clusters are.
    cluster_prior : sequence or mapping of float, optional
        Share of each cluster among all rows, or of each class in the order of `classes_` or by class, with sum 1; by default all
        alike.
    unlabelled : label or sequence of them, optional
        What else in `y` stands for "no label", beside -1, NaN, None and empty text.
    class_weight : "balanced" or dict, optional
        Weight of each class in the classification, as for `SemiSupervisedAAE`; p(y) is that of `cluster_prior`.
    label_informed : bool, default=False
        Whether the discriminator of the style sees the label, and each class gets a part of the prior of its own (section 2.3),
        as for `AAE`: its places are then its head plus its part of the prior.
    losses : {"neighbours", "paper"} or dict, default="neighbours"
        What is lowered. ``"neighbours"``: one joint update for the losses of the paper and the cross-entropy of the graph of
        neighbours and that of the map, as UMAP has it. ``"paper"``: the phases of section 7 alone. A dictionary is in the words
        of a recipe's ``training.losses``.
    prior, posterior, hidden_layer_sizes, discriminator_layer_sizes, batch_norm, input_noise, discriminator_noise
        As for `AAE`; `prior` is that of the style, and by default `discriminator_layer_sizes` is (100, 100), `batch_norm`
        ``"hidden"``, `input_noise` 0.5 and `discriminator_noise` 0.3.
    encoder, decoder, discriminator, image_shape, missing, columns, handle_unknown, layer, learning_rate_decay
        As for `AAE`.
    early_stopping, validation_fraction, n_iter_no_change, tol, callbacks
        As for `AAE`.
    scaling, output, epochs, batch_size, learning_rate, optimizers, precision, device, warm_start, verbose, random_state
        As for `AAE`, but `batch_size` and `learning_rate` are ``"auto"`` by default, with a joint update 64 and 0.006, otherwise
        256 and 0.002, and ``epochs="auto"`` with a joint update means at least 10 passes and 850 mini-batches. Phases are
        ``"discriminator"`` and ``"joint"``, with other losses those of `SemiSupervisedAAE`; ``"repulsion"`` is that of the heads.

    Attributes
    ----------
    embedding_ : array, (n_samples, n_components)
        Places of the training rows.
    cluster_heads_ : array, (n_clusters, n_components)
        The heads W_C.
    classes_ : array, (n_classes,)
        The labels there are, sorted, without -1; empty where clusters were found without labels.
    model_, scaler_, history_, n_iter_, n_features_in_, feature_names_in_
        As for `AAE`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from aae import AAEEmbedding
    >>> model = AAEEmbedding(n_clusters=3, random_state=0)
    >>> model.fit_transform(load_iris().data).shape
    (150, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: values for name, values in AdversarialEstimator._parameter_constraints.items() if name != "latent_dim"
        },
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "head_distance": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "label_informed": ["boolean"],
        "losses": [StrOptions({"neighbours", "paper"}), dict],
        "batch_size": [StrOptions({"auto"}), *AdversarialEstimator._parameter_constraints["batch_size"]],
        "learning_rate": [StrOptions({"auto"}), *AdversarialEstimator._parameter_constraints["learning_rate"]],
    }
    _joint_steps: ClassVar[int] = 850
    batch_size: Any  # int or "auto"
    learning_rate: Any  # float or "auto"
    n_components: int
    n_clusters: int
    head_distance: float | Literal["auto"]
    cluster_prior: Sequence[float] | Mapping[Any, float] | None
    unlabelled: Any
    class_weight: Literal["balanced"] | dict[Any, float] | None
    label_informed: bool
    losses: Literal["neighbours", "paper"] | dict[str, Any]

    def __init__(
        self,
        n_components: int = 2,
        *,
        n_clusters: int = 20,
        head_distance: float | Literal["auto"] = "auto",
        cluster_prior: Sequence[float] | Mapping[Any, float] | None = None,
        unlabelled: Any = None,
        class_weight: Literal["balanced"] | dict[Any, float] | None = None,
        label_informed: bool = False,
        losses: Literal["neighbours", "paper"] | dict[str, Any] = "neighbours",
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
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float | Literal["auto"] = "auto",
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
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: Any = None,
        covariates: Any = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows; at least two.
        y : array-like, (n_samples,), optional
            Labels: whole numbers or strings. -1, NaN, None and empty text mark unlabelled rows; where all are, or without `y`,
            clusters are found.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, 0 or larger. Whole numbers (of a mean up to 10 over the rows that count) do what as
            many equal rows would; other weights say how often a row is drawn, relative to the others.
        validation_data : array-like, or with labels a pair of rows and labels, optional
            Rows that are only measured, after every epoch: what `early_stopping` goes by, in place of a part of the rows.
        covariates : str, sequence of str, data frame, mapping or array-like, (n_samples, m), optional
            What the decoder sees beside the code, and the encoder does not, such as a batch or donor: names of columns of `X` (of
            ``obs``, where that is an AnnData object), or their values, which then go as a last part into `validation_data` too.

        Returns
        -------
        AAEEmbedding
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, or rows and labels cannot be used.
        TrainingError
            If a loss or a weight is not finite.
        """
        return self._fit(X, y, sample_weight, validation_data, covariates)

    @fitting
    def _fit(self, X: Any, y: Any, sample_weight: Any, validation_data: Any, covariates: Any) -> Self:
        incremental = self._is_incremental(partial=False)
        class_weights, every = None, X
        y = labels_of(X, y)
        self._require_labels(y)
        X, y, weights, covariates = self._leave_out(X, y, sample_weight, covariates)
        if y is None:
            rows = self._check_fit(X, incremental=incremental, covariates=covariates)
            labels = np.full(len(rows), UNLABELLED)
            if not incremental:
                self.classes_ = np.empty(0, np.int64)
        else:
            rows, labels = self._check_labelled(X, y, incremental=incremental, covariates=covariates)
        if self.class_weight is not None:
            if not len(self.classes_):
                raise InputError("class_weight weighs the classes of y, and no row has a label; expected some, or None")
            class_weights = check_class_weights(self.class_weight, self.classes_, labels, weights)
        known = labels if len(self.classes_) else None
        validation = self._check_validation(validation_data, covariates)
        trained = self._train(rows, known, weights, class_weights, incremental=incremental, validation=validation)
        self._remember(trained, weights, incremental=incremental, partial=False)
        self.embedding_ = self._places(trained if self._counted is None else self._rows(every))
        return self

    def _parts(self) -> dict[str, Any]:
        categories = len(self.classes_) or int(self.n_clusters)
        if categories == 1:
            return {}
        graph = self._loss_settings().linked is not None
        distance = (0.0 if graph else PAPER_DISTANCE) if self.head_distance == "auto" else float(self.head_distance)
        heads = ClusterHeadSettings(margin=distance, init_std=HEAD_STD if graph else 1.0)
        label = LabelSettings(categories=categories, init_scale=0.3 if graph else 1.0)
        return {"label": label, "cluster_heads": heads}

    def _loss_settings(self) -> LossSettings:
        losses = chosen_losses(self.losses, NEIGHBOURS)
        if self.losses == "neighbours" and (len(self.classes_) or int(self.n_clusters)) == 1:  # there is no q(y|x)
            return losses.model_copy(update={"generator": {"style": losses.generator["style"]}})
        return losses

    @property
    def _batch_size(self) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        return 64 if self._loss_settings().joint else 256

    @property
    def _learning_rate(self) -> float:
        if self.learning_rate != "auto":
            return float(self.learning_rate)
        return 0.006 if self._loss_settings().joint else 0.002

    @property
    def _num_classes(self) -> int:
        return len(self.classes_)

    @property
    def _scores_labels(self) -> bool:
        return len(self.classes_) > 0

    @property
    def _style_dim(self) -> int:
        return int(self.n_components)

    def transform(self, X: ArrayLike) -> Rows:
        """Map rows (n_samples, n_features) to places (n_samples, n_components)."""
        return self._places(self._rows(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags()  # `predict_proba` has a column for each of several clusters
        return tags

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Name the class, or without any number the cluster, of each row: (n_samples, n_features) to (n_samples,)."""
        found: NDArray[Any] = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[found] if len(self.classes_) else found)

    def predict_proba(self, X: ArrayLike) -> Rows:
        """Compute q(y|x), (n_samples, n_clusters), for rows (n_samples, n_features); columns follow `classes_`, if any."""
        return self._probabilities(self._rows(X))

    def inverse_transform(self, X: ArrayLike, *, covariates: Any = None) -> Any:
        """Map places (n_samples, n_components) to rows (n_samples, n_features), as `decode`."""
        places = self._check_codes(X)
        if not self.model_.classifies:
            return self._decoded({"style": places}, None, covariates, like=X)
        no_head = torch.zeros(len(places), self.model_.latent("label").prior.dim, dtype=torch.float32)
        return self._decoded({"label": no_head, "style": places}, None, covariates, like=X)

    def decode(self, codes: Any, y: Any = None, *, covariates: Any = None) -> Any:
        """Map places (n_samples, n_components), as `inverse_transform`, or codes by latent to rows (n_samples, n_features)."""
        if isinstance(codes, Mapping):
            return super().decode(codes, y, covariates=covariates)
        return self.inverse_transform(codes, covariates=covariates)

    @property
    def cluster_heads_(self) -> Rows:
        """The heads W_C, (n_clusters, n_components)."""
        check_is_fitted(self)
        if self.model_.cluster_heads is None:
            return np.zeros((1, self.model_.latent("style").prior.dim), np.float32)
        heads: Rows = self.model_.cluster_heads.weight.detach().cpu().numpy().copy()
        return heads

    @usual_state()
    @torch.no_grad()
    def _places(self, rows: Tensor) -> Rows:
        places: Rows = self.model_.representation(self._codes(rows)).cpu().numpy()
        return places
