"""Priors p(z): anything that can be sampled.

Every prior can also be sampled per label (section 2.3): label k of K owns the k-th region of the distribution, which
carries 1/K of the mass, so that labels drawn evenly reproduce the whole prior. Regions are the components of a mixture,
the categories of a categorical distribution (each with the mass it was given), and otherwise the k-th of K equal slices along
the first coordinate's quantiles (for the swiss roll: along the roll).
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from aae.display import html_table, svg_points
from aae.errors import InputError
from aae.noise import Noise, seeded

SHOWN = 300  # samples in a notebook


class Prior(ABC):
    """A distribution over codes that can be sampled.

    Parameters
    ----------
    dim : int
        Number of code dimensions, 1 or larger.
    num_labels : int, optional
        Number of labels the distribution is shared out to when it is sampled per label.

    Raises
    ------
    InputError
        If `dim` or `num_labels` is smaller than 1.
    """

    has_density: ClassVar[bool] = False
    """Whether `log_prob` is available: of a subclass that has one of its own."""
    density_everywhere: ClassVar[bool] = False
    """Whether the density is known and larger than 0 everywhere. A subclass with a `log_prob` that is not finite somewhere
    says False."""
    fixed_dim: ClassVar[int | None] = None
    """The number of dimensions that a prior of this kind always has, if it does."""
    has_parts = True
    """Whether labels own different regions of the distribution when it is sampled per label."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.has_density = cls.log_prob is not Prior.log_prob
        if "density_everywhere" not in vars(cls):
            cls.density_everywhere = cls.has_density

    def __init__(self, dim: int, num_labels: int | None = None) -> None:
        if dim < 1:
            raise InputError(f"prior dimension is {dim}; expected 1 or larger")
        if num_labels is not None and num_labels < 1:
            raise InputError(f"prior num_labels is {num_labels}; expected 1 or larger")
        self.dim = dim
        self.num_labels = num_labels

    def __repr__(self) -> str:
        """Describe the prior as the call that makes it."""
        return f"{type(self).__name__}({', '.join(f'{key}={value}' for key, value in self._arguments().items())})"

    def _repr_html_(self) -> str:
        """Describe the prior for notebooks, with samples in the plane of the first two dimensions."""
        entries = {key: str(value) for key, value in self._arguments().items()}
        try:
            points = self.sample(SHOWN, None, Noise(0))
        except InputError:  # one that cannot be sampled like this shows its parameters alone
            return html_table(type(self).__name__, entries)
        flat = torch.cat([points, torch.zeros_like(points)], dim=1)[:, :2]
        return html_table(type(self).__name__, entries, svg_points(flat.tolist()))

    def _arguments(self) -> dict[str, Any]:
        """Collect what the prior was made with, from the attributes that are called like parameters."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` codes.

        Parameters
        ----------
        n : int
            Number of codes.
        labels : Tensor of int64, (n,), optional
            Label of each code, ``0 .. num_labels - 1``, or -1 for a draw from the whole prior.
        noise : Noise, optional
            Source of randomness; without it a stream seeded from torch's global generator is used.

        Returns
        -------
        Tensor, (n, dim)
            The codes, float32, on the device of `noise`.

        Raises
        ------
        InputError
            If labels are given but the prior was made without `num_labels`, or there is not one label per code.
        """
        if noise is None:
            noise = Noise(int(torch.randint(2**31, ()).item()))
        if labels is not None and self.num_labels is None:
            raise InputError(f"{type(self).__name__} prior was made without num_labels and cannot be sampled per label")
        if labels is not None and tuple(labels.shape) != (n,):
            raise InputError(f"labels have shape {tuple(labels.shape)}; expected {(n,)}")
        return self._sample(n, labels, noise).float()

    @abstractmethod
    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor: ...

    def log_prob(self, codes: Tensor) -> Tensor:
        """Compute the log-density (or log-mass) of each code.

        Parameters
        ----------
        codes : Tensor, (n, dim)
            Points of the code space.

        Returns
        -------
        Tensor, (n,)
            log p(z) in nats.

        Raises
        ------
        InputError
            If the prior has no known density (`has_density` is False).
        """
        raise InputError(f"{type(self).__name__} prior has no known density; it can only be sampled")

    def _quantiles(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        """Draw uniform numbers (n,), inside [k/K, (k+1)/K) where the label is k."""
        u = noise.uniform(n)
        if labels is None:
            return u
        inside = ((labels + u) / self._labels()).clamp(max=1 - 2**-24)  # the sum may round up to 1
        return torch.where(labels < 0, u, inside)

    def _labels(self) -> int:
        assert self.num_labels is not None
        return self.num_labels


class Gaussian(Prior):
    """Spherical Gaussian N(0, std^2 I).

    Parameters
    ----------
    dim : int
        Number of dimensions.
    std : float
        Standard deviation of each dimension, larger than 0 (A.1 uses 5 on MNIST and 10 on TFD, A.2.1 uses 1).
    num_labels : int, optional
        Number of labels for sampling per label.
    slices : bool
        Whether label k owns the k-th slice when it is sampled per label. Otherwise every label owns the whole: a
        discriminator that sees the label then makes the code independent of it.
    """

    def __init__(self, dim: int, std: float = 1.0, num_labels: int | None = None, *, slices: bool = True) -> None:
        super().__init__(dim, num_labels)
        if not std > 0:
            raise InputError(f"prior std is {std}; expected larger than 0")
        self.std = float(std)
        self.has_parts = self.slices = slices

    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        z = noise.normal(n, self.dim)
        if labels is not None and self.has_parts:
            u = self._quantiles(n, labels, noise).clamp(1e-7, 1 - 1e-7)
            z = torch.cat([torch.special.ndtri(u)[:, None], z[:, 1:]], dim=1)
        return self.std * z

    def log_prob(self, codes: Tensor) -> Tensor:
        """Compute log N(z; 0, std^2 I) in nats, (n,)."""
        constant = self.dim * (0.5 * math.log(2 * math.pi) + math.log(self.std))
        return -0.5 * (codes / self.std).square().sum(1) - constant


class GaussianMixture(Prior):
    """Ring of 2-D Gaussians, one component per label (figures 2b and 4a).

    The paper gives only the images. Each component points outwards: its centre lies at `distance` from the origin in
    direction 2 pi k / K, with standard deviations `radial_std` along that direction and `tangential_std` across it.

    Parameters
    ----------
    components : int
        Number of components K.
    distance, radial_std, tangential_std : float
        Geometry of one component, each larger than 0.
    """

    fixed_dim = 2

    def __init__(
        self, components: int = 10, distance: float = 1.4, radial_std: float = 0.5, tangential_std: float = 0.1
    ) -> None:
        super().__init__(2, components)
        self.components = components
        if not min(distance, radial_std, tangential_std) > 0:
            raise InputError(
                f"mixture geometry is distance {distance}, radial_std {radial_std}, tangential_std {tangential_std}; "
                "expected each larger than 0"
            )
        self.distance, self.radial_std, self.tangential_std = float(distance), float(radial_std), float(tangential_std)

    def place(self, labels: Tensor, local: Tensor) -> Tensor:
        """Place standard normal points into the components.

        Parameters
        ----------
        labels : Tensor of int64, (n,)
            Component of each point.
        local : Tensor, (n, 2)
            Radial and tangential position in the component, in units of its standard deviations.

        Returns
        -------
        Tensor, (n, 2)
            Codes.
        """
        angle = 2 * math.pi * labels / self._labels()
        radial = self.distance + self.radial_std * local[:, 0]
        tangential = self.tangential_std * local[:, 1]
        cos, sin = torch.cos(angle), torch.sin(angle)
        return torch.stack([radial * cos - tangential * sin, radial * sin + tangential * cos], dim=1)

    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        components = noise.integers(self._labels(), n)
        if labels is not None:
            components = torch.where(labels < 0, components, labels)
        return self.place(components, noise.normal(n, 2))

    def log_prob(self, codes: Tensor) -> Tensor:
        """Compute the log-density of the mixture in nats, (n,)."""
        angle = 2 * math.pi * torch.arange(self._labels(), device=codes.device, dtype=codes.dtype) / self._labels()
        cos, sin = torch.cos(angle), torch.sin(angle)
        x, y = codes[:, :1], codes[:, 1:]
        radial = (x * cos + y * sin - self.distance) / self.radial_std  # (n, K)
        tangential = (y * cos - x * sin) / self.tangential_std
        constant = math.log(2 * math.pi * self.radial_std * self.tangential_std) + math.log(self._labels())
        return torch.logsumexp(-0.5 * (radial.square() + tangential.square()), dim=1) - constant


class SwissRoll(Prior):
    """2-D swiss roll: a Gaussian whose mean is uniform along a spiral (figure 4c).

    With u uniform in [0, 1) the spiral has radius ``radius * sqrt(u)`` and angle ``2 pi turns sqrt(u)``; label k owns u
    in [k/K, (k+1)/K). The density has no closed form; the roll can only be sampled.

    Parameters
    ----------
    radius : float
        Radius of the outer end.
    turns : float
        Number of turns.
    std : float
        Standard deviation of the Gaussian around the spiral, 0 or larger.
    num_labels : int, optional
        Regions for sampling per label.
    """

    fixed_dim = 2

    def __init__(
        self, radius: float = 3.0, turns: float = 2.0, std: float = 0.1, num_labels: int | None = None
    ) -> None:
        super().__init__(2, num_labels)
        if not (radius > 0 and turns > 0 and std >= 0):
            raise InputError(
                f"swiss roll has radius {radius}, turns {turns}, std {std}; expected radius and turns > 0, std >= 0"
            )
        self.radius, self.turns, self.std = float(radius), float(turns), float(std)

    def spiral(self, u: Tensor) -> Tensor:
        """Compute the points (n, 2) of the spiral at positions `u` (n,) in [0, 1]."""
        root = torch.sqrt(u)
        angle = 2 * math.pi * self.turns * root
        return torch.stack([self.radius * root * torch.cos(angle), self.radius * root * torch.sin(angle)], dim=1)

    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        return self.spiral(self._quantiles(n, labels, noise)) + self.std * noise.normal(n, 2)


class Uniform(Prior):
    """Uniform distribution on the cube [low, high)^dim."""

    density_everywhere = False

    def __init__(self, dim: int, low: float = -1.0, high: float = 1.0, num_labels: int | None = None) -> None:
        super().__init__(dim, num_labels)
        if not high > low:
            raise InputError(f"uniform prior has low {low} and high {high}; expected high > low")
        self.low, self.high = float(low), float(high)

    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        u = torch.cat([self._quantiles(n, labels, noise)[:, None], noise.uniform(n, self.dim - 1)], dim=1)
        return self.low + (self.high - self.low) * u

    def log_prob(self, codes: Tensor) -> Tensor:
        """Compute the log-density in nats, (n,): constant inside the cube, -inf outside."""
        inside = ((codes >= self.low) & (codes < self.high)).all(dim=1)
        density = torch.full_like(codes[:, 0], -self.dim * math.log(self.high - self.low))
        return torch.where(inside, density, -math.inf)


class Categorical(Prior):
    """Categorical distribution over one-hot vectors, p(y) = Cat(y) of section 5.

    Parameters
    ----------
    categories : int
        Number of categories, 1 or larger.
    probabilities : sequence of float, optional
        Of each category: 0 or larger, with sum 1. By default every category is equally likely.

    Raises
    ------
    InputError
        If there is not one probability for each category, or they are none.
    """

    density_everywhere = False

    def __init__(self, categories: int, probabilities: Sequence[float] | None = None) -> None:
        super().__init__(categories, categories)
        self.categories = categories
        self.probabilities = None if probabilities is None else tuple(map(float, probabilities))
        if self.probabilities is None:
            return
        if len(self.probabilities) != categories:
            raise InputError(
                f"probabilities are {len(self.probabilities)}; expected {categories}, one for each category"
            )
        total = math.fsum(self.probabilities)
        if not (min(self.probabilities) >= 0 and math.isclose(total, 1, abs_tol=1e-3)):
            found = ", ".join(f"{p:g}" for p in self.probabilities)
            raise InputError(f"probabilities are {found}, with sum {total:g}; expected 0 or larger, with sum 1")

    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        if self.probabilities is None:
            categories = noise.integers(self.dim, n)
        else:
            masses = [torch.full((1,), p, device=noise.device, dtype=torch.float32) for p in self.probabilities]
            steps = torch.cat(masses).cumsum(0)[:-1]
            categories = (noise.uniform(n)[:, None] >= steps).sum(1)
        if labels is not None:
            categories = torch.where(labels < 0, categories, labels)
        return torch.nn.functional.one_hot(categories, self.dim).float()

    def log_prob(self, codes: Tensor) -> Tensor:
        """Compute the log-mass in nats, (n,): the log-probability of the category of a one-hot vector, -inf elsewhere."""
        one_hot = ((codes == 0) | (codes == 1)).all(dim=1) & (codes.sum(dim=1) == 1)
        even = [1 / self.dim] * self.dim
        masses = torch.tensor(self.probabilities or even, dtype=codes.dtype, device=codes.device).log()
        return torch.where(one_hot, masses[codes.argmax(dim=1)], -math.inf)


class FromSampler(Prior):
    """Any distribution given by a function that samples it.

    Parameters
    ----------
    sampler : callable
        Called as ``sampler(n)`` and returns a tensor (n, dim). If it has parameters named `labels` or `noise` it is given
        the labels (int64 (n,), -1 for the whole prior, or None) and the `Noise` to draw from. Without the latter it draws
        from torch itself, whose global generators are seeded from the `Noise` for the call.
    dim : int
        Number of code dimensions.
    num_labels : int, optional
        Number of labels, if the sampler takes labels.

    Raises
    ------
    InputError
        If `num_labels` is given for a sampler without a `labels` parameter, or the sampler returns something else.
    """

    def __init__(self, sampler: Callable[..., Any], dim: int, num_labels: int | None = None) -> None:
        super().__init__(dim, num_labels)
        self._sampler = sampler
        self._accepts = {"labels", "noise"} & set(inspect.signature(sampler).parameters)
        if num_labels is not None and "labels" not in self._accepts:
            raise InputError("sampler has no parameter 'labels', so the prior cannot have num_labels")

    def _sample(self, n: int, labels: Tensor | None, noise: Noise) -> Tensor:
        offered: dict[str, Any] = {"labels": labels, "noise": noise}
        with nullcontext() if "noise" in self._accepts else seeded(noise.seed(), noise.device):
            codes = self._sampler(n, **{name: offered[name] for name in self._accepts})
        if not isinstance(codes, Tensor):
            raise InputError(f"sampler returned a {type(codes).__name__}; expected a tensor of shape {(n, self.dim)}")
        if tuple(codes.shape) != (n, self.dim):
            raise InputError(f"sampler returned shape {tuple(codes.shape)}; expected {(n, self.dim)}")
        return codes.to(device=noise.device, dtype=torch.float32)
