"""What the two models with labels share: numbered labels, codes of the style, and rows of a given label."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from aae.data.anndata import labels_of
from aae.errors import InputError
from aae.estimators.anomalies import ScoringEstimator
from aae.estimators.fitting import fitting
from aae.estimators.labels import wanted_labels
from aae.estimators.rows import Labels
from aae.estimators.weights import Weights
from aae.scaling import Scaling, ScalingKind
from aae.training.settings import Precision


class LabelledEstimator(ScoringEstimator):
    """What the two models with labels share: `classes_`, style codes, and rows of a given label."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ScoringEstimator._parameter_constraints,
        "label_informed": ["boolean"],
    }
    label_informed: bool

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        label_informed: bool = False,
        prior: Any = "gaussian",
        posterior: Literal["deterministic", "gaussian", "universal"] = "deterministic",
        hidden_layer_sizes: Sequence[int] = (200, 200),
        discriminator_layer_sizes: Sequence[int] = (200, 200),
        batch_norm: Literal["none", "hidden", "all"] = "all",
        input_noise: float = 0.1,
        discriminator_noise: float = 0.0,
        scaling: ScalingKind | Scaling = "auto",
        output: Literal["auto", "linear", "sigmoid"] = "auto",
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 50,
        learning_rate: float = 0.006,
        optimizers: dict[str, dict[str, Any]] | None = None,
        learning_rate_decay: Literal["auto", "none", "linear", "cosine"] = "linear",
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
        y: ArrayLike,
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
        y : array-like, (n_samples,)
            Labels: whole numbers or strings. -1, NaN, None and empty text mark unlabelled rows.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, 0 or larger. Whole numbers (of a mean up to 10 over the rows that count) do what as
            many equal rows would; other weights say how often a row is drawn, relative to the others.
        validation_data : pair of array-like, optional
            Rows that are only measured, after every epoch: what `early_stopping` goes by, in place of a part of the rows.
        covariates : str, sequence of str, data frame, mapping or array-like, (n_samples, m), optional
            What the decoder sees beside the code, and the encoder does not, such as a batch or donor: names of columns of `X` (of
            ``obs``, where that is an AnnData object), or their values, which then go as a last part into `validation_data` too.

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, or rows and labels cannot be used.
        TrainingError
            If a loss or a weight is not finite.
        """
        return self._fit(
            X, y, None, sample_weight, partial=False, validation_data=validation_data, covariates=covariates
        )

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        covariates: Any = None,
    ) -> Self:
        """Make one pass over rows, in mini-batches; optimizers go on as the last call left them.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows. Scaling and networks are those of an earlier `fit`, or else set up by the first call, whose rows should then
            be like all that are to come; a warning says where later ones are not.
        y : array-like, (n_samples,)
            Labels, as for `fit`.
        classes : array-like, optional
            All classes there will be, for the first call; without it they are those of its `y`.
        sample_weight : array-like, (n_samples,), optional
            As for `fit`.

        Returns
        -------
        estimator
            Itself. Raises as `fit` does.
        """
        return self._fit(X, y, classes, sample_weight, partial=True, covariates=covariates)

    @fitting
    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None,
        sample_weight: ArrayLike | None,
        *,
        partial: bool,
        validation_data: Any = None,
        covariates: Any = None,
    ) -> Self:
        incremental = self._is_incremental(partial)
        y = cast(ArrayLike, labels_of(X, y))
        X, y, weights, covariates = self._leave_out(X, y, sample_weight, covariates)
        rows, labels = self._check_labelled(X, y, classes, incremental=incremental, covariates=covariates)
        with self._without_the_rest():
            self._check_labels(labels)
        class_weights = self._weigh_classes(labels, weights)
        validation = self._check_validation(validation_data, covariates)
        trained = self._train(
            rows,
            labels,
            weights,
            class_weights,
            incremental=incremental,
            partial=partial,
            validation=validation,
        )
        self._remember(trained, weights, incremental=incremental, partial=partial)
        return self

    def _weigh_classes(self, labels: Labels, weights: Weights | None) -> Weights | None:
        """Find the weights of the classes in the classification; None where there is none."""
        return None

    @abstractmethod
    def _check_labels(self, labels: NDArray[np.int64]) -> None:
        """Raise an error where the numbered labels or `classes_` do not do for this model."""

    @property
    def _num_classes(self) -> int:
        return len(self.classes_)

    def decode(self, codes: Any, y: Any = None, *, covariates: Any = None) -> Any:
        """Map style codes (n_samples, latent_dim) and labels (n_samples,), or one, to rows (n_samples, n_features).

        The style of one row with the label of another gives a row in the first one's style (figure 7). What `encode` gives, a
        dictionary, is decoded too; it has the label in it where that is inferred. InputError where labels are missing or unknown.
        """
        if isinstance(codes, Mapping):
            return super().decode(codes, y, covariates=covariates)
        if y is None:
            raise InputError("y is None; expected labels beside style codes, or all codes by latent")
        styles = self._check_codes(codes)
        labels = torch.from_numpy(wanted_labels(y, len(styles), self.classes_)).to(self._device)
        codes_by_latent = {"style": styles}
        if self.model_.classifies:
            one_hot = torch.nn.functional.one_hot(labels, len(self.classes_)).float()
            return self._decoded({"label": one_hot, **codes_by_latent}, None, covariates, like=codes)
        return self._decoded(codes_by_latent, labels, covariates, like=codes)
