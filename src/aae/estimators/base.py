"""What all estimators share: checked input, scaling, the model, and training that can go on."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import assert_all_finite, check_array, check_random_state, check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from aae.device import choose_device
from aae.errors import InputError, unknown
from aae.estimators.labels import refuse_gaps
from aae.model import AdversarialAutoencoder
from aae.networks import Scaling
from aae.noise import Noise, seeded
from aae.priors import FromSampler, Prior
from aae.recipes.build_model import build_model
from aae.recipes.prior_settings import GaussianSettings
from aae.recipes.schema import (
    DecoderSettings,
    DiscriminatorSettings,
    EncoderSettings,
    ModelSettings,
    StyleSettings,
)
from aae.training.data import TrainingData
from aae.training.phases import Phase, adversarial_phases
from aae.training.progress import Progress
from aae.training.settings import OptimizerSettings, TrainingSettings, validation_message
from aae.training.trainer import INIT, SAMPLES, Trainer

Rows = NDArray[np.float32]
Fit = TypeVar("Fit", bound=Callable[..., Any])
Labels = NDArray[np.int64]

BATCH = 4096  # rows pushed through the networks at once
SEEDS = np.iinfo(np.int32).max
AUTO_STEPS, AUTO_EPOCHS = 3000, 20  # epochs="auto": at least so many mini-batches, and so many passes over the rows


class AdversarialEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators.

    A subclass says with `_parts` what its model is made of, and calls `_train` with checked input. Parameters and attributes
    are described at `aae.AAE`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions({"gaussian"}), Prior, callable],
        "posterior": [StrOptions({"deterministic", "gaussian", "universal"})],
        "hidden_layer_sizes": ["array-like"],
        "discriminator_layer_sizes": ["array-like"],
        "batch_norm": [StrOptions({"none", "hidden", "all"})],
        "input_noise": [Interval(Real, 0, None, closed="left")],
        "discriminator_noise": [Interval(Real, 0, None, closed="left")],
        "scaling": [StrOptions({"auto", "standardize", "minmax", "none"})],
        "output": [StrOptions({"auto", "linear", "sigmoid"})],
        "epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "optimizers": [dict, None],
        "precision": [StrOptions({"fp32", "bf16", "tf32"})],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    model_: AdversarialAutoencoder
    scaler_: Any
    history_: list[dict[str, float]]
    _seed: int
    _state: tuple[dict[str, Tensor], dict[str, Any]]  # optimizers and generators, to go on from

    def __init__(
        self,
        latent_dim: int = 8,
        *,
        prior: Any = "gaussian",
        posterior: Literal["deterministic", "gaussian", "universal"] = "deterministic",
        hidden_layer_sizes: Sequence[int] = (200, 200),
        discriminator_layer_sizes: Sequence[int] = (200, 200),
        batch_norm: Literal["none", "hidden", "all"] = "none",
        input_noise: float = 0.1,
        discriminator_noise: float = 0.0,
        scaling: Literal["auto", "standardize", "minmax", "none"] = "auto",
        output: Literal["auto", "linear", "sigmoid"] = "auto",
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 50,
        learning_rate: float = 0.001,
        optimizers: dict[str, dict[str, Any]] | None = None,
        precision: Literal["fp32", "bf16", "tf32"] = "fp32",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.prior = prior
        self.posterior = posterior
        self.hidden_layer_sizes = hidden_layer_sizes
        self.discriminator_layer_sizes = discriminator_layer_sizes
        self.batch_norm = batch_norm
        self.input_noise = input_noise
        self.discriminator_noise = discriminator_noise
        self.scaling = scaling
        self.output = output
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizers = optimizers
        self.precision = precision
        self.device = device
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the model from the CPU, so that it can be loaded on a machine without an accelerator."""
        state: dict[str, Any] = super().__getstate__()
        if "model_" in state and self._device.type != "cpu":
            state = {**state, "model_": copy.deepcopy(self.model_).cpu()}
        return state

    def _parts(self) -> dict[str, Any]:
        """Choose what the model has beside the style: settings of `label`, `cluster_heads` and `decoder_sees_label`."""
        return {}

    @property
    def _num_classes(self) -> int:
        return 0

    @property
    def _style_dim(self) -> int:
        return int(self.latent_dim)

    @property
    def _device(self) -> torch.device:
        """Where the fitted model is."""
        return next(self.model_.parameters()).device

    # Training

    def _is_incremental(self, partial: bool) -> bool:
        """Check the parameters, and tell whether training goes on from what was fitted before."""
        self._validate_params()
        return (partial or bool(self.warm_start)) and self.__sklearn_is_fitted__()

    def _check_fit(self, X: Any, y: Any = "no_validation", *, incremental: bool) -> Any:
        """Check rows, and labels where there are some, for training."""
        _refuse_images(X)
        refuse_gaps(y)
        return validate_data(self, X, y, reset=not incremental, dtype=_DTYPES, ensure_min_samples=2)

    def _train(
        self, X: NDArray[Any], labels: Labels | None = None, *, incremental: bool, partial: bool = False
    ) -> None:
        """Train on checked rows (n, n_features_in_), with labels (n,), -1 where unlabelled.

        Sets `model_`, `scaler_` and `history_`. A call from `partial_fit` makes one pass over the rows.
        """
        seed = self._seed if incremental else draw_seed(self.random_state)
        scaler = self.scaler_ if incremental else self._make_scaler(X)
        history = list(self.history_) if incremental else []
        epochs = 1 if partial else self._epochs(len(X))
        settings = self._training_settings(epochs, seed)
        device = choose_device(self.device)
        rows = _scale(scaler, X)
        data = _training_data(rows, labels).to(device)
        with seeded(seed, device):
            model = copy.deepcopy(self.model_) if incremental else self._build(rows, seed)
            model.to(device)
            classify = data.labelled is not None and len(data.labelled) > 0
            trainer = Trainer(model, self._phases(model, classify), data, settings, device)
            if incremental:
                weights = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
                trainer.load_state(weights | self._state[0], self._state[1])
            for losses in self._run(trainer, epochs):
                history.append({"epoch": trainer.epoch, **losses})
            tensors, metadata = trainer.state()
        tensors = {name: tensor.cpu() for name, tensor in tensors.items() if not name.startswith("module.")}
        self._state = (self._state[0] | tensors if incremental else tensors, metadata)
        self._seed, self.scaler_, self.model_, self.history_ = seed, scaler, model.eval(), history

    def _run(self, trainer: Trainer, epochs: int) -> Iterator[dict[str, float]]:
        """Train for a number of epochs, with progress if asked for; returns the metrics of each."""
        last = trainer.epoch + epochs
        progress = Progress(type(self).__name__, last, trainer.steps_per_epoch, trainer.epoch) if self.verbose else None
        with progress or nullcontext():
            while trainer.epoch < last:
                metrics = trainer.run_epoch(lambda: _note_step(progress))
                assert metrics is not None
                if progress is not None:
                    progress.epoch(metrics)
                yield metrics

    def _epochs(self, n: int) -> int:
        if self.epochs != "auto":
            return int(self.epochs)
        steps = n // min(int(self.batch_size), n)
        return max(AUTO_EPOCHS, -(-AUTO_STEPS // steps))

    def _make_scaler(self, X: NDArray[Any]) -> Any:
        """Find the scaling of rows from the training rows."""
        kind = self.scaling
        if kind == "auto" and X.dtype == np.uint8:
            return MinMaxScaler().set_output(transform="default").fit(np.repeat([[0.0], [255.0]], X.shape[1], axis=1))
        if kind == "auto":
            inside = X.min() >= 0 and X.max() <= 1
            kind = "none" if inside else "minmax" if self.output == "sigmoid" else "standardize"
        if kind == "none":
            return None
        scaler = StandardScaler() if kind == "standardize" else MinMaxScaler()
        return scaler.set_output(transform="default").fit(X)

    def _build(self, rows: Rows, seed: int) -> AdversarialAutoencoder:
        """Create the model for scaled rows."""
        inside = bool(rows.min() >= 0 and rows.max() <= 1)
        if self.output == "sigmoid" and not inside:
            raise InputError(
                f"scaling is {self.scaling!r} and leaves values outside [0, 1], which output 'sigmoid' cannot reproduce; "
                "expected scaling 'minmax' or output 'linear'"
            )
        output = ("sigmoid" if inside else "linear") if self.output == "auto" else self.output
        hidden = _sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        settings = ModelSettings(
            output=output,
            init="he",
            encoder=EncoderSettings(hidden=hidden, batch_norm=self.batch_norm, input_noise=float(self.input_noise)),
            decoder=DecoderSettings(hidden=hidden),
            discriminator=DiscriminatorSettings(
                hidden=_sizes("discriminator_layer_sizes", self.discriminator_layer_sizes),
                input_noise=float(self.discriminator_noise),
            ),
            style=StyleSettings(dim=self._style_dim, prior=GaussianSettings(kind="gaussian"), posterior=self.posterior),
            **self._parts(),
        )
        model = build_model(settings, rows.shape[1:], self._num_classes, Noise(seed, INIT))
        assert isinstance(model, AdversarialAutoencoder)
        if not isinstance(self.prior, str):
            prior = self.prior if isinstance(self.prior, Prior) else FromSampler(self.prior, self._style_dim)
            if prior.dim != self._style_dim:
                raise InputError(
                    f"the prior has {prior.dim} dimensions and the code {self._style_dim}; expected the same"
                )
            model.latent("style").prior = prior
        return model

    def _phases(self, model: AdversarialAutoencoder, classify: bool) -> list[Phase]:
        """Create the phases, with the optimizers that estimators use and the changes that `optimizers` names."""
        adam = OptimizerSettings(optimizer="adam", learning_rate=float(self.learning_rate))
        adversarial = adam.model_copy(update={"betas": (0.5, 0.999)})
        phases = adversarial_phases(model, classify=classify)
        names = [phase.name for phase in phases]
        changes = dict(self.optimizers or {})
        for name, given in changes.items():
            if name not in names:
                raise unknown("phase in optimizers", name, names)
            if not isinstance(given, Mapping):
                raise InputError(f"optimizers[{name!r}] is {given!r}; expected a dictionary")
        own = {"discriminator": adversarial, "generator": adversarial}
        phases = [
            phase if phase.name == "repulsion" else phase.with_optimizer(own.get(phase.name, adam)) for phase in phases
        ]
        return [phase.with_optimizer(_optimizer(phase.name, changes.get(phase.name, {}))) for phase in phases]

    def _training_settings(self, epochs: int, seed: int) -> TrainingSettings:
        return TrainingSettings(epochs=epochs, batch_size=int(self.batch_size), seed=seed, precision=self.precision)

    # Use

    def _rows(self, X: Any) -> Tensor:
        """Check and scale rows (n, n_features_in_) for the fitted model; on the CPU."""
        check_is_fitted(self)
        _refuse_images(X)
        return self._scaled(validate_data(self, X, reset=False, dtype=_DTYPES))

    def _scaled(self, X: NDArray[Any]) -> Tensor:
        return torch.from_numpy(_scale(self.scaler_, X))

    @torch.no_grad()
    def _codes(self, rows: Tensor) -> dict[str, Tensor]:
        """Infer the codes of scaled rows."""
        parts = [self.model_.encode(batch.to(self._device)) for batch in torch.split(rows, BATCH)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @torch.no_grad()
    def _probabilities(self, rows: Tensor) -> Rows:
        """Compute q(y|x) (n, categories) of scaled rows; a model without a label has one category."""
        if not self.model_.classifies:
            return np.ones((len(rows), 1), np.float32)
        logits = torch.cat([self.model_.label_logits(batch.to(self._device)) for batch in torch.split(rows, BATCH)])
        probabilities: Rows = torch.softmax(logits, dim=1).cpu().numpy()
        return probabilities

    @torch.no_grad()
    def _decoded(self, codes: dict[str, Tensor], labels: Tensor | None = None) -> Rows:
        """Decode codes to rows in the units of the training rows."""
        return self._unscaled(self.model_.decode({name: code.to(self._device) for name, code in codes.items()}, labels))

    def _unscaled(self, rows: Tensor) -> Rows:
        values: Rows = rows.cpu().numpy()
        return values if self.scaler_ is None else np.asarray(self.scaler_.inverse_transform(values), np.float32)

    def _check_codes(self, codes: Any) -> Tensor:
        """Check codes (n, dim of the style)."""
        check_is_fitted(self)
        values = check_array(codes, dtype=np.float32, input_name="codes")
        expected = self.model_.latent("style").prior.dim
        if values.shape[1] != expected:
            raise InputError(f"codes have {values.shape[1]} columns; expected {expected}")
        return torch.from_numpy(_writable(values))

    @torch.no_grad()
    def _draw(self, n: int, labels: Labels | None, random_state: Any) -> Rows:
        """Decode `n` samples of the prior, of the given categories (n,) if there are some."""
        check_is_fitted(self)
        check_scalar(n, "n", Integral, min_val=1)
        seed = draw_seed(random_state)
        wanted = None if labels is None else torch.from_numpy(labels).to(self._device)
        with seeded(seed, self._device):
            return self._unscaled(self.model_.sample(int(n), wanted, Noise(seed, SAMPLES, device=self._device)))


class AdversarialTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AdversarialEstimator):  # type: ignore[misc]
    """Base of the estimators whose `transform` gives as many columns as the style has dimensions."""

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.latent("style").prior.dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


_DTYPES = (np.float64, np.float32, np.uint8)


def _refuse_images(X: Any) -> None:
    if getattr(X, "ndim", 2) > 2:
        raise InputError(
            f"X has shape {tuple(X.shape)}; expected (n_samples, n_features): flatten each row, X.reshape(len(X), -1)"
        )


def all_or_nothing(fit: Fit) -> Fit:
    """Leave an estimator as it was if its fitting fails or is stopped."""

    @functools.wraps(fit)
    def fit_or_restore(self: Any, *args: Any, **options: Any) -> Any:
        before = dict(vars(self))
        try:
            return fit(self, *args, **options)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return cast("Fit", fit_or_restore)


def _scale(scaler: Any, X: NDArray[Any]) -> Rows:
    with np.errstate(over="ignore"):  # what is too large is reported below
        rows = _writable(X if scaler is None else scaler.transform(X))
    assert_all_finite(rows, input_name="scaled X")
    return rows


def _writable(values: NDArray[Any]) -> Rows:
    """Return values as torch takes them without a warning: of 32 bits, in one piece, not read-only."""
    return np.require(values, np.float32, ["C", "W"])


def _sizes(name: str, sizes: Any) -> list[int]:
    widths = np.asarray(sizes)
    if widths.ndim != 1 or not len(widths) or widths.dtype.kind not in "iu" or widths.min() < 1:
        raise InputError(f"{name} is {sizes!r}; expected a sequence of whole numbers, each 1 or larger")
    return [int(width) for width in widths]


def _training_data(rows: Rows, labels: Labels | None) -> TrainingData:
    """Gather what the engine trains on; the rows are scaled already."""
    as_they_are = Scaling.identity()
    if labels is None:
        return TrainingData(torch.from_numpy(rows), as_they_are)
    labelled = torch.from_numpy(np.flatnonzero(labels >= 0))
    return TrainingData(torch.from_numpy(rows), as_they_are, torch.from_numpy(labels), labelled)


def draw_seed(random_state: Any) -> int:
    """Draw a seed from what scikit-learn takes as a random state."""
    return int(check_random_state(random_state).randint(SEEDS))


def _optimizer(name: str, changes: Mapping[str, Any]) -> OptimizerSettings:
    """Check what is to be different in the optimizer of a phase."""
    try:
        return OptimizerSettings.model_validate(changes)
    except ValidationError as error:
        raise InputError(f"optimizers: {name}.{validation_message(error)}") from None


def _note_step(progress: Progress | None) -> bool:
    """Show that a step is done; never asks to stop."""
    if progress is not None:
        progress.step()
    return False
