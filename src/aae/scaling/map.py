"""The map from stored rows to what the network sees, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from aae.errors import InputError

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float64]

BLOCK = 2**22  # values looked at together: rows may be larger than memory
ROUNDING = 1e-6  # of float32, where the ends of a range are compared
DROWNED = 3.0  # input noise of so many times the spread of the scaled rows leaves nothing to learn


class Scaling(nn.Module):
    """Map from stored rows to what the network sees, and back.

    Column by column it is ``u = (row - offset) * factor``, and in a bent column ``(asinh(u) - shift) * gain``, which is a
    logarithm for large values and has an exact inverse. A column of categories, whose numbers are stored, becomes as many as
    there are categories, one-hot.

    Parameters
    ----------
    offset, factor : Tensor, () or (inputs,)
        One number for all columns or one per column; factors are not 0. In float64 the map is computed in float64, so that
        nothing is lost of values with many digits, and of the stored rows nothing has to be rounded before it.
    bent : Tensor of bool, (inputs,), optional
        Which columns are bent.
    shift, gain : Tensor, (inputs,), optional
        Their further numbers; gains are not 0.
    levels : Tensor of int64, (columns,), optional
        How many categories a column has, 0 for a column of numbers and -1 for one of 0 and 1. A stored number that is no category
        is 0 in all of its inputs. Without it there are as many inputs as columns.
    fill : Tensor, (columns,), optional
        What stands in for a missing value, NaN, of each column.
    constant : Tensor of bool, (columns,), optional
        Which columns were the same in all training rows.
    constant_value : Tensor, (columns,), optional
        The value that each of those had, which `inverse` gives them back.
    kind : str
        The rule it follows, for messages and records.

    Attributes
    ----------
    low, high : float64 array, (inputs,), or None
        The range of the scaled training rows, where it is known.
    needs_float64 : bool
        Whether rounding rows to float32 would move what the network sees, as it does with time stamps.
    spread : float or None
        Standard deviation of the scaled training rows, as root mean square over the columns that vary.
    """

    offset: Tensor
    factor: Tensor
    bent: Tensor | None
    shift: Tensor | None
    gain: Tensor | None
    levels: Tensor | None
    fill: Tensor | None
    constant: Tensor | None
    constant_value: Tensor | None
    _column: Tensor
    _category: Tensor

    def __init__(
        self,
        offset: Tensor,
        factor: Tensor,
        bent: Tensor | None = None,
        shift: Tensor | None = None,
        gain: Tensor | None = None,
        levels: Tensor | None = None,
        fill: Tensor | None = None,
        constant: Tensor | None = None,
        constant_value: Tensor | None = None,
        *,
        kind: str = "given",
    ) -> None:
        super().__init__()
        exact = torch.float64 if torch.float64 in (offset.dtype, factor.dtype) else torch.float32
        self.register_buffer("offset", offset.to(exact))
        self.register_buffer("factor", factor.to(exact))
        self.register_buffer("bent", bent)
        self.register_buffer("shift", None if shift is None else shift.to(exact))
        self.register_buffer("gain", None if gain is None else gain.to(exact))
        self.register_buffer("levels", levels)
        self.register_buffer("fill", None if fill is None else fill.to(exact))
        self.register_buffer("constant", constant)
        self.register_buffer("constant_value", None if constant_value is None else constant_value.to(exact))
        self._levels: list[int] = [] if levels is None else levels.tolist()
        self._widths = [max(1, count) for count in self._levels]
        if levels is not None:  # of each input: its column, and the category that it stands for
            column = [place for place, width in enumerate(self._widths) for _ in range(width)]
            category = [k if count > 0 else -1 for count in self._levels for k in range(max(1, count))]
            self.register_buffer("_column", torch.tensor(column), persistent=False)
            self.register_buffer("_category", torch.tensor(category, dtype=torch.float32), persistent=False)
        self.kind = kind
        self.low: Values | None = None
        self.high: Values | None = None
        self.spread: float | None = None
        self.needs_float64 = False

    @classmethod
    def identity(cls) -> Scaling:
        """Create one that leaves every number as it is."""
        return cls(torch.tensor(0.0, dtype=torch.float32), torch.tensor(1.0, dtype=torch.float32), kind="none")

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], kind: str = "given") -> Scaling:
        """Create one from its ``state_dict``; InputError where numbers are missing or do not belong to it."""
        for name in ("offset", "factor"):
            if name not in tensors:
                raise InputError(f"holds no scaling ({name} is missing); expected the weights of a run")
        together = ({"bent", "shift", "gain"}, {"constant", "constant_value"})
        unknown = tensors.keys() - set().union(*together) - {"offset", "factor", "levels", "fill"}
        if unknown or any(some & tensors.keys() and not some <= tensors.keys() for some in together):
            found = ", ".join(sorted(tensors))
            raise InputError(
                f"holds {found} for the scaling; expected offset, factor, and all or none of bent, shift, gain, and of "
                "constant, constant_value"
            )
        return cls(**tensors, kind=kind)

    def forward(self, rows: Tensor) -> Tensor:
        """Flatten rows (batch, ...) of any dtype and scale them: (batch, inputs), float32."""
        rows = rows.flatten(1).to(self.offset.dtype)
        if self.fill is not None:
            rows = torch.where(rows.isnan(), self.fill, rows)
        scaled = (rows - self.offset) * self.factor
        if self.bent is not None and self.shift is not None and self.gain is not None:
            # asinh, in operations that ONNX runtimes have in float64 too
            bent = scaled.sign() * (scaled.abs() + (scaled.square() + 1).sqrt()).log()
            scaled = torch.where(self.bent, (bent - self.shift) * self.gain, scaled)
        scaled = scaled.float()
        if self.levels is None:
            return scaled
        inputs = scaled.index_select(1, self._column)
        return torch.where(self._category < 0, inputs, (inputs == self._category).to(inputs.dtype))

    def inputs(self, shape: Sequence[int]) -> int:
        """Count what the network sees of a row of a shape."""
        return sum(self._widths) if self._widths else math.prod(shape)

    def _columns(self, inputs: Tensor) -> Tensor:
        """Bring inputs (batch, inputs) back to columns: the most likely category, and 0 or 1 where a column has no other."""
        if self.levels is None:
            return inputs
        ends = list(accumulate(self._widths, initial=0))
        found, places = [inputs], ends[:-1]
        for column, count in enumerate(self._levels):
            if count > 0:
                some = inputs[:, ends[column] : ends[column + 1]]
                found.append(some.argmax(1, keepdim=True).to(inputs.dtype))
                places[column] = ends[-1] + len(found) - 2
        columns = torch.cat(found, 1).index_select(1, torch.tensor(places, device=inputs.device))
        return torch.where(self.levels < 0, (columns >= 0.5).to(columns.dtype), columns)

    def inverse(self, rows: Tensor) -> Tensor:
        """Undo the scaling of flat rows (batch, inputs); float64 where the scaling is. Constant columns are as in training."""
        rows = self._columns(rows).to(self.offset.dtype)
        if self.bent is not None and self.shift is not None and self.gain is not None:
            bent = (rows / self.gain + self.shift).clamp(-80, 80)  # what a decoder makes up stays finite
            rows = torch.where(self.bent, (bent.exp() - (-bent).exp()) / 2, rows)
        rows = rows / self.factor + self.offset
        if self.constant is None or self.constant_value is None:
            return rows
        return torch.where(self.constant, self.constant_value, rows)

    def transform(self, rows: Array) -> npt.NDArray[np.float32]:
        """Scale rows (n, columns), an array of any type: (n, columns), float32."""
        out = np.empty((len(rows), self.inputs(rows.shape[1:])) if self._widths else rows.shape, np.float32)
        for some in parts(rows):
            out[some] = self(_tensor(rows[some]).to(self.offset.device)).cpu().numpy()
        return out

    def inverse_transform(self, rows: Array) -> Values:
        """Undo the scaling of rows (n, columns): (n, columns), float64."""
        out = np.empty((len(rows), len(self._widths)) if self._widths else rows.shape, np.float64)
        for some in parts(rows):
            out[some] = self.inverse(_tensor(rows[some]).to(self.offset.device)).cpu().numpy()
        return out

    def record(self) -> dict[str, Any]:
        """Return what was chosen, for JSON: kind, the lowest and highest offset and factor, bent and constant columns."""
        bent = [] if self.bent is None else self.bent.cpu().numpy().nonzero()[0].tolist()
        constant = [] if self.constant is None else self.constant.cpu().numpy().nonzero()[0].tolist()
        return {
            "kind": self.kind,
            "offset": [float(self.offset.min()), float(self.offset.max())],
            "factor": [float(self.factor.min()), float(self.factor.max())],
            "bent_columns": sorted(set(bent) - set(constant)),
            "constant_columns": constant,
            "spread": self.spread,
        }

    def ends_inside(self, low: float, high: float) -> bool:
        """Check whether the scaled training rows, where their range is known, lie between `low` and `high`."""
        if self.low is None or self.high is None:
            return True
        return bool(self.low.min() >= low - ROUNDING and self.high.max() <= high + ROUNDING)

    def describe(self, columns: Sequence[str] = ()) -> str:
        """Describe in one line what happens to rows whose columns have these names."""
        found = self.record()
        what = {
            "pixels": f"pixels, times {float(self.factor.max()):.4g}",
            "common": f"each column centred, all times {float(self.factor.max()):.4g}, as they share a unit",
            "standardize": "each column to mean 0 and standard deviation 1",
            "minmax": "each column to the range 0 to 1",
            "common minmax": f"each column from 0, all times {float(self.factor.max()):.4g}, as they share a unit",
            "none": "rows are taken as they are",
            "columns": "each column by its kind",
        }.get(self.kind, "as it was given")
        told = [("constant_columns", "constant in training")]
        if self.kind != "columns":  # where counts are bent all the same
            told.insert(0, ("bent_columns", "heavy-tailed, bent by asinh"))
        for key, text in told:
            which = found[key]
            if which:
                names = [columns[k] if k < len(columns) else str(k) for k in which[:3]]
                what += f"; {len(which)} {text}: {', '.join(names)}{', ...' if len(which) > 3 else ''}"
        return what

    def concern(self, input_noise: float = 0.0) -> str | None:
        """Say in one line why nothing can be learnt from rows that are scaled like this, if that is so."""
        if self.spread is None:
            return None
        if self.spread == 0:
            return "all columns are constant; there is nothing to learn"
        if input_noise > DROWNED * self.spread:
            return (
                f"the scaled rows spread by {self.spread:.2g} (standard deviation) and drown in the input noise of "
                f"{input_noise:g}; expected scaling 'auto' with a linear output, or noise below the spread"
            )
        if self.kind == "none" and not 1e-3 < self.spread < 1e3:
            return f"scaling 'none' leaves rows that spread by {self.spread:.2g} (standard deviation); expected about 1"
        return None

    def extra_repr(self) -> str:
        """Describe it in the ``repr``."""
        return self.describe()


def parts(rows: Array) -> Iterator[slice]:
    """Cut rows (n, ...) into parts of bounded size."""
    step = max(1, BLOCK // max(1, math.prod(rows.shape[1:])))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _tensor(rows: Array) -> Tensor:
    """Create a tensor of rows without a warning: of a type that torch computes with, in one piece, not read-only."""
    if rows.dtype.kind == "u" and rows.dtype.itemsize > 1:
        rows = rows.astype(np.float64)
    return torch.from_numpy(np.require(rows, requirements=["C", "W"]))
