"""Commands about data sets: data list, data info, data fetch."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from aae.cli.options import JsonOption
from aae.cli.output import new_table, plain, print_table

app = typer.Typer(help="List, describe and fetch the named data sets.")


@app.command("list")
def data_list(as_json: JsonOption = False) -> None:
    """List the named data sets and where they are.

    Example: aae data list
    """
    from aae.data import names

    entries = names()
    if as_json:
        print(json.dumps([{"name": e.name, "path": str(e.path) if e.path else None} for e in entries]))
        return
    table = new_table("name", "what", "row", "train", "test", "on this machine")
    for e in entries:
        where = str(e.path or ("no, and it cannot be downloaded" if e.unavailable else "not yet: aae data fetch"))
        table.add_row(
            e.name, e.description, "x".join(map(str, e.shape)), str(e.train_size), str(e.test_size), plain(where)
        )
    print_table(table)


@app.command("info")
def data_info(
    source: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Named data set or path.")],
    label_column: Annotated[str | None, typer.Option(help="Column of a table that holds the labels.")] = None,
    labels_file: Annotated[str | None, typer.Option(help="File with the label of every row.")] = None,
    unlabelled: Annotated[list[str] | None, typer.Option(help="What else stands for no label.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of a table that identifies its rows.")] = None,
    ignore_columns: Annotated[
        list[str] | None, typer.Option("--ignore-column", help="Column of a table to leave out; may be repeated.")
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether the first line of a CSV or TSV file names the columns."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, max=10**5, help="Height and width of images of a folder.")
    ] = None,
    colour: Annotated[bool, typer.Option("--colour", help="Read the images of a folder in colour.")] = False,
    fold: Annotated[int | None, typer.Option(min=0, max=4, help="Which of the official folds, for TFD.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Describe a data set: sizes, types, ranges, classes, and the scaling that data.scaling "auto" chooses.

    The options are keys of a recipe's [data] section.

    Example: aae data info my-rows.csv --label-column species
    """
    from aae.data import load
    from aae.scaling import choose_column_scaling, choose_scaling

    dataset = load(
        source,
        test=0,
        label_column=label_column,
        labels=labels_file,
        unlabelled=unlabelled,
        id_column=id_column,
        ignore_columns=ignore_columns or (),
        header=header,
        image_size=image_size,
        colour=colour,
        fold=fold,
    )
    rows, columns = dataset.train.rows, dataset.table
    scaling = choose_scaling(rows) if columns is None else choose_column_scaling(rows, columns.kinds, columns.levels)
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    metadata: dict[str, Any] = {
        "name": dataset.name,
        "shape": list(dataset.shape),
        "classes": list(dataset.class_names),
        "scaling": scaling.describe(dataset.columns),
    }
    if columns is not None:
        metadata["columns"] = columns.describe()
    if dataset.train.ids is not None:
        metadata["identifiers"] = dataset.train.id_column
    for name, split in splits.items():
        if split is not None:
            labelled = int((split.labels >= 0).sum()) if split.labels is not None else 0
            low, high = float(split.rows.min()), float(split.rows.max())
            metadata[name] = {
                "rows": len(split),
                "labelled": labelled,
                "type": str(split.rows.dtype),
                "range": [low, high],
            }
    if as_json:
        print(json.dumps(metadata))
        return
    table = new_table(plain(dataset.name), "")
    for key, value in metadata.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(key, plain(text))
    print_table(table)


@app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(metavar="NAME", help="Named data set.")]) -> None:
    """Download a named data set into the cache, checksums verified.

    Example: aae data fetch mnist
    """
    from aae.data import fetch

    print(fetch(name))
