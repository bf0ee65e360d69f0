"""Models that know labels: style and content (section 4) and semi-supervised classification (section 5)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, column_or_1d

from aae.arrays import UNLABELLED
from aae.errors import InputError
from aae.estimators.base import AdversarialTransformer
from aae.estimators.fitting import fitting
from aae.estimators.labels import find_classes, mark_unlabelled, number_labels, wanted_labels
from aae.estimators.losses import CONSISTENT, chosen_losses
from aae.estimators.splitting import labelled_accuracy
from aae.estimators.use import Labels, Rows
from aae.estimators.weights import Weights, check_class_weights, check_weights
from aae.networks import Scaling
from aae.priors import Categorical
from aae.recipes.schema import LabelSettings
from aae.scaling import ScalingKind
from aae.training.settings import LossSettings

PSEUDO_ROWS = 10  # of each class, beside the labelled ones, where these say how frequent the classes are


class _Labelled(AdversarialTransformer):
    """What the two models with labels share: `classes_`, style codes, and rows of a given label."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialTransformer._parameter_constraints,
        "label_informed": ["boolean"],
    }

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
        learning_rate: float = 0.001,
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
            encoder=encoder,
            decoder=decoder,
            discriminator=discriminator,
            image_shape=image_shape,
            missing=missing,
            precision=precision,
            device=device,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
        )
        self.label_informed = label_informed

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows; at least two.
        y : array-like, (n_samples,)
            Labels: whole numbers or strings. -1, NaN, None and empty text mark unlabelled rows.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, 0 or larger. Whole numbers (of a mean up to 10) do what as many equal rows would; other
            weights say how often a row is drawn, relative to the others.
        validation_data : pair of array-like, optional
            Rows that are only measured, after every epoch: what `early_stopping` goes by, in place of a part of the rows.

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
        return self._fit(X, y, None, sample_weight, partial=False, validation_data=validation_data)

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
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
        return self._fit(X, y, classes, sample_weight, partial=True)

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
    ) -> Self:
        incremental = self._is_incremental(partial)
        rows, given = self._check_fit(X, y, incremental=incremental, unlabelled=self._unlabelled)
        declared = find_classes(given if classes is None else mark_unlabelled(classes, self._unlabelled))
        if not incremental:
            self.classes_ = declared
        elif classes is not None and declared.tolist() != self.classes_.tolist():
            raise InputError(f"classes are {declared.tolist()}; the first call had {self.classes_.tolist()}")
        labels = number_labels(given, self.classes_)
        weights = check_weights("sample_weight", sample_weight, len(rows))
        self._check_labels(labels if weights is None else labels[weights > 0])
        class_weights = self._weigh_classes(labels, weights)
        validation = self._check_validation(validation_data)
        self._train(
            rows,
            labels,
            weights,
            class_weights,
            incremental=incremental,
            partial=partial,
            validation=validation,
        )
        return self

    @property
    def _unlabelled(self) -> Any:
        """What else stands for "no label"."""
        return None

    def _weigh_classes(self, labels: Labels, weights: Weights | None) -> Weights | None:
        """Find the weights of the classes in the classification; None where there is none."""
        return None

    @abstractmethod
    def _check_labels(self, labels: NDArray[np.int64]) -> None:
        """Raise an error where the numbered labels or `classes_` do not do for this model."""

    @property
    def _num_classes(self) -> int:
        return len(self.classes_)

    def transform(self, X: ArrayLike) -> Rows:
        """Map rows (n_samples, n_features) to style codes (n_samples, latent_dim): what the label does not say."""
        styles: Rows = self._codes(self._rows(X))["style"].cpu().numpy()
        return styles

    def sample(self, n: int = 1, label: Any = None, *, random_state: int | np.random.RandomState | None = None) -> Rows:
        """Draw rows from the model.

        Parameters
        ----------
        n : int
            How many, 1 or larger.
        label : label or array-like of them, (n,), optional
            Class of all rows, or of each; without it classes are drawn: all of them equally likely, or
            as `class_prior` says.
        random_state : int, RandomState or None
            Decides the draw.

        Returns
        -------
        array, (n, n_features)
            Rows, in the units of the training rows.
        """
        check_is_fitted(self)
        return self._draw(n, None if label is None else wanted_labels(label, n, self.classes_), random_state)

    def decode(self, codes: Any, y: Any = None) -> Rows:
        """Map style codes (n_samples, latent_dim) and labels (n_samples,) to rows (n_samples, n_features).

        The style of one row with the label of another gives a row in the first one's style (figure 7). What `encode` gives, a
        dictionary, is decoded too; it has the label in it where that is inferred.
        """
        if isinstance(codes, Mapping):
            return super().decode(codes, y)
        if y is None:
            raise InputError("y is None; expected labels beside style codes, or all codes by latent")
        styles = self._check_codes(codes)
        labels = torch.from_numpy(wanted_labels(column_or_1d(y), len(styles), self.classes_)).to(self._device)
        codes_by_latent = {"style": styles}
        if self.model_.classifies:
            one_hot = torch.nn.functional.one_hot(labels, len(self.classes_)).float()
            return self._decoded({"label": one_hot, **codes_by_latent})
        return self._decoded(codes_by_latent, labels)


class SupervisedAAE(_Labelled):
    """Adversarial autoencoder whose decoder is told the label: the code keeps the style alone (section 4).

    Parameters
    ----------
    latent_dim : int, default=2
        Number of dimensions of the style. With more of them more of a row survives, but the style then also tells what
        class a row has, and less is left for the label to decide: rows drawn with a label look less like their class.
    label_informed : bool, default=False
        Whether the discriminator of the style sees the label, and each class gets a part of the prior of its own (section 2.3): a
        slice of the Gaussian, or what a `prior` with as many `num_labels` as there are classes gives it.
    prior, posterior, hidden_layer_sizes, discriminator_layer_sizes, batch_norm, input_noise, discriminator_noise
        As for `AAE`, but `batch_norm` is ``"all"`` by default.
    encoder, decoder, discriminator, image_shape, missing, learning_rate_decay
        As for `AAE`.
    early_stopping, validation_fraction, n_iter_no_change, tol, callbacks
        As for `AAE`.
    scaling, output, epochs, batch_size, learning_rate, optimizers, precision, device, warm_start, verbose, random_state
        As for `AAE`.

    Attributes
    ----------
    classes_ : array, (n_classes,)
        The labels there are, sorted.
    model_, scaler_, history_, n_iter_, n_features_in_, feature_names_in_
        As for `AAE`.

    Notes
    -----
    Every row needs a label; -1 is refused, because it marks unlabelled rows everywhere else.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from aae import SupervisedAAE
    >>> rows, species = load_iris(return_X_y=True)
    >>> model = SupervisedAAE(latent_dim=2, random_state=0).fit(rows, species)
    >>> model.sample(3, label=1).shape
    (3, 4)
    """

    def _check_labels(self, labels: NDArray[np.int64]) -> None:
        missing = int((labels == UNLABELLED).sum())
        if missing:
            raise InputError(
                f"{missing} of {len(labels)} rows are unlabelled (-1); a decoder that sees the label expects one for every "
                "row. SemiSupervisedAAE takes unlabelled rows"
            )

    def _parts(self) -> dict[str, Any]:
        return {"decoder_sees_label": True}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class SemiSupervisedAAE(ClassifierMixin, _Labelled):  # type: ignore[misc]
    """Classifier that learns from few labels and many unlabelled rows (section 5).

    The code has two parts, each matched to its prior: the label, which a handful of labelled rows tie to the classes, and
    the style.

    Parameters
    ----------
    latent_dim : int, default=2
        Number of dimensions of the style. With more of them more of a row survives, but the style then also tells what
        class a row has, and less is left for the label to decide: rows drawn with a label look less like their class.
    class_prior : sequence of float, optional
        Fraction of all rows in each class, in the order of `classes_`, with sum 1. By default that of the labelled rows with
        ten more of each class: a few labels say little about it, and all classes then count the same.
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
        As for `AAE`; `prior` is that of the style, `batch_norm` is ``"hidden"`` and `discriminator_noise` 0.3 by default.
    encoder, decoder, discriminator, image_shape, missing, learning_rate_decay
        As for `AAE`.
    early_stopping, validation_fraction, n_iter_no_change, tol, callbacks
        As for `AAE`.
    scaling, output, epochs, batch_size, learning_rate, optimizers, precision, device, warm_start, verbose, random_state
        As for `AAE`, but `batch_size` is 200 and `learning_rate` 0.002 by default, and ``epochs="auto"`` with a joint update
        means at least 10 passes and 500 mini-batches. Phases are ``"discriminator"`` and ``"joint"``, with other losses
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
    `unlabelled` names, the same as in files (`aae.data.is_unlabelled`). `score` leaves such rows of `y` out.

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
        **_Labelled._parameter_constraints,
        "class_prior": [object],
        "unlabelled": [object],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "losses": [StrOptions({"consistent", "paper"}), dict],
    }
    _class_shares: NDArray[np.float64]  # p(y), but for a factor

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        class_prior: Sequence[float] | None = None,
        unlabelled: Any = None,
        class_weight: Literal["balanced"] | dict[Any, float] | None = None,
        losses: Literal["consistent", "paper"] | dict[str, Any] = "consistent",
        label_informed: bool = False,
        prior: Any = "gaussian",
        posterior: Literal["deterministic", "gaussian", "universal"] = "deterministic",
        hidden_layer_sizes: Sequence[int] = (200, 200),
        discriminator_layer_sizes: Sequence[int] = (200, 200),
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
        precision: Literal["fp32", "bf16", "tf32"] = "fp32",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            latent_dim,
            label_informed=label_informed,
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
            encoder=encoder,
            decoder=decoder,
            discriminator=discriminator,
            image_shape=image_shape,
            missing=missing,
            precision=precision,
            device=device,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
        )
        self.class_prior = class_prior
        self.unlabelled = unlabelled
        self.class_weight = class_weight
        self.losses = losses

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
        present = len(np.unique(labels[labelled & (counted > 0)]))
        if weights is not None and not weights.all() and labelled.any() and present < 2:
            raise InputError(
                f"sample_weight leaves {present} class; expected rows of at least 2 with a weight above zero"
            )
        counts = np.bincount(labels[labelled], counted[labelled], minlength=len(self.classes_))
        balanced = isinstance(self.class_weight, str)
        self._class_shares = np.ones(len(counts)) if balanced else (counts + PSEUDO_ROWS) * class_weights
        return class_weights

    def _parts(self) -> dict[str, Any]:
        scale = 0.1 if self._loss_settings().joint else 1.0
        return {"label": LabelSettings(categories=len(self.classes_), init_scale=scale)}

    @property
    def _unlabelled(self) -> Any:
        return self.unlabelled
