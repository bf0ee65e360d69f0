"""What commands print, and the files they write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aae.errors import InputError, printable

CLASSES = 20  # whose confusion fits a terminal


def shown(path: Path) -> Path:
    """Return a path as it is seen from the present folder, if it is in there."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def new_table(*columns: str) -> Table:
    """Create a table with these headings."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def add_metrics(table: Table, summary: dict[str, dict[str, Any]], paper: dict[str, float] | None = None) -> None:
    """Add a row for each metric: its mean over seeds, the standard deviation of several, and the paper's number."""
    from aae.evaluation.metrics import describe

    for name, found in summary.items():
        metric = describe(name)
        std = metric.number(found["sd"]) if len(found["values"]) > 1 else ""
        papers = [] if paper is None else [metric.number(paper[name]) if name in paper else ""]
        table.add_row(metric.heading, metric.number(found["mean"]), std, *papers)


def plain(text: str) -> str:
    """Write a text of a file so that it does nothing to the terminal and is no markup."""
    return escape(printable(text))


def print_table(table: Table) -> None:
    """Print a table, as wide as the terminal or 160 characters."""
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def print_confusion(matrices: Sequence[Sequence[Sequence[int]]], names: Sequence[str]) -> None:
    """Print how many rows of each class (lines) were predicted to be of each class (columns), summed over seeds."""
    if len(names) > CLASSES:
        print(f"the confusion matrix of {len(names)} classes is in evaluation.json", file=sys.stderr)
        return
    table = new_table("true class", *(plain(name) for name in names))
    for column in table.columns[1:]:
        column.justify = "right"
    for k, name in enumerate(names):
        counts = [sum(matrix[k][j] for matrix in matrices) for j in range(len(names))]
        table.add_row(plain(name), *(str(count) if count else "." for count in counts))
    print("\npredicted class, in rows" + (f" of {len(matrices)} seeds" if len(matrices) > 1 else ""))
    print_table(table)


def check_output(output: Path | None, *sources: Path | str | None) -> None:
    """Check that an output is none of the files that are read for it, and none in a folder that is read.

    Raises
    ------
    InputError
        If it is, by whatever path.
    """
    if output is None or not output.is_file():
        return
    for source in (Path(source) for source in sources if source):
        if source.is_dir() and source.resolve() in output.resolve().parents:
            raise InputError(
                f"{output}: found a file of the input folder as the output; expected another, as this one would be lost"
            )
        if source.exists() and output.samefile(source):
            raise InputError(
                f"{output}: found the input as the output too; expected another file, as this one would be lost"
            )


def write_columns(path: Path, columns: dict[str, Any], split: Any = None) -> None:
    """Write named arrays, after what identifies the rows of a split where something does and the file can hold it."""
    from aae.data.output import table_columns, write_rows

    if split is not None and split.ids is not None:
        if path.suffix.lower() == ".npy":
            print(
                f"aae: {path} cannot hold what identifies its rows ({split.id_column}); they are in the order of the input, "
                "files of a folder by their sorted names",
                file=sys.stderr,
            )
        else:
            name, taken = split.id_column, {*columns, *(name for name, _ in table_columns(columns))}
            while name in taken:
                name = f"id_{name}"
            columns = {name: split.ids, **columns}
    write_rows(path, columns)
    print(path)


def write_model_rows(
    run: Any, rows: Any, path: Path, split: Any = None, *, beside: Any = None, cols: int | None = None
) -> None:
    """Write rows as a table or array, or images as one sheet (``.png``) or as files in a new folder.

    Rows of a folder keep the names of the files that they were made from. On a sheet of `cols` columns rows can stand `beside`
    others, each after its own. Walks, each `cols` rows, can become an animation (``.gif`` or ``.webp``). InputError
    where the file or folder does not fit the rows.
    """
    from aae.data.output import SUFFIXES
    from aae.figures.animation import FORMATS, animate

    images, suffix = len(run.shape) > 1, path.suffix.lower()
    shown_by = [".png", *(FORMATS if cols is not None else ())]
    if images and suffix and suffix not in {*SUFFIXES, *shown_by} and not path.is_dir():
        raise InputError(
            f"{path}: found the suffix {path.suffix!r}, expected one of {', '.join([*shown_by, *SUFFIXES])}, or a folder"
        )
    if path.is_dir() or (images and not path.suffix):
        _write_image_files(run, rows, path, split)
    elif path.suffix.lower() == ".png":
        if hasattr(rows, "columns"):
            raise InputError(
                f"{path}: found a sheet of images, and rows of a table; expected a file of a table, such as .csv"
            )
        _write_sheet(run, rows, path, beside, cols)
    elif hasattr(rows, "columns"):
        import numpy as np

        values = {str(name): rows[name].to_numpy() for name in rows.columns}
        texts = {
            name: column.astype(np.str_) if column.dtype.kind == "O" else column for name, column in values.items()
        }
        write_columns(path, texts, split)
    elif cols is not None and path.suffix.lower() in FORMATS:
        if not images:
            raise InputError(f"{path}: found an animation, and rows that are no images; expected a file of numbers")
        shown = run.images(rows)
        print(animate(shown.reshape(-1, cols, *shown.shape[1:]), path))
    else:
        columns = run.metadata.get("columns") if path.suffix.lower() not in (".npy", ".npz") else None
        write_columns(path, {name: rows[:, k] for k, name in enumerate(columns)} if columns else {"rows": rows}, split)


def _write_sheet(run: Any, rows: Any, path: Path, beside: Any, cols: int | None) -> None:
    import math

    import numpy as np

    from aae.figures.canvas import save
    from aae.figures.figure2 import image_grid
    from aae.files import require_folder

    require_folder(path)
    cols = cols or math.ceil(math.sqrt(len(rows)))
    lines = math.ceil(len(rows) / cols)
    if beside is not None:  # each row after its own
        rows = np.stack([np.asarray(beside, rows.dtype), rows], axis=1).reshape(-1, *run.shape)
        cols *= 2
    save(image_grid(run.images(rows), lines, cols), path)
    print(path)


def _write_image_files(run: Any, rows: Any, path: Path, split: Any) -> None:
    import numpy as np
    from PIL import Image

    from aae.files import new_folder

    if len(run.shape) < 2:
        raise InputError(f"{path}: found a folder, and rows that are no images; expected a file")
    values = np.rint(255 * run.images(rows)).astype(np.uint8)
    with new_folder(path) as draft:
        for name, image in zip(_file_names(split, len(rows)), values, strict=True):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(draft / name)
    print(path)


def _file_names(split: Any, n: int) -> list[str]:
    """Create names of PNG files: those of the files that rows were read from, or numbers."""
    width = len(str(n))
    files = split is not None and split.id_column == "file"
    given = [""] * n if split is None or split.ids is None else [str(name) for name in split.ids]
    names: dict[str, None] = {}
    for number, name in enumerate(given):
        inside = PurePosixPath(name)
        if not name or inside.is_absolute() or ".." in inside.parts or printable(name) != name:
            inside = PurePosixPath(f"{number:0{width}d}")
        # Of a file its suffix is replaced; what else names a row may have points in it.
        found = str(inside.with_suffix(".png") if files and inside.suffix else f"{inside}.png")
        names[found if found not in names else f"{inside}.{number}.png"] = None
    return list(names)
