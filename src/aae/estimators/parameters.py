"""The parameters that all estimators take; `aae.AAE` describes them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from aae.priors import Prior
from aae.scaling import KINDS, Scaling, ScalingKind


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
        "precision": [StrOptions({"fp32", "bf16", "tf32"})],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

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
        columns: str | dict[Any, str] = "auto",
        handle_unknown: Literal["error", "unknown"] = "error",
        layer: str | None = None,
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
        self.learning_rate_decay = learning_rate_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.image_shape = image_shape
        self.missing = missing
        self.columns = columns
        self.handle_unknown = handle_unknown
        self.layer = layer
        self.precision = precision
        self.device = device
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
