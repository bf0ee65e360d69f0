"""Losses as functions of tensors, the paper's and ours. All are means over the batch, in nats where they are likelihoods."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["sum", "mean"]
Objective = Literal["adversarial", "least-squares", "hinge", "wasserstein"]
"""What discriminators and generator lower: the paper's, or as in Mao et al. 2017, Lim and Ye 2017, Arjovsky et al. 2017."""


def half_squared_error(
    reconstruction: Tensor, rows: Tensor, reduction: Reduction = "sum", observed: Tensor | None = None
) -> Tensor:
    """Compute half the Euclidean error, 0.5 * sum over dimensions of (x - x_hat)^2 (A.2.1, A.3), mean over the batch.

    Parameters
    ----------
    reconstruction, rows : Tensor, (batch, dim)
        Decoder output and the uncorrupted input.
    reduction : {"sum", "mean"}
        Sum over the dimensions of a row as the paper's learning rates need it, or mean over them.
    observed : Tensor of bool, (batch, dim), optional
        Which values are known; others add nothing, and the mean is over these.

    Returns
    -------
    Tensor, ()
        The loss.
    """
    if observed is not None:
        squared = torch.where(observed, reconstruction - rows, 0.0).square().sum()
        return 0.5 * squared / (len(rows) if reduction == "sum" else observed.sum().clamp(min=1))
    count = len(rows) if reduction == "sum" else rows.numel()
    return 0.5 / count * F.mse_loss(reconstruction, rows, reduction="sum")


def bernoulli_error(logits: Tensor, rows: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Compute the cross-entropy of pixels in [0, 1] under a Bernoulli decoder, mean over the batch.

    Parameters
    ----------
    logits : Tensor, (batch, dim)
        Decoder output before the sigmoid.
    rows : Tensor, (batch, dim)
        The uncorrupted input, in [0, 1].
    reduction : {"sum", "mean"}
        Over the dimensions of a row.

    Returns
    -------
    Tensor, ()
        The loss; with ``"sum"`` -log p(x|z) in nats.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, rows, reduction="none")
    return cross_entropy.sum(1).mean() if reduction == "sum" else cross_entropy.mean()


def negative_binomial_log_prob(counts: Tensor, log_means: Tensor, log_dispersion: Tensor) -> Tensor:
    """Compute the logarithm of the negative binomial distribution, whose variance is mean + mean^2 / theta.

    Parameters
    ----------
    counts : Tensor, (batch, columns)
        0 or larger.
    log_means : Tensor, (batch, columns)
        Logarithms of the means.
    log_dispersion : Tensor, (columns,)
        Logarithm of theta.

    Returns
    -------
    Tensor, (batch, columns)
        In nats.
    """
    theta = log_dispersion.exp()
    log_sum = torch.logaddexp(log_dispersion.expand_as(log_means), log_means)
    log_choices = torch.lgamma(counts + theta) - torch.lgamma(theta) - torch.lgamma(counts + 1)
    return log_choices + theta * (log_dispersion - log_sum) + counts * (log_means - log_sum)


def discriminator_loss(prior_logits: Tensor, code_logits: Tensor) -> Tensor:
    """Compute -E[log D(prior sample)] - E[log(1 - D(code))] (section 1.1), both logits (batch,)."""
    return F.softplus(-prior_logits).mean() + F.softplus(code_logits).mean()


def discriminator_accuracy(prior_logits: Tensor, code_logits: Tensor, objective: Objective = "adversarial") -> Tensor:
    """Compute the fraction of prior samples and codes that are classified correctly, in [0, 1]; 0.5 is chance.

    The border is an output of 0, of 0.5 for least squares, and for the Wasserstein distance the middle of the two means.
    """
    border: float | Tensor = 0.5 if objective == "least-squares" else 0.0
    if objective == "wasserstein":
        border = 0.5 * (prior_logits.mean() + code_logits.mean())
    return 0.5 * ((prior_logits > border).float().mean() + (code_logits <= border).float().mean())


def generator_loss(code_logits: Tensor) -> Tensor:
    """Compute the non-saturating generator loss -E[log D(code)], logits (batch,)."""
    return F.softplus(-code_logits).mean()


def discriminator_objective(prior_logits: Tensor, code_logits: Tensor, objective: Objective) -> Tensor:
    """Compute the discriminator's loss from its outputs for prior samples and codes, both (batch,)."""
    if objective == "least-squares":
        return 0.5 * ((prior_logits - 1).square().mean() + code_logits.square().mean())
    if objective == "hinge":
        return F.relu(1 - prior_logits).mean() + F.relu(1 + code_logits).mean()
    if objective == "wasserstein":
        return code_logits.mean() - prior_logits.mean()
    return discriminator_loss(prior_logits, code_logits)


def generator_objective(code_logits: Tensor, objective: Objective) -> Tensor:
    """Compute the generator's loss from the discriminator's outputs for codes (batch,)."""
    if objective == "least-squares":
        return 0.5 * (code_logits - 1).square().mean()
    if objective in ("hinge", "wasserstein"):
        return -code_logits.mean()
    return generator_loss(code_logits)


def squared_slopes(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Compute the squared length (batch,) of the gradient of a function's outputs (batch,) at points (batch, dim)."""
    slopes: Tensor = torch.func.grad(lambda x: function(x).sum())(points.detach())
    return slopes.square().sum(1)


def inverse_multiquadratic_mmd(x: Tensor, y: Tensor) -> Tensor:
    r"""Estimate MMD^2 of two samples under inverse multiquadratic kernels without bias, as WAE-MMD (Tolstikhin et al. 2018).

    The kernel is the sum over c of c / (c + \|a - b\|^2), c = s {0.1, 0.2, 0.5, 1, 2, 5, 10}, where s is the mean squared
    distance of two points of `y`: 2 dim sigma^2 for a Gaussian. Its tails are heavy, so codes far from the prior move too.

    Parameters
    ----------
    x : Tensor, (n, dim)
        Codes, n at least 2.
    y : Tensor, (m, dim)
        Prior samples, m at least 2.

    Returns
    -------
    Tensor, ()
        The estimate, about 0 or a little less for equal distributions, at most 14.
    """
    with torch.autocast(x.device.type, enabled=False):
        n, m = len(x), len(y)
        xx, yy, xy = (torch.cdist(a.float(), b.float()).square() for a, b in ((x, x), (y, y), (x, y)))
        scale = (yy.detach().sum() / (m * (m - 1))).clamp(min=torch.finfo(yy.dtype).tiny)
        total = torch.zeros((), device=x.device)
        for c in (0.1 * scale, 0.2 * scale, 0.5 * scale, scale, 2 * scale, 5 * scale, 10 * scale):
            within = ((c / (c + xx)).sum() - n) / (n * (n - 1)) + ((c / (c + yy)).sum() - m) / (m * (m - 1))
            total = total + within - 2 * (c / (c + xy)).mean()
    return total


def sliced_wasserstein_loss(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Compute the mean over directions of the squared Wasserstein-2 distance of two projected samples (Kolouri et al. 2018).

    Parameters
    ----------
    x, y : Tensor, (n, dim)
        Codes and as many prior samples.
    directions : Tensor, (directions, dim)
        Of any length but 0.
    """
    with torch.autocast(x.device.type, enabled=False):
        unit = F.normalize(directions, dim=1).T
        gaps = (x.float() @ unit).sort(dim=0).values - (y.float() @ unit).sort(dim=0).values
    return gaps.square().mean()


def start_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy of q(y|x) with labels of some of the rows, a mean over all; not in the paper.

    Parameters
    ----------
    probabilities : Tensor, (batch, labels)
        q(y|x).
    labels : Tensor of int64, (batch,)
        -1 where there is none.

    Returns
    -------
    Tensor, ()
        In nats.
    """
    own = probabilities.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -torch.where(labels >= 0, own.clamp(min=torch.finfo(own.dtype).tiny).log(), 0).mean()


def classification_loss(label_logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy of q(y|x) from its logits (batch, classes) and labels (batch,) (section 5)."""
    return F.cross_entropy(label_logits, labels)


def consistency_loss(probabilities: Tensor, perturbed_logits: Tensor) -> Tensor:
    """Compute KL(q(y|x) || q(y|x + r)) in nats, mean over the batch; the first distribution is a constant (Miyato et al. 2018).

    Parameters
    ----------
    probabilities : Tensor, (batch, categories)
        q(y|x) of rows; they get no gradient.
    perturbed_logits : Tensor, (batch, categories)
        Logits of q(y|x + r), of the same rows perturbed.

    Returns
    -------
    Tensor, ()
        The divergence, 0 or larger.
    """
    target, log_q = probabilities.detach(), torch.log_softmax(perturbed_logits, 1)
    divergence: Tensor = torch.special.xlogy(target, target) - target * log_q
    return divergence.sum(1).mean()


def virtual_adversarial_direction(
    label_logits: Callable[[Tensor], Tensor],
    rows: Tensor,
    probabilities: Tensor,
    start: Tensor,
    xi: float | Tensor = 10.0,
    power_iterations: int = 1,
    follow: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Find the directions in which q(y|x) changes fastest, by the power method (Miyato et al. 2018, Algorithm 1).

    Parameters
    ----------
    label_logits : callable
        Maps rows (batch, inputs) to the logits (batch, categories) of q(y|x), the same ones whenever it is called.
    rows : Tensor, (batch, inputs)
        Where to look from.
    probabilities : Tensor, (batch, categories)
        q(y|x) of `rows`.
    start : Tensor, (batch, inputs)
        Random directions to begin with, such as standard normal numbers.
    xi : float or Tensor, (batch, 1)
        Distance at which the divergence is probed, larger than 0.
    power_iterations : int
        Steps, 1 or larger.
    follow : callable, optional
        What becomes of the directions (batch, inputs) after each step, such as `along_covariance`.

    Returns
    -------
    Tensor, (batch, inputs)
        Directions of length 1 (0 where the divergence does not change), without a gradient.
    """

    def divergence(direction: Tensor) -> Tensor:
        return len(rows) * consistency_loss(probabilities, label_logits(rows + xi * direction))  # each row by itself

    def step(vectors: Tensor) -> Tensor:
        return _unit(vectors) if follow is None else _unit(follow(_unit(vectors)))

    direction = step(start)
    for _ in range(power_iterations):
        direction = step(torch.func.grad(divergence)(direction))
    return direction.detach()


def along_covariance(vectors: Tensor, sample: Tensor, share: float) -> Tensor:
    """Compute (1 - w) v + w S v / s, with S the covariance of a sample of rows and s the mean of its diagonal.

    What is left is less of the directions in which rows hardly differ. w is less than its share c where S says little: w =
    c max(0, 1 - 10 r) min(1, d - 1), with r the part of S that Ledoit and Wolf (2004) take for noise, and d = (tr S)^2 / tr S^2
    the number of directions in which rows vary: along a single one classes would be crossed.

    Parameters
    ----------
    vectors : Tensor, (batch, inputs)
        v.
    sample : Tensor, (n, inputs)
        Rows that S is of.
    share : float
        c, from 0 to 1.

    Returns
    -------
    Tensor, (batch, inputs)
        The sum; `vectors` themselves where w is 0.
    """
    n, dim = sample.shape
    tiny = torch.finfo(torch.float32).tiny
    centred = (sample - sample.mean(0)).float()
    centred = centred / (centred.square().sum() / n / dim).clamp(min=tiny).sqrt()  # now s = 1
    products = centred @ centred.T
    squares = products.square().sum() / n**2  # the sum of the squares of S
    noise = (products.diagonal().square().sum() / n - squares) / n
    beyond_round = squares - dim  # 0 where all directions are equal
    certain = (1 - 10 * noise / beyond_round.clamp(min=tiny)).clamp(0, 1) * (beyond_round > 0)
    several = (dim**2 / squares.clamp(min=tiny) - 1).clamp(0, 1)
    weight = share * certain * several
    return vectors + weight * (vectors @ centred.T @ centred / n - vectors)


def _unit(vectors: Tensor) -> Tensor:
    """Scale each row (batch, dim) to length 1, in steps that neither overflow nor vanish."""
    tiny = torch.finfo(vectors.dtype).tiny
    vectors = vectors / vectors.abs().amax(1, keepdim=True).clamp(min=tiny)
    unit: Tensor = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=tiny)
    return unit


def entropy(probabilities: Tensor) -> Tensor:
    """Compute the entropy in nats of distributions over categories (..., categories), as (...).

    Its gradient is finite where a probability is 0, which softmax has for logits that are a hundred or more below the largest;
    that of `torch.special.entr` is not, and a weight behind it would be nan from then on.
    """
    tiny = torch.finfo(probabilities.dtype).tiny
    return -(probabilities * probabilities.clamp(min=tiny).log()).sum(-1)


def information_loss(probabilities: Tensor, marginal: float = 2.0, prior: Sequence[float] | None = None) -> Tensor:
    """Compute mu KL(mean of q(y|x) || p(y)) + mean of H(q(y|x)) in nats: little where each row is sure and all labels are used.

    With an even p(y) this is, up to a constant, -(mu H(mean of q(y|x)) - mean of H(q(y|x))): with mu = 1 minus the mutual
    information of row and label (Krause et al. 2010; Hu et al. 2017, IMSAT).

    Parameters
    ----------
    probabilities : Tensor, (batch, categories)
        q(y|x) of every row.
    marginal : float
        mu, 0 or larger.
    prior : sequence of float, optional
        p(y), by default the same for each category.

    Returns
    -------
    Tensor, ()
        The loss, 0 or larger.
    """
    mean = probabilities.mean(0)
    even = [1 / probabilities.shape[1]] * probabilities.shape[1]
    expected = torch.cat([mean.new_full((1,), share) for share in prior or even])
    expected = expected.clamp(min=torch.finfo(mean.dtype).tiny)
    divergence = -entropy(mean) - (mean * expected.log()).sum()
    return marginal * divergence + entropy(probabilities).mean()


def neighbour_graph_loss(places: Tensor, neighbours: Tensor, a: float, b: float, negatives: float) -> Tensor:
    """Compute the cross-entropy of the graph of neighbours and that of the map, as UMAP has it (McInnes et al. 2018).

    Two places at a distance d are linked with probability w(d) = 1 / (1 + a d^(2 b)). A row and its neighbour should be, and rows
    that have nothing to do with each other should not: the loss is the mean of -log w over the pairs plus `negatives` times
    that of -log(1 - w) over all other pairs of the two sets.

    Parameters
    ----------
    places : Tensor, (batch, dim)
        Places of rows on the map.
    neighbours : Tensor, (batch, dim)
        That of one neighbour of each.
    a, b : float
        Of w, larger than 0.
    negatives : float
        How many pairs of other rows stand against each pair of neighbours, 0 or larger.

    Returns
    -------
    Tensor, ()
        The loss, 0 or larger.
    """
    squared = (places[:, None] - neighbours).square().sum(2)  # (batch, batch)
    near = a * (squared.diagonal() + 1e-6).pow(b)
    far = torch.log1p(1 / (a * (squared + 1e-3).pow(b)))
    n = len(places)
    repulsion = (far.sum() - far.diagonal().sum()) / max(1, n * (n - 1))
    return torch.log1p(near).mean() + negatives * repulsion


def normalized_marginal_entropy(probabilities: Tensor, prior: Sequence[float] | None = None) -> Tensor:
    """Compute the entropy of the mean of q(y|x) (batch, categories) over the batch, as a fraction of that of the prior.

    About 1 where the categories are used as often as under the prior, 0 where one is used for everything: which is collapse.

    Parameters
    ----------
    probabilities : Tensor, (batch, categories)
        q(y|x) of every row.
    prior : sequence of float, optional
        Probability of every category, by default the same for each. Where one category has all of it the result is 1.

    Returns
    -------
    Tensor, ()
        The fraction.
    """
    found = entropy(probabilities.mean(0))
    expected = sum(-p * math.log(p) for p in prior if p > 0) if prior else math.log(probabilities.shape[1])
    return found / expected if expected > 0 else torch.ones_like(found)


def repulsion(heads: Tensor, threshold: float) -> Tensor:
    """Compute the loss that keeps cluster heads a margin apart: the sum of max(0, eta - distance) over all pairs (section 7).

    Parameters
    ----------
    heads : Tensor, (categories, dim)
        W_C.
    threshold : float
        eta, the distance beyond which a pair adds nothing, 0 or larger.

    Returns
    -------
    Tensor, ()
        The loss.
    """
    squared = (heads[:, None] - heads).square().sum(2)  # (categories, categories); heads in one place get no gradient
    distances = squared.clamp(min=torch.finfo(heads.dtype).tiny).sqrt()
    return F.relu(threshold - distances).triu(1).sum()


def gaussian_kl(mean: Tensor, log_std: Tensor, prior_std: float) -> Tensor:
    """Compute KL(N(mean, exp(log_std)^2) || N(0, prior_std^2)) in nats, summed over dimensions, mean over the batch (Eq. 2).

    Parameters
    ----------
    mean, log_std : Tensor, (batch, dim)
        Moments of the Gaussian posterior.
    prior_std : float
        Standard deviation of the prior, larger than 0.

    Returns
    -------
    Tensor, ()
        The divergence.
    """
    variance_ratio = torch.exp(2 * (log_std - math.log(prior_std)))
    kl = 0.5 * (variance_ratio + (mean / prior_std).square() - 1) - (log_std - math.log(prior_std))
    return kl.sum(1).mean()


def monte_carlo_kl(log_std: Tensor, prior_log_prob: Tensor) -> Tensor:
    """Estimate KL(q(z|x) || p(z)) for a Gaussian posterior and any prior with a density (Eq. 2).

    The entropy of q(z|x) is taken in closed form; the cross-entropy with the prior from one drawn code per row.

    Parameters
    ----------
    log_std : Tensor, (batch, dim)
        Log standard deviation of the Gaussian posterior.
    prior_log_prob : Tensor, (batch,)
        log p(z) of one code z per row, drawn from the posterior.

    Returns
    -------
    Tensor, ()
        The estimate in nats, mean over the batch.
    """
    entropy = log_std.sum(1) + 0.5 * log_std.shape[1] * (1 + math.log(2 * math.pi))
    return (-entropy - prior_log_prob).mean()


def maximum_mean_discrepancy(x: Tensor, y: Tensor, bandwidths: Sequence[float]) -> Tensor:
    r"""Compute the maximum mean discrepancy (MMD) of two samples, the loss of Li, Swersky and Zemel (2015).

    The distance between the mean embeddings of the two samples under the kernel
    k(a, b) = sum over the bandwidths s of exp(-\|a - b\|^2 / (2 s)):
    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y), where the means run over all pairs, those of a point with itself
    included (V-statistic). The square root is what is minimized: it keeps the gradient large near the minimum.

    Parameters
    ----------
    x : Tensor, (n, dim)
        First sample.
    y : Tensor, (m, dim)
        Second sample.
    bandwidths : sequence of float
        s of each kernel, larger than 0, in squared units of the samples, as in Li et al.

    Returns
    -------
    Tensor, ()
        The MMD, from 0 (equal samples) to sqrt(2 * len(bandwidths)). Exactly 0, with a gradient of 0, where MMD^2 is below
        what rounding leaves of it.
    """
    both = torch.cat([x, y])
    both = both - both.detach().mean(0)  # distances stay as they are, and lose fewer digits below
    weights = torch.cat([x.new_full((len(x),), 1 / len(x)), y.new_full((len(y),), -1 / len(y))])
    with torch.autocast(both.device.type, enabled=False):  # differences of large numbers
        products = both @ both.T
        norms = products.diagonal()
        squared_distances = (norms[:, None] + norms - 2 * products).clamp(min=0)
        means = [weights @ torch.exp(squared_distances / (-2 * s)) @ weights for s in bandwidths]
    squared = torch.stack(means).sum()
    resolved = squared > len(bandwidths) * torch.finfo(squared.dtype).eps
    return torch.where(resolved, squared, 0.0).sqrt()


def moment_matching_loss(codes: Tensor, prior_samples: Tensor) -> Tensor:
    """Compute how far mean and covariance of codes are from those of prior samples: the squared (Frobenius) distances.

    Parameters
    ----------
    codes : Tensor, (n, dim)
        Codes, n at least 2.
    prior_samples : Tensor, (m, dim)
        Samples of the prior, m at least 2.

    Returns
    -------
    Tensor, ()
        ``|mean - mean'|^2 + |covariance - covariance'|^2``, covariances with n - 1 in the denominator.
    """
    means = codes.mean(0) - prior_samples.mean(0)
    return means.square().sum() + (_covariance(codes) - _covariance(prior_samples)).square().sum()


def _covariance(x: Tensor) -> Tensor:
    """Compute what ``x.T.cov()`` does, which reads numbers from tensors: a step with it could not be captured."""
    centred = x - x.mean(0)
    with torch.autocast(x.device.type, enabled=False):
        return centred.T @ centred / (len(x) - 1)
