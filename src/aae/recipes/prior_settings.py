"""The priors that a recipe can name: one class each with its settings, what it needs, and the prior that it builds."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from aae import priors
from aae.baselines import GeneratedPrior
from aae.networks import MLP
from aae.recipes import custom
from aae.recipes.values import Count, CustomModule, Finite
from aae.training.settings import NonNegative, Positive, Settings


class PriorBase(Settings):
    """A prior of a recipe.

    Attributes
    ----------
    prior_class : type
        The class it builds, which states what it needs.
    """

    prior_class: ClassVar[type[priors.Prior]]

    @abstractmethod
    def build(self, dim: int, num_classes: int) -> priors.Prior:
        """Create the prior of codes with `dim` dimensions, shared out to `num_classes` labels; 0: none."""

    @property
    def fixed_dim(self) -> int | None:
        """The number of dimensions it is made for; None: any."""
        return self.prior_class.fixed_dim

    @property
    def density_everywhere(self) -> bool:
        """Whether its density is known, and larger than 0 everywhere."""
        return self.prior_class.density_everywhere


class GaussianSettings(PriorBase):
    """Spherical Gaussian."""

    prior_class = priors.Gaussian
    kind: Literal["gaussian"]
    std: Positive = 1.0
    """Standard deviation of each dimension."""
    slices: bool = True
    """Whether, with `label_informed`, label k owns the k-th slice; otherwise every label owns the whole distribution, and
    the style is made independent of the label."""

    def build(self, dim: int, num_classes: int) -> priors.Prior:
        """Create the prior."""
        return priors.Gaussian(dim, self.std, num_classes or None, slices=self.slices)


class MixtureSettings(PriorBase):
    """Ring of 2-D Gaussians; as many as there are classes unless `components` is set."""

    prior_class = priors.GaussianMixture
    kind: Literal["gaussian-mixture"]
    components: Count | None = None
    """Number of Gaussians; not set: the number of classes, or 10 without any."""
    distance: Positive = 1.4
    """Of their centres from the origin."""
    radial_std: Positive = 0.5
    """Standard deviation of each towards and away from the origin."""
    tangential_std: Positive = 0.1
    """Standard deviation of each along the ring."""

    def build(self, dim: int, num_classes: int) -> priors.Prior:
        """Create the prior."""
        components = self.components or num_classes or 10
        return priors.GaussianMixture(components, self.distance, self.radial_std, self.tangential_std)


class SwissRollSettings(PriorBase):
    """2-D swiss roll."""

    prior_class = priors.SwissRoll
    kind: Literal["swiss-roll"]
    radius: Positive = 3.0
    """Distance of the outer end from the origin."""
    turns: Positive = 2.0
    """Turns of the roll around the origin."""
    std: NonNegative = 0.1
    """Standard deviation of the Gaussian around the roll."""

    def build(self, dim: int, num_classes: int) -> priors.Prior:
        """Create the prior."""
        return priors.SwissRoll(self.radius, self.turns, self.std, num_classes or None)


class UniformSettings(PriorBase):
    """Uniform on a cube."""

    prior_class = priors.Uniform
    kind: Literal["uniform"]
    low: Finite = -1.0
    """Lower end of each dimension."""
    high: Finite = 1.0
    """Upper end of each dimension, larger than `low`."""

    def build(self, dim: int, num_classes: int) -> priors.Prior:
        """Create the prior."""
        return priors.Uniform(dim, self.low, self.high, num_classes or None)


class GeneratedSettings(PriorBase):
    """The codes that a second network makes of uniform noise, trained by moment matching (GMMN+AE)."""

    prior_class = GeneratedPrior
    kind: Literal["generated"]
    noise_dim: Count = 10
    """Dimensions of the uniform noise."""
    hidden: list[Count] = [1000, 1000]
    """Units of each hidden layer of the second network."""
    bandwidths: Annotated[list[Positive], Field(min_length=1)] = [1.0]
    """Of the Gaussian kernels of the maximum mean discrepancy, in squared units of the code."""

    def build(self, dim: int, num_classes: int) -> priors.Prior:
        """Create the prior with its network."""
        return GeneratedPrior(MLP(self.noise_dim, self.hidden, dim), self.noise_dim, dim)


class CustomPriorSettings(PriorBase):
    """A prior of the user's own."""

    prior_class = priors.Prior
    kind: Literal["custom"]
    module: CustomModule
    """A function "module:attribute" that is called with a number of codes and gives them, or a subclass of aae.priors.Prior."""
    arguments: dict[str, Any] = {}
    """What it is called with by name, beside that."""

    def build(self, dim: int, num_classes: int) -> priors.Prior:
        """Import the function or class, and create the prior."""
        return custom.prior(self.module, self.arguments, dim, num_classes)

    @property
    def density_everywhere(self) -> bool:
        """True: it is known only once the prior is made, and is checked then."""
        return True


PriorSettings = Annotated[
    GaussianSettings | MixtureSettings | SwissRollSettings | UniformSettings | GeneratedSettings | CustomPriorSettings,
    Field(discriminator="kind"),
]
