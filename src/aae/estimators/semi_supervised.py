"""Semi-supervised classification (section 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from aae.errors import InputError
from aae.estimators.labelled import LabelledEstimator
from aae.estimators.losses import CONSISTENT, chosen_losses
from aae.estimators.rows import Labels, Rows
from aae.estimators.splitting import labelled_accuracy
from aae.estimators.weights import Weights, check_class_weights
from aae.priors import Categorical
from aae.recipes.build_data import class_counts
from aae.recipes.model_settings import LabelSettings
from aae.scaling import Scaling, ScalingKind
from aae.training.settings import LossSettings, Precision
from aae.training.start_labels import start_labels


class SemiSupervisedAAE(ClassifierMixin, LabelledEstimator):  # type: ignore[misc]
    """Classifier that learns from few labels and many unlabelled rows (section 5).

    The code has two parts, each matched to its prior: the label, which a handful of labelled rows tie to the classes, and
    the style.

    Parameters
    ----------
    latent_dim : int, default=2
        Number of dimensions of the style. With more of them more of a row survives, but the style then also tells what
        class a row has, and less is left for the label to decide: rows drawn with a label look less like their class.
    class_prior : sequence or mapping of float, optional
        Fraction of all rows in each class, in the order of `classes_` or by class, with sum 1. By default that of the labelled
        rows with ten more of each class: a few labels say little about it, and all classes then count the same.
    init : {"auto", "random"}, default="auto"
        Labels of the unlabelled rows that training starts from, beside those that are given: q(y|x) learns them with a weight
        that falls to 0 over the first half of the epochs. ``"auto"``: what two random forests agree on, of which one sees the
        columns and the other in which clusters of several quick partitions a row is. ``"random"``: none. `partial_fit` and
        ``losses="paper"`` have none.
    losses : {"consistent", "paper"} or dict, default="consistent"
        What is lowered. ``"consistent"``: one joint update with virtual adversarial consistency and the information of q(y|x)
        beside the losses of the paper, which finds better classes in a sixth of the steps. ``"paper"``: the phases of section 5
        alone. A dictionary is in the words of a recipe's ``training.losses``.
    unlabelled : label or sequence of them, optional
        What else in `y` stands for "no label", such as ``"unknown"``.
    class_weight : "balanced" or dict, optional
        Weight of each class in the classification, and in p(y) where there is no `class_prior`; by default 1. ``"balanced"``: all
        classes count the same, however many labelled rows each has.
    label_informed : bool, default=False
        Whether the discriminator of the style sees the label, and each class gets a part of the prior of its own (section 2.3): a
        slice of the Gaussian, or what a `prior` with as many `num_labels` as there are classes gives it.
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
        ``"reconstruction"``, ``"discriminator"``, ``"generator"`` and ``"classification"``.

    Attributes
    ----------
    classes_ : array, (n_classes,)
        The classes, sorted; without -1.
    model_, scaler_, history_, n_iter_, n_features_in_, feature_names_in_
        As for `AAE`.

    Notes
    -----
    -1 marks unlabelled rows, as in `sklearn.semi_supervised`; so do NaN, None, NA, the empty text, ``"-1"`` and whatever
    `unlabelled` names, the same as in files (`aae.data.is_unlabelled`). `score` leaves such rows of `y` out. Labels that are -1
    and 1 alone are two classes, and a warning says so: otherwise one would be left.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from aae import SemiSupervisedAAE
    >>> rows, species = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(len(rows)) % 10 == 0, species, -1)  # 5 labels per species
    >>> model = SemiSupervisedAAE(latent_dim=2, random_state=0).fit(rows, few)
    >>> model.predict_proba(rows).shape
    (150, 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **LabelledEstimator._parameter_constraints,
        "class_prior": [object],
        "unlabelled": [object],
        "init": [StrOptions({"auto", "random"})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "losses": [StrOptions({"consistent", "paper"}), dict],
    }
    _class_shares: NDArray[np.float64]  # p(y), but for a factor
    class_prior: Sequence[float] | Mapping[Any, float] | None
    unlabelled: Any
    class_weight: Literal["balanced"] | dict[Any, float] | None
    init: Literal["auto", "random"]
    losses: Literal["consistent", "paper"] | dict[str, Any]

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        class_prior: Sequence[float] | Mapping[Any, float] | None = None,
        unlabelled: Any = None,
        class_weight: Literal["balanced"] | dict[Any, float] | None = None,
        init: Literal["auto", "random"] = "auto",
        losses: Literal["consistent", "paper"] | dict[str, Any] = "consistent",
        label_informed: bool = False,
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

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Name the class of each row: (n_samples, n_features) to (n_samples,)."""
        probabilities = self.predict_proba(X)
        classes: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return classes

    def predict_proba(self, X: ArrayLike) -> Rows:
        """Compute q(y|x), (n_samples, n_classes), for rows (n_samples, n_features); columns follow `classes_`."""
        return self._probabilities(self._rows(X))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the fraction of the labelled rows whose class is predicted (`aae.estimators.labelled_accuracy`).

        Unlabelled rows are left out, and a label that is no class counts as wrong.
        """
        return labelled_accuracy(self, X, y, sample_weight)

    @property
    def _scores_labels(self) -> bool:
        return True

    def _loss_settings(self) -> LossSettings:
        return chosen_losses(self.losses, CONSISTENT)

    def _label_prior(self, categories: int) -> Categorical:
        if self.class_prior is not None:
            return super()._label_prior(categories)
        shares = self._class_shares
        return Categorical(categories, None if (shares == shares[0]).all() else shares / shares.sum())

    def _check_labels(self, labels: Labels) -> None:
        if not len(self.classes_):
            raise InputError(f"all {len(labels)} rows are unlabelled (-1); expected some of every class with a label")
        if len(self.classes_) < 2:
            raise InputError(f"y has 1 class, {self.classes_.tolist()[0]!r}; expected at least 2")

    def _weigh_classes(self, labels: Labels, weights: Weights | None) -> Weights:
        class_weights = check_class_weights(self.class_weight, self.classes_, labels, weights)
        labelled = labels >= 0
        counted = np.ones(len(labels)) if weights is None else weights
        if labelled.any() and not (counted[labelled] * class_weights[labels[labelled]]).any():
            raise InputError("the weights of all labelled rows are zero; expected some of every class above zero")
        if (counted != np.round(counted)).any():
            counted = counted / counted.mean()
        counts = np.bincount(labels[labelled], counted[labelled], minlength=len(self.classes_))
        balanced = isinstance(self.class_weight, str)
        self._class_shares = np.ones(len(counts)) if balanced else class_counts(counts) * class_weights
        return class_weights

    def _start_labels(self, rows: Tensor, labels: Labels | None, seed: int) -> Labels | None:
        assert labels is not None
        if self.init == "random" or not self._loss_settings().joint:
            return None
        return start_labels(rows, Scaling.identity(), labels, seed)

    def _parts(self) -> dict[str, Any]:
        scale = 0.1 if self._loss_settings().joint else 1.0
        return {"label": LabelSettings(categories=len(self.classes_), init_scale=scale)}
