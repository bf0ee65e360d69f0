"""Plain autoencoder, whose codes nothing matches to a prior (section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aae.baselines.method import Baseline
from aae.model import AdversarialAutoencoder, Model
from aae.training.phases import Phase, reconstruction_phase

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe


class Autoencoder(Baseline):
    """The plain autoencoder as a recipe's method."""

    name = "autoencoder"
    maps = True
    takes_columns = True

    def check(self, settings: ModelSettings) -> None:
        """Check that the style is the only latent."""
        super().check(settings)
        self.require_style_alone(settings)

    def build(self, networks: Networks) -> AdversarialAutoencoder:
        """Create the autoencoder without discriminators."""
        return networks.autoencoder(discriminators=False)

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the one phase."""
        return [reconstruction_phase(cast(AdversarialAutoencoder, model), recipe.training.reduction)]
