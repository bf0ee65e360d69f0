"""Commands that use a run: predict, encode, score, reconstruct, interpolate, sample, export."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from aae.cli.options import (
    MAX_COUNT,
    DataOption,
    Device,
    DeviceOption,
    InputArgument,
    RunArgument,
    SeedOption,
    TrustOption,
)
from aae.cli.output import check_output, write_columns, write_model_rows
from aae.errors import InputError

if TYPE_CHECKING:
    from aae.data import Split
    from aae.runs.run import Run

RowsOutput = Annotated[
    Path,
    typer.Option(
        "-o", "--output", help="npy, npz, csv or parquet; for images also png, one sheet, or a new folder of images."
    ),
]

CovariateOption = Annotated[
    list[str] | None,
    typer.Option("--covariate", metavar="NAME=VALUE", help="Covariate of all rows, where the decoder sees some."),
]


def _covariates(given: list[str] | None) -> dict[str, str] | None:
    """Read covariates of the form NAME=VALUE."""
    if not given:
        return None
    for one in given:
        if "=" not in one:
            raise InputError(f"--covariate is {one!r}; expected NAME=VALUE")
    names = [one.split("=", 1)[0] for one in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"--covariate: found {names.count(twice)} values of {twice!r}, expected one")
    return dict(one.split("=", 1) for one in given)


def _load(run: Path, device: Device, trust: bool, output: Path | None = None, *sources: Path | str | None) -> Run:
    """Load a run; InputError where the output would take the place of what is read, or of what the run was trained on."""
    from aae.runs.run import Run

    check_output(output, *sources)
    finished = Run.load(run, device.value, trust_modules=trust)
    check_output(output, finished.recipe.data.source, finished.recipe.data.labels_file)
    return finished


def predict(
    run: RunArgument,
    source: InputArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="npz, csv or parquet file.")],
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Write the inferred label and the probability of every class for each row, with what identifies it.

    A run of the recipe "anomalies" has the labels 1 and -1, for a normal row and an anomaly, and its score in their place.
    Rows of a folder of images are identified by their files, and rows of a table by data.id_column of the recipe.

    Example: aae predict runs/mine new.csv -o labels.csv
    """
    import numpy as np

    finished = _load(run, device, trust, output, source)
    if finished.detects_anomalies:
        split = finished.read(source, labels=False)
        scores = finished.score_samples(split.rows)
        verdicts = np.where(scores < finished.anomaly_score.offset, -1, 1)
        write_columns(output, {"label": verdicts, "score": scores}, split)
        return
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
        Path,
        typer.Option(
            "-o", "--output", help="npy (one latent, or the embedding), npz, csv, parquet, or h5ad for AnnData."
        ),
    ],
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Write the codes of each row, with what identifies it; of a dimensionality reduction (section 7) the embedding too.

    Of an AnnData file the codes can be written into a copy, as obsm X_aae, or X_aae_LATENT of several.

    Example: aae encode runs/figure2a images/ -o codes.npz
    """
    keeps = output.suffix.lower() == ".h5ad"  # all it held
    finished = _load(run, device, trust, None if keeps else output, source)
    split = finished.read(source, labels=False)
    columns = finished.encode(split.rows)
    if finished.autoencoder.cluster_heads is not None:
        codes = columns if output.suffix.lower() != ".npy" else {}
        columns = {"embedding": finished.embed(split.rows), **codes}
    if output.suffix.lower() == ".h5ad":
        from aae.data.anndata import write_codes

        write_codes(source, output, columns)
        print(output)
        return
    write_columns(output, columns, split)


def reconstruct(
    run: RunArgument,
    source: InputArgument,
    output: RowsOutput,
    covariate: CovariateOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Encode and decode each row, and write it with what identifies it; on a sheet of images beside the original.

    Example: aae reconstruct runs/figure2a images/ -o reconstructed.png
    """
    finished = _load(run, device, trust, output, source)
    split = finished.read(source, labels=finished.autoencoder.decoder_classes is not None)
    labels = None if split.labels is None else finished.named(split.labels)
    rows = finished.reconstruct(split.rows, labels, covariates=_covariates(covariate))
    write_model_rows(finished, rows, output, split, beside=split.rows)


def interpolate(
    run: RunArgument,
    source: InputArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="As for `aae sample`; for images also gif or webp, an animation of all lines side by side, there and back.",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="Rows to end at, as many as in INPUT; by default each row goes on to the next one."),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=2, max=MAX_COUNT, help="Rows from one end to the other, both included.")
    ] = 8,
    label: Annotated[str | None, typer.Option(help="Class of all rows, where the decoder sees it.")] = None,
    covariate: CovariateOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Decode codes on the straight lines between the codes of rows; a line of a sheet of images is one of them.

    Example: aae interpolate runs/figure2a images/ --steps 10 -o between.webp
    """
    import numpy as np

    from aae.data import Split

    finished = _load(run, device, trust, output, source, to)
    first = finished.read(source, labels=False)
    last = first.take(slice(1, None)) if to is None else finished.read(to, labels=False)
    first = first.take(slice(0, -1)) if to is None else first
    if not len(first):
        raise InputError(f"{source}: found one row; expected two or more to go from each to the next, or --to")
    rows = finished.interpolate(first.rows, last.rows, steps, label, covariates=_covariates(covariate))
    ids = None
    if first.ids is not None and last.ids is not None:
        ends = [_row_names(first), _row_names(last)]
        ids = np.array([f"{a}-{b}-{k}" for a, b in zip(*ends, strict=True) for k in range(steps)])
    flat = rows if finished.table is not None else rows.reshape(-1, *finished.shape)
    write_model_rows(finished, flat, output, Split(flat, None, ids, "step"), cols=steps)


def _row_names(split: Split) -> list[str]:
    """Name rows: by what identifies them, or by the files they are from, in one word and without the suffix."""
    names = [str(one) for one in ([] if split.ids is None else split.ids.tolist())]
    if split.id_column != "file":
        return names
    return ["-".join(PurePosixPath(name).with_suffix("").parts) for name in names]


def score(
    run: RunArgument,
    source: InputArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="npy (scores alone), npz, csv or parquet file.")],
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Write how normal each row is, larger for a more normal one, and whether it is an anomaly, with what identifies it.

    A run of the recipe "anomalies", or of another with evaluation.contamination, has a threshold of its own and keeps what it
    compares with; of another with an autoencoder the training rows are read again, and none of them counts as an anomaly.

    Example: aae score runs/anomalies new.csv -o scores.csv
    """
    finished = _load(run, device, trust, output, source, data)
    split = finished.read(source, labels=False)
    scores = finished.score_samples(split.rows, data)
    verdicts = {} if output.suffix.lower() == ".npy" else {"anomaly": scores < finished.anomaly_score.offset}
    write_columns(output, {"score": scores, **verdicts}, split)


def sample(
    run: RunArgument,
    output: RowsOutput,
    n: Annotated[int, typer.Option("-n", min=1, max=MAX_COUNT, help="Number of rows.")] = 100,
    label: Annotated[str | None, typer.Option(help="Class of all rows, by name; the style is random.")] = None,
    seed: SeedOption = 0,
    covariate: CovariateOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Draw rows from the model.

    Example: aae sample runs/demo -n 64 --label 3 -o threes.png
    """
    finished = _load(run, device, trust, output)
    drawn = finished.sample(n, label, random_state=seed, covariates=_covariates(covariate))
    write_model_rows(finished, drawn, output)


def export(
    run: RunArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="New or empty folder.")],
    trust: TrustOption = False,
) -> None:
    """Write the encoder, decoder, classifier and score of a run, those that it has, as ONNX files.

    Example: aae export runs/demo -o demo-onnx
    """
    from aae.runs.onnx import export as write
    from aae.runs.run import Run

    for path in write(Run.load(run, "cpu", trust_modules=trust), output):
        print(path)
