"""Parametric t-SNE (van der Maaten 2009), the non-parametric neighbour that section 7 sets itself apart from made parametric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from aae import losses
from aae.baselines.autoencoder import Autoencoder
from aae.errors import InputError
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder, Model
from aae.training.phases import Batch, Phase
from aae.training.settings import OptimizerSettings

if TYPE_CHECKING:
    from aae.recipes.schema import Recipe

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.001)  # our choice, of both phases
BISECTIONS = 25  # of the logarithm of the width of each Gaussian: to a millionth


@torch.no_grad()
def affinities(rows: Tensor, perplexity: float = 30.0) -> Tensor:
    """Compute which rows are neighbours: p(i, j) of t-SNE, symmetric and with sum 1.

    Parameters
    ----------
    rows : Tensor, (n, inputs)
        n at least 3.
    perplexity : float
        Of the neighbours of each row, larger than 1 and smaller than n - 1: the width of its Gaussian follows from it.

    Returns
    -------
    Tensor, (n, n)
        The probabilities of pairs, 0 on the diagonal.

    Raises
    ------
    InputError
        If the perplexity is out of range.
    """
    n = len(rows)
    if not 1 < perplexity < n - 1:
        raise InputError(f"perplexity is {perplexity:g}; expected between 1 and {n - 1} for {n} rows")
    with torch.autocast(rows.device.type, enabled=False):
        squared = torch.cdist(rows.float(), rows.float()).square()
    itself = torch.eye(n, dtype=torch.bool, device=rows.device)
    others = squared.masked_fill(itself, torch.inf)
    nearest = others.amin(1, keepdim=True)  # taken off: nothing underflows
    scale = (squared.sum(1, keepdim=True) / (n - 1)).clamp(min=torch.finfo(squared.dtype).tiny)
    gaps = (others - nearest) / scale
    low, high = torch.full_like(scale, math.log(1e-4)), torch.full_like(scale, math.log(1e8))  # of the inverse width
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        p = torch.softmax(-gaps * middle.exp(), 1)
        wide = torch.special.entr(p).sum(1, keepdim=True) > math.log(perplexity)
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    p = torch.softmax(-gaps * low.exp(), 1)
    return (p + p.T) / (2 * n)


def neighbour_loss(pairs: Tensor, codes: Tensor) -> Tensor:
    """Compute KL(P || Q) in nats, where q(i, j) is a Student t distribution of the distance of two codes.

    Parameters
    ----------
    pairs : Tensor, (n, n)
        P, see `affinities`.
    codes : Tensor, (n, dim)
        A map of the rows. The distribution has dim - 1 degrees of freedom, at least 1: the more dimensions, the less crowded.
    """
    freedom = max(codes.shape[1] - 1, 1)
    norms = codes.square().sum(1)
    squared = (norms[:, None] + norms - 2 * codes @ codes.T).clamp(min=0)
    log_kernel = -(freedom + 1) / 2 * torch.log1p(squared / freedom)
    itself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    log_q = log_kernel - torch.logsumexp(log_kernel.masked_fill(itself, -torch.inf).flatten(), 0)
    divergence: Tensor = torch.special.xlogy(pairs, pairs) - pairs * log_q
    return divergence.sum()


def neighbour_phases(
    model: AdversarialAutoencoder, perplexity: float = 30.0, reduction: Reduction = "sum"
) -> list[Phase]:
    """Create the phases of parametric t-SNE, with a decoder that learns to read the map.

    Parameters
    ----------
    model : AdversarialAutoencoder
        With the latent ``style``, its map.
    perplexity : float
        Of the neighbours of each row in its mini-batch.
    reduction : {"sum", "mean"}
        Of the reconstruction error over the dimensions of a row.

    Returns
    -------
    list of Phase
        ``neighbours``, which moves the encoder, and ``reconstruction``, which moves the decoder alone.
    """

    def neighbours(batch: Batch) -> Tensor:
        batch.codes = model.encode(batch.rows, batch.noise)
        rows, codes = batch.gather(batch.rows), batch.gather(batch.codes["style"])
        with torch.autocast(codes.device.type, enabled=False):
            return neighbour_loss(affinities(rows, perplexity), codes)

    def reconstruction(batch: Batch) -> Tensor:
        assert batch.codes is not None
        codes = {name: code.detach() for name, code in batch.codes.items()}
        return losses.half_squared_error(model.decode(codes), batch.rows, reduction)

    return [
        Phase("neighbours", model.encoder_parameters(), neighbours, OPTIMIZER),
        Phase("reconstruction", model.decoder_parameters(), reconstruction, OPTIMIZER),
    ]


class TSNE(Autoencoder):
    """Parametric t-SNE as a recipe's method: the networks of the plain autoencoder, trained in another way."""

    name = "tsne"
    takes = frozenset({"perplexity"})

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the phases of the map and of the decoder that reads it."""
        return neighbour_phases(cast(AdversarialAutoencoder, model), recipe.model.perplexity, recipe.training.reduction)
