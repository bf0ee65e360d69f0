"""Sparse rows: kept as they are, and made dense part by part."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch import Tensor

from aae.device import usual_state
from aae.scaling import Scaling


class SparseTable:
    """Rows of a CSR matrix, some of them perhaps several times, that can be read like an array: what is read is dense.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array in CSR format, (m, columns)
        Not copied.
    index : array of int, (n,), optional
        The rows; by default all.
    """

    ndim = 2

    def __init__(self, matrix: Any, index: NDArray[np.int64] | None = None) -> None:
        self.matrix, self.index, self.dtype = matrix, index, matrix.dtype
        self.shape = (matrix.shape[0] if index is None else len(index), matrix.shape[1])

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, which: Any) -> NDArray[Any]:
        """Read one row (columns,), or several (n, columns)."""
        if isinstance(which, int | np.integer):
            row: NDArray[Any] = self[[which]][0]
            return row
        dense: NDArray[Any] = self.matrix[which if self.index is None else self.index[which]].toarray()
        return dense

    def take(self, which: NDArray[np.int64]) -> SparseTable:
        """Choose rows, without reading them."""
        return SparseTable(self.matrix, which if self.index is None else self.index[which])

    def keys(self) -> list[bytes]:
        """Return a text for each row, in whose order rows are in that of their values: by the first column, then the second, ...

        A row is its entries from left to right. At the first difference one of two rows has an entry further left, which makes it
        the larger one where it is above zero, and the smaller one where it is below; what ends first is in between.
        """
        matrix, columns = self.matrix, self.shape[1]
        entries = matrix.data.astype(np.float64)
        there = entries != 0
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[there]
        # One behind each row.
        ends = np.cumsum(np.bincount(rows, minlength=matrix.shape[0])) + np.arange(matrix.shape[0])
        left, entries = columns - matrix.indices[there].astype(np.int64), entries[there]
        bits = entries.view(np.int64)
        content = np.zeros((len(entries) + matrix.shape[0], 2), ">u8")
        content[ends, 0] = columns
        content[np.arange(len(entries)) + rows, 0] = columns + np.where(entries > 0, left, -left)
        content[np.arange(len(entries)) + rows, 1] = np.where(bits < 0, ~bits, bits ^ np.iinfo(np.int64).min).view(
            np.uint64
        )
        whole = content.tobytes()
        stops = (16 * (ends + 1)).tolist()
        found = [whole[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]
        return found if self.index is None else [found[row] for row in self.index.tolist()]


class SparseRows:
    """Scaled rows of a `SparseTable`, which stand for a tensor (n, columns): what is taken from them is a dense one.

    Parameters
    ----------
    table : SparseTable
        The rows.
    scaler : Scaling
        What they pass through.
    device : torch.device
        Where the tensors are made.
    """

    def __init__(self, table: SparseTable, scaler: Scaling, device: torch.device | str = "cpu") -> None:
        self.table, self.scaler, self.device, self.shape = table, scaler, device, table.shape

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, which: Any) -> Tensor:
        """Read one row (columns,), or several (n, columns)."""
        if isinstance(which, int | np.integer):
            row: Tensor = self[[which]][0]
            return row
        with usual_state():
            dense = self.table[which.cpu().numpy() if isinstance(which, Tensor) else which]
            return torch.from_numpy(self.scaler.transform(dense)).to(self.device)

    def index_select(self, dim: int, indices: Tensor) -> Tensor:
        """Read the rows of the given indices."""
        return self[indices]

    def split(self, size: int) -> Any:
        """Read all rows, part by part."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def take(self, which: NDArray[np.int64]) -> SparseRows:
        """Choose rows, without reading them."""
        return SparseRows(self.table.take(which), self.scaler, self.device)

    def to(self, device: torch.device | str) -> SparseRows:
        """Let tensors be made on another device."""
        return SparseRows(self.table, self.scaler, device)


def as_table(X: Any) -> Any:
    """Wrap a checked sparse matrix; an array stays as it is."""
    if not issparse(X):
        return X
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return SparseTable(X)


def take(rows: Any, index: NDArray[np.int64]) -> Any:
    """Choose rows of an array, a tensor, a `SparseTable` or `SparseRows`."""
    return rows.take(index) if isinstance(rows, SparseTable | SparseRows) else rows[index]
