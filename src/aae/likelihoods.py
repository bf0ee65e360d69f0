"""p(x|z) of the columns of a table by their kinds: numbers, yes or no, categories and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.losses import Reduction, negative_binomial_log_prob
from aae.scaling import Scaling

LEAST_LOG_VARIANCE = math.log(1e-3)  # of scaled numbers: a column that is decoded exactly does not outweigh all others
LARGEST_LOG = 15.0  # of a mean count; e^15 is 3.3 million
LARGEST_DISPERSION_LOG = 10.0
KINDS = ("numerical", "boolean", "categorical", "count")


class ColumnLikelihood(nn.Module):
    """p(x|z) as a product over columns, whose parameters the decoder's outputs are.

    ================ ============================================= ==================================================
    kind             p(x|z)                                        the decoder's outputs
    ================ ============================================= ==================================================
    ``numerical``    Gaussian, with a variance for each column     the mean of the scaled value
    ``boolean``      Bernoulli                                     the logit
    ``categorical``  categorical                                   a logit for each category
    ``count``        negative binomial, with a dispersion for      the logarithm of the mean, relative to that of the
                     each column                                   training rows
    ================ ============================================= ==================================================

    Variances and dispersions are learnt. Where all columns are counts (`sized`) the means of a row add up to its total, as in
    single-cell models (Lopez et al. 2018), and the encoder sees rows brought to one total, so that the code does not say how
    much was counted.

    Parameters
    ----------
    kinds : sequence of str
        Of each column, one of ``KINDS``.
    levels : sequence of int
        How many inputs each column has: the number of its categories, otherwise 1.

    Attributes
    ----------
    log_variance : Parameter, (numbers,)
        Of the scaled numbers.
    log_dispersion : Parameter, (counts,)
        The logarithm of theta: the variance of a count is mean + mean^2 / theta.
    sized : bool
        Whether the total of a row is known to its likelihood.
    """

    numbers: Tensor
    booleans: Tensor
    categories: Tensor
    counts: Tensor
    count_shift: Tensor
    count_gain: Tensor
    count_log_mean: Tensor
    log_total: Tensor
    _order: Tensor
    _input_order: Tensor

    def __init__(self, kinds: Sequence[str], levels: Sequence[int]) -> None:
        super().__init__()
        ends = np.concatenate([[0], np.cumsum(levels)]).tolist()
        self.kinds, self.width = tuple(kinds), ends[-1]
        self.sized = set(kinds) == {"count"}
        # Columns with as many categories lie side by side, so that they are computed together.
        order = sorted(range(len(kinds)), key=lambda k: (KINDS.index(kinds[k]), levels[k]))
        places = {kind: [p for k in order if kinds[k] == kind for p in range(ends[k], ends[k + 1])] for kind in KINDS}
        sizes = Counter(levels[k] for k in order if kinds[k] == "categorical")
        self._sizes = [(columns, size) for size, columns in sizes.items()]
        for name, kind in zip(("numbers", "booleans", "categories", "counts"), KINDS, strict=True):
            self.register_buffer(name, torch.tensor(places[kind], dtype=torch.int64), persistent=False)
        self.register_buffer("_order", torch.tensor(np.argsort(order), dtype=torch.int64), persistent=False)
        inputs = [place for kind in KINDS for place in places[kind]]
        self.register_buffer("_input_order", torch.tensor(np.argsort(inputs), dtype=torch.int64), persistent=False)
        number, count = len(places["numerical"]), len(places["count"])
        for name in ("count_shift", "count_gain", "count_log_mean"):
            self.register_buffer(name, torch.zeros(count, dtype=torch.float32) + (name == "count_gain"))
        self.register_buffer("log_total", torch.tensor([0.0, 1.0], dtype=torch.float32))  # mean and standard deviation
        self.log_variance = nn.Parameter(torch.zeros(number, dtype=torch.float32))
        self.log_dispersion = nn.Parameter(torch.zeros(count, dtype=torch.float32))

    @torch.no_grad()
    def measure(self, scaling: Scaling, rows: Iterable[Tensor]) -> None:
        """Set where counts lie, from parts of the scaled training rows (n, width or more) and their scaling."""
        if not len(self.counts):
            return
        assert scaling.shift is not None
        assert scaling.gain is not None
        columns = torch.tensor([k for k, kind in enumerate(self.kinds) if kind == "count"], device=scaling.shift.device)
        self.count_shift.copy_(scaling.shift[columns])
        self.count_gain.copy_(scaling.gain[columns])
        means, squares, logs, n = torch.zeros(len(self.counts), dtype=torch.float64), 0.0, 0.0, 0
        for part in rows:
            counts = self._counts(part.to(self.counts.device)).double()
            log_totals = counts.sum(1).clamp(min=1).log()
            means += counts.sum(0).cpu()
            logs, squares, n = logs + float(log_totals.sum()), squares + float(log_totals.square().sum()), n + len(part)
        self.count_log_mean.copy_((means / n).clamp(min=1e-4).log())
        mean = logs / n
        self.log_total.copy_(torch.tensor([mean, math.sqrt(max(0.0, squares / n - mean**2))]))

    def _by_column(self, values: Tensor) -> list[Tensor]:
        """Cut what belongs to categories out of (batch, width): (batch, columns, categories), by their number of categories."""
        chosen = values.index_select(1, self.categories)
        parts = torch.split(chosen, [math.prod(size) for size in self._sizes], 1)
        return [part.reshape(len(part), *size) for part, size in zip(parts, self._sizes, strict=True)]

    def totals(self, rows: Tensor) -> Tensor:
        """Compute the logarithm of the total count (batch, 1) of scaled rows."""
        return self._counts(rows).sum(1, keepdim=True).clamp(min=1).log()

    def relative(self, rows: Tensor) -> Tensor:
        """Bring scaled rows (batch, width) of counts to one total, so that what is encoded is not how much was counted."""
        return relative_counts(rows, self.count_shift, self.count_gain, self.log_total[0])

    def _counts(self, rows: Tensor) -> Tensor:
        """Undo the scaling of counts (batch, counts)."""
        bent = rows.index_select(1, self.counts) / self.count_gain + self.count_shift
        return torch.sinh(bent.clamp(max=LARGEST_LOG + 1)).clamp(min=0)

    def _log_means(self, logits: Tensor, log_totals: Tensor | None) -> Tensor:
        """Compute the logarithms of the mean counts (batch, counts)."""
        relative = logits.index_select(1, self.counts) + self.count_log_mean
        if self.sized:
            relative = torch.log_softmax(relative, 1) + (self.log_total[0] if log_totals is None else log_totals)
        return relative.clamp(-LARGEST_LOG, LARGEST_LOG)

    @property
    def _log_variance(self) -> Tensor:
        return self.log_variance.float().clamp(min=LEAST_LOG_VARIANCE)

    @property
    def _log_dispersion(self) -> Tensor:
        return self.log_dispersion.float().clamp(-LARGEST_DISPERSION_LOG, LARGEST_DISPERSION_LOG)

    def log_prob(self, logits: Tensor, rows: Tensor, log_totals: Tensor | None = None) -> Tensor:
        """Compute log p(x|z) of each column.

        Parameters
        ----------
        logits : Tensor, (batch, width)
            The decoder's outputs.
        rows : Tensor, (batch, width)
            Scaled rows. A category that training did not see, 0 in all inputs, adds nothing.
        log_totals : Tensor, (batch, 1), optional
            Logarithm of the total of each row, where all columns are counts; by default the mean of training rows.

        Returns
        -------
        Tensor, (batch, columns)
            In nats; of a number as a density on its scaled values.
        """
        rows = rows.to(logits.dtype)
        numbers = logits.index_select(1, self.numbers) - rows.index_select(1, self.numbers)
        log_variance = self._log_variance
        gaussian = -0.5 * (numbers.square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi))
        truth = rows.index_select(1, self.booleans)
        bernoulli = -F.binary_cross_entropy_with_logits(logits.index_select(1, self.booleans), truth, reduction="none")
        parts = [gaussian, bernoulli]
        found = zip(self._by_column(rows), self._by_column(logits), strict=True)
        parts += [(truth * torch.log_softmax(logit, 2)).sum(2) for truth, logit in found]
        if len(self.counts):
            means = self._log_means(logits, log_totals)
            parts.append(negative_binomial_log_prob(self._counts(rows), means, self._log_dispersion))
        return torch.cat(parts, 1).index_select(1, self._order)

    def loss(
        self,
        logits: Tensor,
        rows: Tensor,
        reduction: Reduction = "sum",
        observed: Tensor | None = None,
        log_totals: Tensor | None = None,
    ) -> Tensor:
        """Compute -log p(x|z), mean over the batch.

        Parameters
        ----------
        logits, rows, log_totals
            As for `log_prob`.
        reduction : {"sum", "mean"}
            Over the columns.
        observed : Tensor of bool, (batch, columns), optional
            Which values are known; others add nothing, and the mean is over these.
        """
        log_prob = self.log_prob(logits, rows, log_totals)
        if observed is not None:
            log_prob = torch.where(observed, log_prob, 0.0)
        if reduction == "sum":
            return -log_prob.sum() / len(rows)
        return -log_prob.sum() / (log_prob.numel() if observed is None else observed.sum().clamp(min=1))

    def mean(self, logits: Tensor, log_totals: Tensor | None = None) -> Tensor:
        """Compute the mean of p(x|z) as scaled rows (batch, width): of categories and truth the probabilities."""
        parts = [logits.index_select(1, self.numbers), torch.sigmoid(logits.index_select(1, self.booleans))]
        parts += [torch.softmax(logit, 2).flatten(1) for logit in self._by_column(logits)]
        if len(self.counts):
            parts.append(self._scaled_counts(self._log_means(logits, log_totals).exp()))
        return torch.cat(parts, 1).index_select(1, self._input_order)

    def _scaled_counts(self, counts: Tensor) -> Tensor:
        return (torch.asinh(counts) - self.count_shift) * self.count_gain

    def draw(self, logits: Tensor, log_totals: Tensor | None, seed: int) -> Tensor:
        """Draw scaled rows (batch, width) from p(x|z)."""
        random = np.random.default_rng(seed)

        def tensor(values: object) -> Tensor:
            return torch.as_tensor(np.asarray(values, np.float32), device=logits.device)

        n = len(logits)
        noise = tensor(random.normal(size=(n, len(self.numbers)))) * (0.5 * self._log_variance).exp()
        chances = torch.sigmoid(logits.index_select(1, self.booleans))
        parts = [
            logits.index_select(1, self.numbers) + noise,
            (tensor(random.uniform(size=chances.shape)) < chances).to(logits.dtype),
        ]
        for logit in self._by_column(logits):
            drawn = (logit + tensor(random.gumbel(size=logit.shape))).argmax(2)
            parts.append(F.one_hot(drawn, logit.shape[2]).to(logits.dtype).flatten(1))
        if len(self.counts):
            means = self._log_means(logits, log_totals).double().exp().cpu().numpy()
            theta = self._log_dispersion.double().exp().cpu().numpy()
            parts.append(self._scaled_counts(tensor(random.negative_binomial(theta, theta / (theta + means)))))
        return torch.cat(parts, 1).index_select(1, self._input_order)

    def residuals(self, logits: Tensor, rows: Tensor, log_totals: Tensor | None = None) -> Tensor:
        """Compute the deviance residuals (batch, width): their squares add up to -2 log p(x|z), less what no code can gain.

        That of a category that was found is in its place, and 0 is in those of the others.
        """
        rows = rows.to(logits.dtype)
        numbers = (rows - logits).index_select(1, self.numbers) * (-0.5 * self._log_variance).exp()
        truth, logit = rows.index_select(1, self.booleans), logits.index_select(1, self.booleans)
        sign = 2 * truth - 1
        parts = [numbers, sign * (2 * F.softplus(-sign * logit)).sqrt()]
        for found, given in zip(self._by_column(rows), self._by_column(logits), strict=True):
            parts.append((found * (-2 * torch.log_softmax(given, 2)).clamp(min=0).sqrt()).flatten(1))
        if len(self.counts):
            counts, means, theta = self._counts(rows), self._log_means(logits, log_totals), self._log_dispersion
            best = counts.clamp(min=1e-6).log()
            gap = _log_kernel(counts, best, theta) - _log_kernel(counts, means, theta)
            parts.append((counts - means.exp()).sign() * (2 * gap.clamp(min=0)).sqrt())
        return torch.cat(parts, 1).index_select(1, self._input_order)


def relative_counts(rows: Tensor, shift: Tensor, gain: Tensor, log_total: Tensor | None = None) -> Tensor:
    """Bring scaled rows (batch, width) that are all counts to one total: by default the geometric mean of theirs.

    Parameters
    ----------
    rows : Tensor, (batch, width)
        ``(asinh(count) - shift) * gain``.
    shift, gain : Tensor, (width,)
        Of the scaling.
    log_total : Tensor, (), optional
        Logarithm of the total.
    """
    counts = torch.sinh((rows / gain + shift).clamp(max=LARGEST_LOG + 1)).clamp(min=0)
    totals = counts.sum(1, keepdim=True).clamp(min=1).log()
    factor = ((totals.mean() if log_total is None else log_total) - totals).exp()
    return (torch.asinh(counts * factor) - shift) * gain


def _log_kernel(counts: Tensor, log_means: Tensor, log_dispersion: Tensor) -> Tensor:
    """Compute what of the negative binomial's logarithm depends on the mean."""
    log_sum = torch.logaddexp(log_dispersion.expand_as(log_means), log_means)
    return counts * (log_means - log_sum) - log_dispersion.exp() * log_sum
