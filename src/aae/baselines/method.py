"""What a method is to a recipe: which settings it takes, how its model is built, and by which phases it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from aae.errors import InputError
from aae.model import Model
from aae.training.phases import Phase

if TYPE_CHECKING:  # a recipe knows its methods; a method knows of recipes only what these say
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe


class Method(ABC):
    """A way to train a model, named by ``model.method`` in a recipe.

    Attributes
    ----------
    name : str
        Its name in recipes.
    labelled_only : bool
        Whether it is trained on the labelled rows alone: an epoch is one pass over them.
    needs_labels : bool
        Whether it does nothing without a labelled subset.
    pretrains : bool
        Whether it takes ``training.pretraining``, at least 1 epoch then.
    makes_rows : bool
        Whether its model makes rows, so that the scaled ones have to fit ``model.output``.
    maps : bool
        Whether its codes are a map of the rows that no prior shapes.
    has_latents : bool
        Whether its model has latents, at least one of them.
    bounds : bool
        Whether its model bounds log p(x), so that importance weights can tighten the bound.
    losses : frozenset of str
        Which of ``training.losses`` it takes.
    takes_columns : bool
        Whether rows may have columns by kind, and covariates.
    convolutions : frozenset of str
        Which of encoder and decoder may have convolutions.
    takes : frozenset of str
        Which keys of ``[model]`` are for it and its like alone.
    """

    name: ClassVar[str]
    labelled_only: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    pretrains: ClassVar[bool] = False
    makes_rows: ClassVar[bool] = True
    maps: ClassVar[bool] = False
    has_latents: ClassVar[bool] = True
    bounds: ClassVar[bool] = False
    losses: ClassVar[frozenset[str]] = frozenset()
    convolutions: ClassVar[frozenset[str]] = frozenset({"encoder", "decoder"})
    takes: ClassVar[frozenset[str]] = frozenset()
    takes_columns: ClassVar[bool] = False

    def check_table(self) -> None:
        """Check that it takes columns by kind and covariates; InputError where its loss is one of its own."""
        if not self.takes_columns:
            raise InputError(
                f"method {self.name!r} takes numbers alone, and no covariates; columns of other kinds need method 'aae'"
            )

    @abstractmethod
    def check(self, settings: ModelSettings) -> None:
        """Check the ``[model]`` section; ValueError with one line that names the key, what was found and what was expected."""

    @abstractmethod
    def build(self, networks: Networks) -> Model:
        """Create the model of the networks that a recipe describes."""

    @abstractmethod
    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the phases of a step."""


class Baseline(Method):
    """A method that the adversarial autoencoder is compared with: what belongs to that alone is refused."""

    def check(self, settings: ModelSettings) -> None:
        """Check that no setting is of the adversarial autoencoder alone."""
        discriminator = settings.discriminator
        if discriminator.input_noise or discriminator.add_log_prior:
            key = "input_noise" if discriminator.input_noise else "add_log_prior"
            raise ValueError(
                f"method {self.name!r} has no discriminator of codes; discriminator.{key} needs method 'aae'"
            )
        for name, network in (("encoder", settings.encoder), ("decoder", settings.decoder)):
            if network.channels and name not in self.convolutions:
                raise ValueError(
                    f"model.{name}.channels is {network.channels}; method {self.name!r} has no {name} with convolutions, "
                    "expected none"
                )
        if settings.cluster_heads is not None:
            raise ValueError("model.cluster_heads need method 'aae', [model.label] and [model.style]")
        if settings.style is not None and settings.style.label_informed:
            raise ValueError(f"method {self.name!r} has no discriminator; style.label_informed needs method 'aae'")
        if settings.label is not None and settings.label.probabilities is not None:
            raise ValueError(f"method {self.name!r} matches no prior; model.label.probabilities need method 'aae'")

    def require_label_alone(self, settings: ModelSettings) -> None:
        """Check that ``[model.label]`` is the only latent, and that its categories are no clusters."""
        if settings.label is None or settings.style is not None:
            raise ValueError(f"method {self.name!r} needs exactly the latent [model.label]")

    def require_label_and_style(self, settings: ModelSettings) -> None:
        """Check that there are both latents."""
        if settings.label is None or settings.style is None:
            raise ValueError(f"method {self.name!r} needs the latents [model.label] and [model.style]")
        if settings.decoder_sees_label:
            raise ValueError(f"model.decoder_sees_label does not fit method {self.name!r}")

    def require_gaussian_style(self, settings: ModelSettings) -> None:
        """Check that the style has a Gaussian posterior, and N(0, 1) as its prior."""
        assert settings.style is not None
        prior = settings.style.prior
        if settings.style.posterior != "gaussian":
            raise ValueError(
                f"model.style.posterior is {settings.style.posterior!r}; method {self.name!r} expects 'gaussian'"
            )
        if prior.kind != "gaussian" or prior.std != 1:
            raise ValueError(
                f"model.style.prior is {prior.kind!r}; method {self.name!r} expects 'gaussian' with std = 1.0"
            )

    def require_style_alone(self, settings: ModelSettings, why: str = "") -> None:
        """Check that ``[model.style]`` is the only latent, and that the decoder sees no label."""
        if settings.style is None or settings.label is not None:
            raise ValueError(f"method {self.name!r} needs exactly the latent [model.style]{why}")
        if settings.decoder_sees_label:
            raise ValueError(f"model.decoder_sees_label does not fit method {self.name!r}")
