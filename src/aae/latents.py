"""The components of the code: each with its prior, posterior and discriminator; and the heads of clusters that join two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.errors import InputError
from aae.networks import Corruption, takes_noise
from aae.noise import Noise
from aae.posteriors import Posterior, Softmax
from aae.priors import Prior

Codes = dict[str, Tensor]
"""Codes by latent name, each (batch, dim of the latent)."""


class Latent(nn.Module):
    """One named component of the code: its prior p, its posterior q and the discriminator that matches them.

    Parameters
    ----------
    prior : Prior
        Distribution to impose on the aggregated posterior.
    posterior : Posterior
        Head on the encoder's features, of the prior's dimension.
    discriminator : torch.nn.Module, optional
        Maps codes (batch, dim), followed by the one-hot label (batch, num_labels + 1) if `label_informed`, to logits
        (batch, 1). Not needed where something else matches the posterior to the prior (the VAE). If its ``forward`` has a
        parameter `noise`, it is given the run's `Noise` at training time.
    label_informed : bool
        Whether the discriminator sees the label and the prior is sampled per label (section 2.3).
    discriminator_noise : float
        Standard deviation of the Gaussian noise on the discriminator's input at training time, 0 or larger. Not in the
        paper: it blunts a discriminator that wins.
    add_log_prior : bool
        Whether log p(z) is added to the discriminator's logit, which is log p(z) - log q(z) at its best: the network then
        learns q(z) alone. Not in the paper.

    Raises
    ------
    InputError
        If the dimensions differ, the prior cannot be sampled per label although `label_informed` requires it, or its
        density is not known although `add_log_prior` requires it.
    """

    def __init__(
        self,
        prior: Prior,
        posterior: Posterior,
        discriminator: nn.Module | None = None,
        *,
        label_informed: bool = False,
        discriminator_noise: float = 0.0,
        add_log_prior: bool = False,
    ) -> None:
        super().__init__()
        if prior.dim != posterior.dim:
            raise InputError(
                f"prior has {prior.dim} dimensions and posterior {posterior.dim}; expected the same number"
            )
        if label_informed and prior.num_labels is None:
            raise InputError("label_informed needs a prior that can be sampled per label (made with num_labels)")
        if add_log_prior and not prior.density_everywhere:
            raise InputError("add_log_prior needs a prior whose density is known, and larger than 0, everywhere")
        self.prior = prior
        self.posterior = posterior
        self.discriminator = discriminator
        self.label_informed = label_informed
        self.corruption = Corruption(discriminator_noise)
        self.add_log_prior = add_log_prior
        self._discriminator_takes_noise = discriminator is not None and takes_noise(discriminator)

    @property
    def width(self) -> int:
        """Number of labels, which may be fewer than clusters, of q(y|x); of dimensions of another latent."""
        return self.posterior.num_groups if isinstance(self.posterior, Softmax) else self.prior.dim

    def discriminate(self, codes: Tensor, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Compute the discriminator's logits (batch,) for codes (batch, dim); larger means more like the prior.

        For a label-informed latent `labels` (batch,) are one-hot encoded with one extra class for unlabelled (-1).

        Raises
        ------
        InputError
            If there is no discriminator, or it sees labels and there are none.
        """
        if self.discriminator is None:
            raise InputError("this latent has no discriminator")
        log_prior = self.prior.log_prob(codes) if self.add_log_prior else None
        codes = self.corruption(codes, noise)
        if self.label_informed:
            assert self.prior.num_labels is not None
            if labels is None:
                raise InputError("the discriminator is label-informed; expected labels, -1 where unlabelled")
            unlabelled = self.prior.num_labels
            one_hot = F.one_hot(torch.where(labels < 0, unlabelled, labels), unlabelled + 1)
            codes = torch.cat([codes, one_hot.to(codes.dtype)], dim=1)
        takes = self._discriminator_takes_noise
        logits: Tensor = self.discriminator(codes, noise) if takes else self.discriminator(codes)
        logits = logits.float().squeeze(1)
        return logits if log_prior is None else logits + log_prior


class ClusterHeads(nn.Module):
    """The matrix W_C, whose rows are the heads of the clusters: the representation is y W_C + z (section 7).

    Parameters
    ----------
    heads : Tensor, (categories, dim)
        W_C, or what it starts from.
    learned : bool
        Whether training moves the heads.
    margin : float
        eta, the distance below which two learned heads repel each other; 0 or larger.

    Attributes
    ----------
    weight : Tensor, (categories, dim)
        W_C.
    """

    weight: Tensor

    def __init__(self, heads: Tensor, *, learned: bool = True, margin: float = 0.0) -> None:
        super().__init__()
        self.margin = margin
        if learned:
            self.weight = nn.Parameter(heads)
        else:
            self.register_buffer("weight", heads)

    def forward(self, label: Tensor, style: Tensor) -> Tensor:
        """Map q(y|x) (batch, categories) and style (batch, dim) to the representation (batch, dim)."""
        return label @ self.weight + style
