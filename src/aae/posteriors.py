"""Posteriors q(z|x): the heads on top of the encoder's features (section 2).

A head maps features (batch, features) to codes (batch, dim). With `noise` it draws a code; without, it gives the code that
stands for x: the mean of a Gaussian posterior, f(x, 0) for the universal approximator.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aae.errors import InputError
from aae.networks import Dense
from aae.noise import Noise


class Posterior(nn.Module):
    """Base of all heads.

    Parameters
    ----------
    features : int
        Number of encoder features.
    dim : int
        Number of code dimensions.
    batch_norm : bool
        Whether the head's linear layer is followed by batch normalization (A.2.2, A.3).
    """

    noise_inputs = 0
    """Number of extra noise features the encoder must take beside x."""

    def __init__(self, features: int, dim: int, *, outputs: int | None = None, batch_norm: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.layer = Dense(features, dim if outputs is None else outputs, batch_norm=batch_norm)

    def forward(self, features: Tensor, noise: Noise | None = None) -> Tensor:
        """Map features (batch, features) to codes (batch, dim), float32."""
        codes: Tensor = self.layer(features)
        return codes.float()


class Deterministic(Posterior):
    """q(z|x) is a point: the code is a linear function of the features."""


class GaussianPosterior(Posterior):
    """q(z|x) = N(mu(x), sigma(x)^2), drawn by the reparametrization trick z = mu + sigma * epsilon."""

    def __init__(self, features: int, dim: int, *, batch_norm: bool = False) -> None:
        super().__init__(features, dim, outputs=2 * dim, batch_norm=batch_norm)

    def moments(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log standard deviation, each (batch, dim), float32."""
        mean, log_std = self.layer(features).float().chunk(2, dim=1)
        return mean, log_std

    def forward(self, features: Tensor, noise: Noise | None = None) -> Tensor:
        """Draw one code per row (batch, dim), or give the mean without `noise`."""
        mean, log_std = self.moments(features)
        return mean if noise is None else mean + torch.exp(log_std) * noise.normal(*mean.shape)


class UniversalApproximator(Posterior):
    """q(z|x) of any shape: z = f(x, eta) with Gaussian noise eta that enters the encoder beside x.

    Parameters
    ----------
    features, dim, batch_norm
        As for every head.
    noise_inputs : int
        Number of dimensions of eta, 1 or larger.
    """

    def __init__(self, features: int, dim: int, *, noise_inputs: int = 10, batch_norm: bool = False) -> None:
        super().__init__(features, dim, batch_norm=batch_norm)
        if noise_inputs < 1:
            raise InputError(f"noise_inputs is {noise_inputs}; expected 1 or larger")
        self.noise_inputs = noise_inputs


class Softmax(Posterior):
    """q(y|x): a softmax over the categories; the output itself, not a sample, is the code."""

    @property
    def num_labels(self) -> int:
        """Number of labels that it distinguishes."""
        return self.dim

    def logits(self, features: Tensor) -> Tensor:
        """Compute the unnormalized log-probabilities (batch, dim), float32."""
        return super().forward(features)

    def label_logits(self, features: Tensor) -> Tensor:
        """Compute the logits (batch, num_labels) of the labels: here the categories are the labels."""
        return self.logits(features)

    def label_probabilities(self, codes: Tensor) -> Tensor:
        """Compute the probabilities (batch, num_labels) of the labels from codes (batch, dim)."""
        return codes

    @property
    def num_groups(self) -> int:
        """Number of labels, which a sum over clusters knows before clusters are assigned to them."""
        return self.dim

    def grouped(self, codes: Tensor) -> Tensor:
        """Compute the probabilities (batch, num_groups) of the labels from codes (batch, dim)."""
        return codes

    def label_codes(self, labels: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute one-hot codes (n, dim) that stand for labels (n,), drawn with `noise` where a label has several."""
        return torch.nn.functional.one_hot(labels, self.dim).float()

    def forward(self, features: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the probabilities (batch, dim)."""
        return torch.softmax(self.logits(features), dim=1)


class ClusteredSoftmax(Softmax):
    """q(y|x) as a sum over clusters: a softmax over clusters, each of which belongs to one label once they are assigned.

    Not in the paper. Until `assign` is called the clusters themselves are the labels.

    Parameters
    ----------
    features : int
        Number of encoder features.
    clusters : int
        Number of clusters, at least `labels`; the code has so many dimensions.
    labels : int
        Number of labels, 1 or larger.
    shares : sequence of float, optional
        p(y) of each label, by default the same for all.
    batch_norm : bool
        As for every head.

    Attributes
    ----------
    members : Tensor, (labels, clusters)
        1 where a cluster belongs to a label, 0 elsewhere; all 0 until clusters are assigned.
    sizes : Tensor, (clusters,)
        Fraction of the training rows in each cluster when they were assigned.
    """

    members: Tensor
    sizes: Tensor

    def __init__(
        self,
        features: int,
        clusters: int,
        labels: int,
        shares: Sequence[float] | None = None,
        *,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(features, clusters, batch_norm=batch_norm)
        if not 1 <= labels <= clusters:
            raise InputError(f"clusters are {clusters}; expected at least one for each of {labels} labels")
        self.register_buffer("members", torch.zeros(labels, clusters))
        self.register_buffer("sizes", torch.zeros(clusters))
        self.shares = shares
        self.assigned = False

    @property
    def num_labels(self) -> int:
        """Number of labels that it distinguishes: of clusters, until they are assigned."""
        return len(self.members) if self.assigned else self.dim

    def assign(self, labels: Tensor, sizes: Tensor) -> None:
        """Let clusters belong to labels.

        Parameters
        ----------
        labels : Tensor of int64, (clusters,)
            Label of each cluster, every label at least once.
        sizes : Tensor, (clusters,)
            Fraction of the rows in each cluster.
        """
        self.members.copy_(torch.nn.functional.one_hot(labels, len(self.members)).T)
        self.sizes.copy_(sizes)
        self.assigned = True

    def label_logits(self, features: Tensor) -> Tensor:
        """Compute the log-probabilities (batch, num_labels) of the labels, the logarithm of a sum over their clusters."""
        if not self.assigned:
            return self.logits(features)
        log_q = torch.log_softmax(self.logits(features), dim=1)
        return torch.logsumexp(log_q[:, None] + self.members.clamp(min=torch.finfo(log_q.dtype).tiny).log(), dim=2)

    def label_probabilities(self, codes: Tensor) -> Tensor:
        """Compute the probabilities (batch, num_labels) of the labels from those of the clusters (batch, dim)."""
        return self.grouped(codes) if self.assigned else codes

    @property
    def num_groups(self) -> int:
        """Number of labels."""
        return len(self.members)

    def grouped(self, codes: Tensor) -> Tensor:
        """Compute the probabilities (batch, num_groups) of the labels, all 0 until clusters are assigned to them."""
        return codes @ self.members.T

    def label_codes(self, labels: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute one-hot codes (n, dim) of clusters of the labels (n,): the largest, or with `noise` one drawn by size."""
        if not self.assigned:
            return super().label_codes(labels, noise)
        weights = (self.members * (self.sizes + torch.finfo(self.sizes.dtype).eps))[labels]
        if noise is not None:
            weights = weights.log() - (-noise.uniform(len(labels), self.dim).clamp(min=1e-20).log()).log()  # Gumbel
        return torch.nn.functional.one_hot(weights.argmax(1), self.dim).float()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.assigned = bool(self.members.any())
