"""The scaling of rows: one rule that looks at the spread of what is there, for recipes and estimators alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae.errors import InputError
from aae.scaling.map import Array, Scaling, Values, parts

ScalingKind = Literal["auto", "spread", "pixels", "common", "standardize", "minmax", "none"]
KINDS: tuple[str, ...] = get_args(ScalingKind)

# Columns share a unit if the widest is at most so many times as wide as the median one, and as nine tenths of all.
COMMON_UNIT = (4.0, 20.0)
OUTLYING = 0.3  # deviation by the inner 80 % of a column over that of all of it, below which outliers make its width
HEAVY_TAIL = 6.0  # kurtosis above which a column is bent; a normal distribution has 3
REACH = 10.0  # no training value is scaled to more than this: a rare flag would outweigh all else
SAMPLED_ROWS, SAMPLED_VALUES = 10_000, 2**24  # for shapes of distributions, which need no more
FEW_ROWS = 50  # fewer say nothing about the tails of a distribution
RANKED_ROWS, RANKED_COLUMNS = 1000, 1024  # compared with a normal distribution at a time
GRAIN = 1e-4  # of scaled rows, that float32 may leave
LARGEST = 1e300  # beyond it, and below its inverse, numbers are left alone
DARK = 128  # bytes of images go up to 255; where all are below this they are something else, such as masks of 0 and 1


def choose_scaling(
    rows: Array, kind: ScalingKind | str = "auto", *, bounded: bool = False, images: bool | None = None
) -> Scaling:
    """Find the scaling of rows from the training rows alone.

    Parameters
    ----------
    rows : array, (n, ...)
        Training rows of any type of numbers, all finite; they are read part by part.
    kind : {"auto", "spread", "pixels", "common", "standardize", "minmax", "none"}
        The rule. ``"auto"`` looks at what is there. Images have ``"pixels"``: one factor brings them to [0, 1]. Other rows have
        ``"spread"``, which is for images too where it is asked for:
        if the widest column is at most 4 times as wide as the median one, and at most 20 times as wide as nine tenths of
        them, all share a unit: ``"common"``, each is centred and all are divided by one number. Otherwise
        ``"standardize"``: each column gets mean 0 and variance 1, where a heavy-tailed one (kurtosis above 6, or one whose
        width is that of its outliers) is first bent by that one of several asinh that brings it nearest to a normal
        distribution, and no training value ends beyond 10. So it is, too, where most columns are as wide as their outliers.
    bounded : bool
        Whether ``"auto"`` has to end inside [0, 1], as for an output that is a sigmoid: ranges stand in for deviations then.
    images : bool, optional
        Whether the rows are images; by default those are that have two dimensions or more each.

    Returns
    -------
    Scaling
        From stored rows to network rows.

    Raises
    ------
    InputError
        If there is no such rule, or a column is wider than the largest number.
    """
    if kind not in KINDS:
        raise InputError(f"scaling is {kind!r}; expected one of: {', '.join(KINDS)}")
    images = kind != "spread" and (rows.ndim > 2 if images is None else images)
    if kind == "pixels" or (kind == "auto" and images):
        return _pixels(rows)
    columns, sample = _Columns.of(rows), _sample(rows)
    adaptive = kind in ("auto", "spread")
    if adaptive:
        inner = _inner_width(sample, columns)
        outlying = (inner > 0) & (inner < OUTLYING)
        most = 2 * outlying.sum() > (inner > 0).sum()
        kind = "common" if columns.share_a_unit and not most else "standardize"
    plan = _Plan.affine(columns, kind, bounded=adaptive and bounded)
    if adaptive and kind == "standardize":
        plan.bend(_heavy(sample, columns) | outlying, sample, columns, bounded=bounded)
    if kind != "none" and not images:
        # What changes later in a column that never did counts as its logarithm: it cannot explode.
        plan.bent |= ~columns.varies
    name = {"common": "common minmax", "standardize": "minmax"}.get(kind, kind) if adaptive and bounded else kind
    constant = np.where(columns.varies, np.nan, columns.low)
    scaling = plan.scaling(torch.float32 if images else torch.float64, name, constant)
    grain = float(np.finfo(np.float32).eps) * np.maximum(np.abs(columns.low), np.abs(columns.high))
    scaling.needs_float64 = not images and bool((grain * plan.factor)[columns.varies].max(initial=0) > GRAIN)
    scaling.low, scaling.high = scaling.transform(np.stack([columns.low, columns.high])).astype(np.float64)
    deviations = scaling.transform(sample)[:, columns.varies].std(0, dtype=np.float64)
    scaling.spread = _root_mean_square(deviations)
    return scaling


def choose_column_scaling(
    rows: Array,
    kinds: Sequence[str],
    levels: Sequence[int],
    kind: ScalingKind | str = "auto",
    *,
    fill: bool = False,
    covariates: int = 0,
) -> Scaling:
    """Find the scaling of the columns of a table by their kinds, from the training rows alone.

    Numbers are scaled by one of the rules of `choose_scaling`; counts get mean 0 and variance 1 after an asinh, which is a
    logarithm for large counts; truth is 0 and 1, and categories become one-hot.

    Parameters
    ----------
    rows : array, (n, columns)
        Training rows: numbers, counts, 0 and 1, and numbers of categories from 0. NaN is a missing value.
    kinds : sequence of str
        Of each column, one of `aae.likelihoods.KINDS`.
    levels : sequence of int
        How many categories each column has, 0 for other kinds.
    kind : {"auto", "spread", "common", "standardize", "minmax", "none"}
        The rule for numbers.
    fill : bool
        Whether missing values are filled: with the median, or with what is there most often.
    covariates : int
        How many of the columns, the last ones, are covariates: rows can be decoded at other values than those of training.

    Returns
    -------
    Scaling
        From rows to network rows.

    Raises
    ------
    InputError
        If there is no such rule.
    """
    which = {name: np.array([k for k, own in enumerate(kinds) if own == name], np.int64) for name in set(kinds)}
    count = len(kinds)
    plan = _Plan(np.zeros(count), np.ones(count), np.zeros(count, np.bool_), np.zeros(count), np.ones(count))
    low, high, constant = np.zeros(count), np.ones(count), np.full(count, np.nan)
    filling = fillings(rows, kinds) if fill else None
    numbers = None
    if "numerical" in which:
        places = which["numerical"]
        numbers = choose_scaling(np.concatenate(list(_filled(rows, places, filling))), kind, images=False)
        for name in ("offset", "factor", "bent", "shift", "gain"):
            part = getattr(numbers, name)
            if part is not None:
                getattr(plan, name)[places] = part.numpy()
        if numbers.constant is not None and numbers.constant_value is not None:
            constant[places[numbers.constant]] = numbers.constant_value[numbers.constant].numpy()
        assert numbers.low is not None
        assert numbers.high is not None
        low[places], high[places] = numbers.low, numbers.high
    if "count" in which:
        places = which["count"]
        found, total = np.zeros((2, len(places))), 0
        least, most = np.full(len(places), np.inf), np.zeros(len(places))
        for values in _filled(rows, places, filling):
            logs = np.arcsinh(values)
            found += np.stack([logs.sum(0), np.square(logs).sum(0)])
            least, most = np.minimum(least, values.min(0)), np.maximum(most, values.max(0))
            total += len(logs)
        mean = found[0] / total
        std = np.sqrt(np.maximum(found[1] / total - np.square(mean), 0))
        gain = 1 / np.where(std > 1e-6, std, 1.0)
        plan.bent[places], plan.shift[places], plan.gain[places] = True, mean, gain
        constant[places] = np.where(most > least, np.nan, most)
        low[places], high[places] = -mean * gain, (np.arcsinh(most) - mean) * gain
    constant[count - covariates :] = np.nan
    counted = [max(1, one) for one in levels]
    marks = [own if own else -(name == "boolean") for own, name in zip(levels, kinds, strict=True)]
    scaling = plan.scaling(torch.float64, "columns", constant, torch.tensor(marks, dtype=torch.int64), filling)
    scaling.low, scaling.high = np.repeat(low, counted), np.repeat(high, counted)
    scaling.needs_float64 = numbers is not None and numbers.needs_float64
    scaling.spread = numbers.spread if numbers is not None and len(which) == 1 else 1.0
    return scaling


def fillings(rows: Array, kinds: Sequence[str]) -> Values:
    """Choose what stands in for missing values of each column: the median, or the most frequent category."""
    sample = _sample(rows)
    found = np.zeros(len(kinds))
    for k, kind in enumerate(kinds):
        known = sample[:, k][~np.isnan(sample[:, k])]
        if not len(known):
            continue
        values, counts = np.unique(known, return_counts=True)
        found[k] = values[counts.argmax()] if kind in ("boolean", "categorical") else np.median(known)
    return found


def last_inputs(scaling: Scaling, before: int, columns: Values, width: int) -> Tensor:
    """Scale the last columns (n, columns) of a table, behind `before` others, to the inputs (n, width) that they become."""
    rows = np.hstack([np.zeros((len(columns), before)), columns])
    return torch.from_numpy(scaling.transform(rows))[:, -width:]


def _filled(rows: Array, places: NDArray[np.int64], filling: Values | None) -> Iterator[Values]:
    """Return some columns of rows, part by part, with missing values filled."""
    for block in _blocks(rows):
        values = block[:, places]
        yield values if filling is None else np.where(np.isnan(values), filling[places], values)


def value_range(rows: Array) -> tuple[float, float]:
    """Find the range of stored values (n, ...): of images in bytes what they can be, otherwise what there is."""
    if rows.dtype == np.uint8 and rows.ndim > 2 and any(block.max() >= DARK for block in _blocks(rows)):
        return 0.0, 255.0
    lows, highs = zip(*((block.min(), block.max()) for block in _blocks(rows)), strict=True)
    return float(min(lows)), float(max(highs))


def _pixels(rows: Array) -> Scaling:
    """Scale images to [0, 1] by one factor: bytes by 255, others by what they go up to, if they do not fill [0, 1] already."""
    bright = rows.dtype == np.uint8 and any(block.max() >= DARK for block in _blocks(rows))
    low, high = (0.0, 255.0) if bright else value_range(rows)
    if rows.dtype == np.uint8 or (low >= 0 and high > 0.5):
        low = 0.0
    filled = rows.dtype.kind == "f" and low == 0 and 0.5 < high <= 1
    offset, factor = (0.0, 1.0) if filled or high == low else (low, 1 / (high - low))
    return Scaling(torch.tensor(offset, dtype=torch.float32), torch.tensor(factor, dtype=torch.float32), kind="pixels")


@dataclass(frozen=True)
class _Columns:
    """Where the values of each column lie, all arrays (columns,). Columns that are constant but for rounding do not vary."""

    low: Values
    high: Values
    mean: Values
    std: Values
    varies: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Array) -> _Columns:
        """Measure rows (n, ...), part by part, in two passes: the range, then moments relative to it."""
        ends = [(block.min(0), block.max(0)) for block in _blocks(rows)]
        low, high = np.min([end[0] for end in ends], axis=0), np.max([end[1] for end in ends], axis=0)
        width = high / 2 - low / 2
        if (width > LARGEST / 2).any():
            column = int(width.argmax())
            raise InputError(
                f"column {column} (counted from 0) goes from {low[column]:g} to {high[column]:g}; "
                f"expected no more than {LARGEST:g} between"
            )
        # What rounding alone makes of one number is no variation; whole numbers are exact.
        grain = 4 * float(np.finfo(rows.dtype).eps) if rows.dtype.kind == "f" else 0.0
        varies = high - low > grain * np.maximum(np.abs(low), np.abs(high))
        unit = np.where(varies, high - low, 1.0)
        count, mean, squares = 0, np.zeros_like(low), np.zeros_like(low)
        for block in _blocks(rows):
            part = (block - low) / unit
            own, total = part.mean(0), count + len(part)
            squares += np.square(part - own).sum(0) + np.square(own - mean) * (count * len(part) / total)
            mean += (own - mean) * (len(part) / total)
            count = total
        return cls(low, high, low + mean * unit, np.sqrt(squares / count) * unit, varies)

    @property
    def range(self) -> Values:
        """How wide each column is."""
        return self.high - self.low

    def relative(self, values: Values) -> Values:
        """Bring values (n, columns) to 0 at the lowest and 1 at the highest."""
        return (values - self.low) / np.where(self.varies, self.range, 1.0)

    @property
    def share_a_unit(self) -> bool:
        """Whether the columns that vary are about equally wide."""
        ranges = self.range[self.varies]
        if not len(ranges):
            return True
        median, most = np.quantile(ranges, [0.5, 0.1], method="lower")
        return bool(ranges.max() <= COMMON_UNIT[0] * median and ranges.max() <= COMMON_UNIT[1] * most)


@dataclass
class _Plan:
    """The numbers of a `Scaling`, each (columns,), while they are chosen."""

    offset: Values
    factor: Values
    bent: NDArray[np.bool_]
    shift: Values
    gain: Values

    @classmethod
    def affine(cls, columns: _Columns, kind: str, *, bounded: bool) -> _Plan:
        """Follow a rule without bent columns; a column that does not vary is centred, and its own size is its unit."""
        varies = columns.varies
        size = np.abs(columns.low)
        factor = np.where((size > 1 / LARGEST) & (size < LARGEST), 1 / np.maximum(size, 1 / LARGEST), 1.0)
        offset = columns.low.copy()
        if kind == "none":
            factor[:], offset[:] = 1.0, 0.0
        elif kind == "common" and varies.any():
            factor[:] = 1 / (columns.range[varies].max() if bounded else _root_mean_square(columns.std[varies]))
        elif kind == "minmax" or bounded:
            factor[varies] = 1 / columns.range[varies]
        else:
            factor[varies] = 1 / columns.std[varies]
        if kind in ("common", "standardize") and not bounded:
            offset[varies] = columns.mean[varies]
        nothing = np.zeros(len(factor))
        return cls(offset, factor, nothing > 0, nothing, np.ones(len(factor)))

    def bend(self, heavy: NDArray[np.bool_], sample: Values, columns: _Columns, *, bounded: bool) -> None:
        """Bend heavy-tailed columns, and leave no training value of any column beyond `REACH`."""
        self.bent |= heavy
        for which in np.array_split(heavy.nonzero()[0], 1 + int(heavy.sum()) // RANKED_COLUMNS):
            values = columns.relative(sample)[:, which]
            centre, width = _nearest_to_normal(values)
            low, high = np.arcsinh((0 - centre) / width), np.arcsinh((1 - centre) / width)
            values = np.arcsinh((values - centre) / width)
            self.offset[which] = columns.low[which] + centre * columns.range[which]
            self.factor[which] = 1 / (width * columns.range[which])
            self.shift[which] = low if bounded else values.mean(0)
            self.gain[which] = 1 / (high - low if bounded else np.maximum(values.std(0), (high - low) / LARGEST))
        if not bounded:
            reach = np.maximum(*(np.abs(self._apply(end)) for end in (columns.low, columns.high)))
            limit = np.minimum(1.0, REACH / np.maximum(reach, REACH))
            self.gain *= np.where(self.bent, limit, 1.0)
            self.factor *= np.where(self.bent, 1.0, limit)

    def _apply(self, values: Values) -> Values:
        scaled = (values - self.offset) * self.factor
        return np.where(self.bent, (np.arcsinh(scaled) - self.shift) * self.gain, scaled)

    def scaling(
        self,
        dtype: torch.dtype,
        kind: str,
        constant: Values,
        levels: Tensor | None = None,
        filling: Values | None = None,
    ) -> Scaling:
        """Create the scaling; `constant` has the values of constant columns, NaN for others, the rest is as in a table."""
        offset, factor = (torch.from_numpy(part).to(dtype) for part in (self.offset, self.factor))
        bending = (self.bent, self.shift, self.gain) if self.bent.any() else (None, None, None)
        same = ~np.isnan(constant)
        constants = (same, np.where(same, constant, 0.0)) if same.any() else (None, None)
        further = (None if part is None else torch.from_numpy(part) for part in (*bending, filling, *constants))
        bent, shift, gain, fill, *last = further
        return Scaling(offset, factor, bent, shift, gain, levels, fill, *last, kind=kind)


def _inner_width(sample: Values, columns: _Columns) -> Values:
    """Compare the deviation by the inner 80 % of each column with that of all of it: 1 if it is normal, 0 if these are equal."""
    low = np.quantile(sample, 0.1, axis=0, method="higher")
    high = np.quantile(sample, 0.9, axis=0, method="lower")
    width: Values = np.maximum(high / 2 - low / 2, 0) / np.where(columns.varies, 1.28 * columns.std, np.inf)
    return width


def _heavy(sample: Values, columns: _Columns) -> NDArray[np.bool_]:
    """Find the columns with heavy tails. One of two values alone has none: bending it does nothing."""
    if len(sample) < FEW_ROWS:
        return np.zeros(len(columns.low), np.bool_)
    relative = columns.relative(sample)
    std = relative.std(0)
    scores = (relative - relative.mean(0)) / np.where(std > 0, std, 1.0)
    between = ((sample > columns.low) & (sample < columns.high)).any(0)
    heavy: NDArray[np.bool_] = columns.varies & between & (np.square(np.square(scores)).mean(0) > HEAVY_TAIL)
    return heavy


def _nearest_to_normal(values: Values) -> tuple[Values, Values]:
    """Choose for each column (n, columns) centre and width so that asinh((x - centre) / width) is nearest to normal.

    The asinh is taken around the median for two heavy tails, and from the lowest or the highest value for one; nearest is
    the one that correlates best with the quantiles of a normal distribution.
    """
    from scipy.special import ndtri  # takes long to import

    low, q10, q25, q50, q75, q90, high = np.quantile(values, [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], axis=0)
    std = values.std(0)
    candidates = [(q50, (q90 - q10) / 2.56), (q50, (q75 - q25) / 2.7), (q50, std)]
    candidates += [(low, q - low) for q in (q10, q25, q50)] + [(high, high - q) for q in (q90, q75, q50)]
    ranked = np.sort(values[:: max(1, len(values) // RANKED_ROWS)], axis=0)
    normal = ndtri((np.arange(len(ranked)) + 0.5) / len(ranked))
    best = np.full(values.shape[1], -np.inf)
    chosen = [q50.copy(), np.where(std > 0, std, 1.0)]
    for centre, width in candidates:
        usable = width > 0
        bent = np.arcsinh((ranked - centre) / np.where(usable, width, 1.0))
        bent -= bent.mean(0)
        norm = np.sqrt(np.square(bent).sum(0))
        fit = np.where(usable & (norm > 0), normal @ bent / np.where(norm > 0, norm, 1.0), -np.inf)
        better = fit > best
        best[better] = fit[better]
        chosen[0][better], chosen[1][better] = centre[better], width[better]
    return chosen[0], chosen[1]


def _sample(rows: Array) -> Values:
    """Pick rows at even distances, flat."""
    size = min(SAMPLED_ROWS, max(2 * FEW_ROWS, SAMPLED_VALUES // max(1, rows[0].size)))
    which = np.unique(np.linspace(0, len(rows) - 1, min(size, len(rows))).round().astype(np.int64))
    return np.asarray(rows[which], dtype=np.float64).reshape(len(which), -1)


def _root_mean_square(values: Values) -> float:
    """Compute it without leaving the range of numbers on the way; 0 without any."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest * float(np.sqrt(np.square(values / largest).mean())) if largest > 0 else 0.0


def _blocks(rows: Array) -> Iterator[Values]:
    """Return stored rows flat, part by part."""
    for some in parts(rows):
        block = np.asarray(rows[some], dtype=np.float64)
        yield block.reshape(len(block), -1)
