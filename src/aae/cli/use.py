"""Commands that use a run: predict, encode, reconstruct, sample, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aae.cli.options import MAX_COUNT, Device, DeviceOption, InputArgument, RunArgument, SeedOption, TrustOption
from aae.cli.output import write_columns, write_model_rows


def predict(
    run: RunArgument,
    source: InputArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="npz, csv or parquet file.")],
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Write the inferred label and the probability of every class for each row, with what identifies it.

    Rows of a folder of images are identified by their files, and rows of a table by data.id_column of the recipe.

    Example: aae predict runs/mine new.csv -o labels.csv
    """
    import numpy as np

    from aae.runs.hub import load

    finished = load(run, device.value, trust_modules=trust)
    names = finished.label_names
    split = finished.read(source, labels=False)
    probabilities = finished.predict_proba(split.rows)
    columns = {"label": np.array(names)[probabilities.argmax(1)]}
    columns |= {f"probability_{name}": probabilities[:, k] for k, name in enumerate(names)}
    write_columns(output, columns, split)


def encode(
    run: RunArgument,
    source: InputArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="npy (one latent, or the embedding), npz, csv or parquet file.")
    ],
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Write the codes of each row, with what identifies it; of a dimensionality reduction (section 7) the embedding too.

    Example: aae encode runs/figure2a images/ -o codes.npz
    """
    from aae.runs.hub import load

    finished = load(run, device.value, trust_modules=trust)
    split = finished.read(source, labels=False)
    columns = finished.encode(split.rows)
    if finished.autoencoder.cluster_heads is not None:
        codes = columns if output.suffix.lower() != ".npy" else {}
        columns = {"embedding": finished.embed(split.rows), **codes}
    write_columns(output, columns, split)


def reconstruct(
    run: RunArgument,
    source: InputArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="npy, npz, csv or parquet; png for images.")],
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Encode and decode each row, and write it with what identifies it.

    Example: aae reconstruct runs/figure2a images/ -o reconstructed.png
    """
    from aae.runs.hub import load

    finished = load(run, device.value, trust_modules=trust)
    split = finished.read(source, labels=finished.autoencoder.decoder_classes is not None)
    write_model_rows(finished, finished.reconstruct(split.rows, split.labels), output, split)


def sample(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="npy, npz, csv or parquet; png for images.")],
    n: Annotated[int, typer.Option("-n", min=1, max=MAX_COUNT, help="Number of rows.")] = 100,
    label: Annotated[str | None, typer.Option(help="Class of all rows, by name; the style is random.")] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Draw rows from the model.

    Example: aae sample runs/demo -n 64 --label 3 -o threes.png
    """
    from aae.runs.hub import load

    finished = load(run, device.value, trust_modules=trust)
    write_model_rows(finished, finished.sample(n, label, seed), output)


def export(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="New or empty folder.")],
    trust: TrustOption = False,
) -> None:
    """Write the encoder, decoder and classifier of a run, those that it has, as ONNX files.

    Example: aae export runs/demo -o demo-onnx
    """
    from aae.runs.hub import load
    from aae.runs.onnx import export as write

    for path in write(load(run, "cpu", trust_modules=trust), output):
        print(path)
