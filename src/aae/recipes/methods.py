"""The methods that a recipe can name, each registered here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aae.baselines import (
    ADGM,
    CAE,
    DBN,
    GAN,
    GMMN,
    GSN,
    M1M2,
    M1TSVM,
    M2,
    TSNE,
    VAE,
    VAT,
    Autoencoder,
    CatGAN,
    Ladder,
    Network,
)
from aae.baselines.method import Method
from aae.model import AdversarialAutoencoder, Model
from aae.training.phases import Phase, adversarial_phases
from aae.training.settings import LossSettings, fading, learnt_part

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe


class Adversarial(Method):
    """The adversarial autoencoder in all its forms."""

    name = "aae"
    takes_columns = True
    losses = frozenset(LossSettings.model_fields)

    def check(self, settings: ModelSettings) -> None:
        """Check what the settings require of each other."""
        if settings.cluster_heads is not None and (settings.style is None or settings.label is None):
            raise ValueError("model.cluster_heads need method 'aae', [model.label] and [model.style]")
        if settings.discriminator.add_log_prior:
            if settings.style is None or not settings.style.prior.density_everywhere:
                raise ValueError(
                    "model.discriminator.add_log_prior needs a style with a prior whose density is known everywhere, "
                    "expected 'gaussian' or 'gaussian-mixture'"
                )
            if settings.style.label_informed:
                raise ValueError("model.discriminator.add_log_prior does not fit model.style.label_informed")

    def build(self, networks: Networks) -> AdversarialAutoencoder:
        """Create the autoencoder with a discriminator for each latent."""
        return networks.autoencoder(discriminators=True)

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the phases in the paper's order; with labels, or clusters to start from, the classification phase too."""
        training, losses = recipe.training, recipe.training.losses
        part, label = training.start_partition, recipe.model.label
        if part == "auto" and label is not None and label.categories is not None:
            part = learnt_part(label.categories)
        if part:
            weight = fading(float(part), training.epochs)
            losses = losses.model_copy(update={"classification": weight})
        begun = training.start_labels
        return adversarial_phases(
            cast(AdversarialAutoencoder, model),
            training.reduction,
            start_weight=fading(begun, training.epochs) if begun else 0.0,
            classify=recipe.data.labels is not None or bool(part),
            moment_matching_epochs=training.moment_matching_epochs,
            losses=losses,
        )


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *(Adversarial(), Autoencoder(), VAE(), GAN(), GMMN(), DBN(), CAE(), GSN(), TSNE()),
        *(Network(), VAT(), Ladder(), CatGAN(), M1TSVM(), M2(), M1M2(), ADGM()),
    )
}
"""Methods by their name in recipes."""
