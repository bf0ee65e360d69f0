"""The parameters that all estimators take; `aae.AAE` describes them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from aae.priors import Prior
from aae.scaling import KINDS, Scaling, ScalingKind
from aae.training.settings import Precision


class Parameters(BaseEstimator):  # type: ignore[misc]
    """Parameters and what they may be."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions({"gaussian"}), Prior, callable],
        "posterior": [StrOptions({"deterministic", "gaussian", "universal"})],
        "hidden_layer_sizes": ["array-like"],
        "discriminator_layer_sizes": ["array-like"],
        "batch_norm": [StrOptions({"none", "hidden", "all"})],
        "input_noise": [Interval(Real, 0, None, closed="left")],
        "discriminator_noise": [Interval(Real, 0, None, closed="left")],
        "scaling": [StrOptions(set(KINDS) - {"spread"}), Scaling],  # which is "auto" here
        "output": [StrOptions({"auto", "linear", "sigmoid"})],
        "epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "optimizers": [dict, None],
        "encoder": [StrOptions({"conv"}), nn.Module, None],
        "decoder": [StrOptions({"conv"}), nn.Module, None],
        "discriminator": [nn.Module, None],
        "missing": [StrOptions({"error", "mask"})],
        "columns": [str, dict],
        "handle_unknown": [StrOptions({"error", "unknown"})],
        "layer": [str, None],
        "image_shape": ["array-like", None],
        "learning_rate_decay": [StrOptions({"auto", "none", "linear", "cosine"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "callbacks": [list, tuple, None],
        "precision": [StrOptions(set(get_args(Precision)))],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    latent_dim: Any  # int, of `AAE` also "auto"
    prior: Any
    posterior: Literal["deterministic", "gaussian", "universal"]
    hidden_layer_sizes: Sequence[int]
    discriminator_layer_sizes: Sequence[int]
    batch_norm: Literal["none", "hidden", "all"]
    input_noise: float
    discriminator_noise: float
    scaling: ScalingKind | Scaling
    output: Literal["auto", "linear", "sigmoid"]
    epochs: int | Literal["auto"]
    batch_size: int
    learning_rate: float
    optimizers: dict[str, dict[str, Any]] | None
    learning_rate_decay: Literal["auto", "none", "linear", "cosine"]
    early_stopping: bool
    validation_fraction: float | None
    n_iter_no_change: int
    tol: float
    callbacks: Sequence[Any] | None
    encoder: Any
    decoder: Any
    discriminator: Any
    image_shape: Sequence[int] | None
    missing: Literal["error", "mask"]
    columns: str | dict[Any, str]
    handle_unknown: Literal["error", "unknown"]
    layer: str | None
    precision: Precision
    device: Literal["auto", "cpu", "cuda"]
    warm_start: bool
    verbose: bool | int
    random_state: int | np.random.RandomState | None

    def _default(self, name: str) -> Any:
        """Return the default of a parameter; that of the next base where the constructor of a class of one's own lacks it."""
        signatures = (inspect.signature(base).parameters for base in type(self).__mro__)
        return next(parameters[name].default for parameters in signatures if name in parameters)

    def _set_parameters(self, given: dict[str, Any]) -> None:
        """Set the parameters of a constructor, its ``locals()``, as attributes of their names, as scikit-learn expects them."""
        for name, value in given.items():
            if name != "self":
                setattr(self, name, value)
