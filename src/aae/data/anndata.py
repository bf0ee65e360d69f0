"""AnnData of single-cell analysis: ``.h5ad`` files and objects, whose counts, labels and covariates are taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.data.checks import Part, check_distinct
from aae.data.formats import Format, Options, Parts, ends_with
from aae.data.reading import damaged, require_memory
from aae.data.values import as_objects, plain_values, values_of
from aae.errors import InputError, needs_extra, unknown
from aae.files import replacing, require_folder

SAMPLED_VALUES = 2**20  # that are looked at to tell counts from other numbers


def is_anndata(values: Any) -> bool:
    """Check whether values are an AnnData object, without importing its library."""
    return type(values).__module__.partition(".")[0] == "anndata" and hasattr(values, "obs_names")


def open_file(path: str | Path) -> Any:
    """Read an ``.h5ad`` file whole; InputError where the extra ``anndata`` is missing or the file is damaged."""
    try:
        import anndata
    except ImportError:
        raise needs_extra(f"{path}: .h5ad", "anndata") from None
    with damaged(Path(path), "an .h5ad file"):
        return anndata.read_h5ad(path)


def matrix(adata: Any, layer: str | None, where: str = "X") -> Any:
    """Return the matrix of an AnnData object, (n, columns), sparse or not: ``X`` or a layer; InputError where there is none."""
    if layer is None:
        found = adata.X
        if found is None:
            raise InputError(f"{where}: holds no X; expected one, or layer: one of {', '.join(adata.layers) or 'none'}")
    elif layer not in adata.layers:
        raise unknown(f"layer of {where}", layer, list(adata.layers))
    else:
        found = adata.layers[layer]
    if hasattr(found, "to_memory"):  # sparse, in the file of a backed object
        found = found.to_memory()
    return found if hasattr(found, "tocsr") else np.asarray(found)


def variables(adata: Any, where: str) -> list[str]:
    """Return the names of the variables; InputError where two have the same."""
    names = [str(name) for name in adata.var_names]
    check_distinct(names, where, "variables", " (var_names_make_unique())")
    return names


def observation(adata: Any, name: str, where: str = "obs") -> Any:
    """Look up a column of the observations; InputError where there is none of this name."""
    if name not in adata.obs.columns:
        raise InputError(f"{where}: {unknown('column of obs', name, list(map(str, adata.obs.columns)) or ['none'])}")
    return adata.obs[name]


def labels_of(adata: Any, y: Any) -> Any:
    """Return the column of ``obs`` that `y` names, where rows are an AnnData object; otherwise `y` as it is."""
    return observation(adata, y).to_numpy(dtype=object) if isinstance(y, str) and is_anndata(adata) else y


def covariates_of(adata: Any, names: Sequence[str]) -> Any:
    """Return columns of ``obs`` as a data frame; None where rows are no AnnData object or one of the names is no column."""
    if not is_anndata(adata) or not set(names) <= set(adata.obs.columns):
        return None
    return adata.obs[list(names)]


def holds_counts(found: Any) -> bool:
    """Check whether a matrix holds counts: whole numbers, none below zero, and some above one."""
    values = found.data if hasattr(found, "tocsr") else np.asarray(found).ravel()
    values = values[:: max(1, values.size // SAMPLED_VALUES)]
    return bool(values.size and values.min() >= 0 and values.max() > 1 and (np.floor(values) == values).all())


def take_apart(adata: Any, layer: str | None, covariates: Any) -> tuple[Any, Any, bool]:
    """Take an AnnData object apart for an estimator: rows, covariates, and whether the rows are counts.

    Covariates that are names are columns of ``obs``. InputError where one is none, or two variables have the same name.
    """
    variables(adata, "X")
    found = matrix(adata, layer)
    if isinstance(covariates, str):
        covariates = [covariates]
    if isinstance(covariates, Sequence) and all(isinstance(name, str) for name in covariates):
        for name in covariates:
            observation(adata, name)
        covariates = adata.obs[list(covariates)]
    return found, covariates, holds_counts(found)


def write_codes(source: str | Path, output: Path, codes: Mapping[str, NDArray[Any]]) -> None:
    """Copy an ``.h5ad`` file with codes (n, dim) in its ``obsm``: ``X_aae``, or ``X_aae_<name>`` where there are several.

    Raises
    ------
    InputError
        If the source is no such file, or the copy cannot be written.
    """
    if not str(source).lower().endswith(".h5ad"):
        raise InputError(f"{source}: found a file that is not AnnData; expected .h5ad for codes in its obsm")
    adata = open_file(source)
    for name, code in codes.items():
        adata.obsm["X_aae" if len(codes) == 1 else f"X_aae_{name}"] = code
    require_folder(output)
    with replacing(output) as draft:
        try:
            adata.write_h5ad(draft)
        except (OSError, RuntimeError) as error:  # which are of the library below
            raise InputError(
                f"{output}: found that it cannot be written, expected a file in a writable folder with enough space"
            ) from error


def _read(path: Path, options: Options) -> Parts:
    return Parts(as_part(open_file(path), options, str(path)))


def as_part(adata: Any, options: Options, where: str) -> Part:
    """Read an AnnData object: its matrix, its covariates among the columns, labels and names of rows.

    Raises
    ------
    InputError
        If a layer, a covariate, the labels or a column of the training data is missing, or two variables have the same name.
    """
    found, names = matrix(adata, options.layer, where), variables(adata, where)
    counts = holds_counts(found)
    if options.columns:
        genes = {name: place for place, name in enumerate(names)}
        wanted = [name for name in options.columns if name not in options.covariates]
        missing = [name for name in wanted if name not in genes]
        if missing:
            raise InputError(
                f"{where}: found no column {missing[0]!r} in var, expected the columns of the training data"
            )
        if [genes[name] for name in wanted] != list(range(len(names))):
            found, names = found[:, [genes[name] for name in wanted]], wanted
    if hasattr(found, "toarray"):
        require_memory(4 * found.shape[0] * found.shape[1], f"{where}, made dense")
        found = found.toarray()
    rows = np.asarray(found, np.float32 if counts or found.dtype == np.float32 else None)
    texts: dict[str, NDArray[Any]] = {}
    if options.covariates:
        frame = adata.obs
        for name in options.covariates:
            if name in names:
                raise InputError(f"{where}: found a column {name!r} in both obs and var, expected it in one of them")
            observation(adata, name, where)
        obs_names, values = values_of(frame[list(options.covariates)], where)
        texts = {name: as_objects(values(k), where) for k, name in enumerate(obs_names)}
        rows = np.hstack([rows, np.full((len(rows), len(texts)), np.nan, rows.dtype)])
    labels = None
    column = options.label_column
    if column is not None and not (options.whole and column not in adata.obs.columns):
        given = plain_values(values_of(observation(adata, column, where).to_frame(), where)[1](0), where)
        labels = np.array(["" if value is None else str(value) for value in given], np.str_)
    return Part(
        where,
        rows,
        labels,
        (*names, *texts),
        np.array([str(name) for name in adata.obs_names], np.str_),
        "cell",
        texts=texts,
        kinds=dict.fromkeys(names, "count") if counts else {},
        missing=options.missing,
    )


FORMATS = (
    Format(
        name="AnnData files",
        files=".h5ad",
        options=frozenset({"label_column", "layer"}),
        is_file=ends_with(".h5ad"),
        read=_read,
    ),
)
