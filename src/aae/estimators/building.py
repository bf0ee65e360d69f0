"""The model that the parameters of an estimator describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from aae.data.columns import Columns
from aae.errors import InputError
from aae.estimators.fitting import layer_sizes
from aae.estimators.parameters import Parameters
from aae.estimators.rows import batches
from aae.model import AdversarialAutoencoder, Output
from aae.networks import Corruption
from aae.noise import INIT, Noise
from aae.priors import Categorical, FromSampler, Gaussian, Prior
from aae.recipes.build_model import build_model, chosen_output
from aae.recipes.model_settings import (
    DecoderSettings,
    DiscriminatorSettings,
    EncoderSettings,
    ModelSettings,
    StyleSettings,
)
from aae.recipes.prior_settings import GaussianSettings
from aae.scaling.map import ROUNDING

CHANNELS = [32, 64]  # of the convolutions of "conv", each of which halves an image


class ModelBuilder(Parameters):
    """Creates the model; a subclass says with `_parts` what it is made of."""

    columns_: Columns | None
    _built_from: str  # settings of the model, as JSON

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
    def _label_informed(self) -> bool:
        """Whether the discriminator of the style sees labels (section 2.3)."""
        return bool(getattr(self, "label_informed", False))

    def _require_labels(self, y: Any) -> None:
        """Check that there are labels where the discriminator of the style sees them."""
        if y is None and self._label_informed:
            raise InputError("label_informed is set and y is None; expected labels, -1 where there is none")

    def _build(self, rows: Tensor, seed: int) -> AdversarialAutoencoder:
        """Create the model for scaled rows."""
        inside = all(
            bool(part.min() >= -ROUNDING and part.max() <= 1 + ROUNDING) for part in batches(rows) if len(part)
        )
        by_kind = self.columns_ is not None  # each kind has an activation of its own
        output: Output = "linear" if by_kind else chosen_output(self.output, self.scaling, inside=inside)
        hidden = layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        channels = {name: CHANNELS if getattr(self, name) == "conv" else [] for name in ("encoder", "decoder")}
        settings = ModelSettings(
            output=output,
            init="he",
            encoder=EncoderSettings(
                hidden=hidden,
                channels=channels["encoder"],
                batch_norm=self.batch_norm,
                input_noise=float(self.input_noise),
            ),
            decoder=DecoderSettings(hidden=hidden[::-1], channels=channels["decoder"][::-1]),
            discriminator=DiscriminatorSettings(
                hidden=layer_sizes("discriminator_layer_sizes", self.discriminator_layer_sizes),
                input_noise=float(self.discriminator_noise),
            ),
            style=StyleSettings(
                dim=self._style_dim,
                prior=GaussianSettings(kind="gaussian"),
                posterior=self.posterior,
                label_informed=self._label_informed,
            ),
            **self._parts(),
        )
        self._built_from = settings.model_dump_json(exclude_unset=True)
        return self._make(settings, rows.shape[1], seed)

    def _make(self, settings: ModelSettings, columns: int, seed: int) -> AdversarialAutoencoder:
        """Create the model that settings describe, with its initial weights."""
        given = {
            name: module
            for name in ("encoder", "decoder", "discriminator")
            if isinstance(module := getattr(self, name), nn.Module)
        }
        covariates = 0 if self.columns_ is None else self.columns_.outer.width
        shape = self._image_shape(columns - covariates)
        model = build_model(settings, shape, self._num_classes, Noise(seed, INIT), given, self.columns_)
        assert isinstance(model, AdversarialAutoencoder)
        return model

    def _image_shape(self, columns: int) -> tuple[int, ...]:
        """Find the shape of a row: that of an image where one is given."""
        if self.image_shape is None:
            for name in ("encoder", "decoder"):
                if getattr(self, name) == "conv":
                    raise InputError(f"{name} is 'conv' and image_shape is not set; expected (height, width) or more")
            return (columns,)
        shape = np.asarray(self.image_shape)
        whole = shape.dtype.kind in "iu" and shape.ndim == 1 and len(shape) in (2, 3) and shape.min() > 0
        if not whole or int(shape.prod()) != columns:
            raise InputError(
                f"image_shape is {self.image_shape!r}; expected (height, width) or (height, width, channels) with as many "
                f"values as X has columns, {columns}"
            )
        return tuple(int(size) for size in shape)

    def _set_changeable(self, model: AdversarialAutoencoder) -> None:
        """Give a model what training that goes on may change: its priors, and the noise on what its parts see."""
        prior = self.prior
        labels = self._num_classes if self._label_informed else None
        if isinstance(prior, str):
            prior = Gaussian(self._style_dim, num_labels=labels)
        elif not isinstance(prior, Prior):
            prior = FromSampler(prior, self._style_dim, labels)
        if labels is not None and prior.num_labels != labels:
            raise InputError(
                f"label_informed is set and the prior has num_labels {prior.num_labels}; expected {labels}, the number of classes"
            )
        if prior.dim != self._style_dim:
            raise InputError(f"the prior has {prior.dim} dimensions and the code {self._style_dim}; expected the same")
        model.latent("style").prior = prior
        if model.classifies:
            model.latent("label").prior = self._label_prior(model.latent("label").prior.dim)
        model.corruption = Corruption(float(self.input_noise))
        for name in model.latents:
            model.latent(name).corruption = Corruption(float(self.discriminator_noise))

    def _by_class(self, name: str) -> Any:
        """Return a parameter with a number for each class, or cluster, in their order: a mapping, or series, is by class."""
        shares: Any = getattr(self, name, None)
        if isinstance(shares, Mapping):
            found = dict(shares)
        elif hasattr(shares, "to_dict") and hasattr(shares, "index"):
            found = shares.to_dict()
            if set(found) != set(self._named_classes) and list(found) == list(range(len(shares))):
                return shares
        else:
            return shares
        if set(found) != set(self._named_classes):
            expected = (
                f"a number for each of {', '.join(map(repr, self._named_classes))}" if self._named_classes else "a list"
            )
            raise InputError(f"{name} has the keys {', '.join(map(repr, found)) or 'none'}; expected {expected}")
        return [found[label] for label in self._named_classes]

    @property
    def _named_classes(self) -> list[Any]:
        """The classes as the labels call them; none where clusters are sought."""
        return list(getattr(self, "classes_", np.empty(0)).tolist())

    def _label_prior(self, categories: int) -> Categorical:
        """Create p(y) from the parameter that has the shares of the categories, if there is one."""
        for name in ("class_prior", "cluster_prior"):
            shares = self._by_class(name)
            try:
                if shares is not None:
                    return Categorical(categories, shares)
            except (TypeError, ValueError) as error:
                raise InputError(f"{name} is {shares!r}: {error}") from None
        return Categorical(categories)
