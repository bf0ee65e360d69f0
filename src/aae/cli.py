"""The `aae` command: parses, calls, prints."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aae._version import __version__
from aae.errors import InputError, InputWarning, InterruptedTrainingError, TrainingError, printable

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="List, describe and fetch the named data sets.")
app.add_typer(data_app, name="data")

MAX_COUNT, MAX_SEED, MAX_SEEDS = 2**31 - 1, 2**63 - 1, 100_000  # as in recipes, whose module takes long to import
OUT_OF_MEMORY = (
    r"out of memory|can't allocate memory|not enough memory|invalid buffer size|(size|multiplication).* overflow"
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]")  # which could change a terminal, or the line
OTHERS_WAIT = 20  # seconds for which the other processes of torchrun leave it to the first to say what is wrong


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class SplitName(StrEnum):
    """Held-out rows to evaluate on."""

    test = "test"
    validation = "validation"


class ProfileName(StrEnum):
    """How long `reproduce` trains."""

    smoke = "smoke"
    short = "short"
    full = "full"


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
InputArgument = Annotated[
    Path,
    typer.Argument(metavar="INPUT", help="Rows: a table, an array, images, or a folder of images or parts of a table."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")]
DataOption = Annotated[
    str | None, typer.Option(help="Where the data of the run is by now, if not where the recipe says.")
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust-modules", help="Import the custom modules that the run's recipe names, if it names some."),
]
SeedOption = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the draw.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"aae {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Adversarial autoencoders (arXiv 1511.05644): train, evaluate, plot and use them."""


def _complete_recipe(incomplete: str) -> list[str]:
    from aae.recipes import names

    return [name for name in names() if name.startswith(incomplete)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    0 on success; 1 where training or memory fails and 2 on bad input, each with one line on stderr; 130, 143 and 129 after
    Ctrl-C, SIGTERM and SIGHUP, 75 after SIGUSR1: a training has written its checkpoint by then.
    """
    if (
        arguments is None and sys.getfilesystemencoding() == "ascii"
    ):  # of which no library expects other names than in ASCII
        os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "aae", *sys.argv[1:]])
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of any script go to any terminal
            stream.reconfigure(errors="backslashreplace")
    with _notices():
        return _run(given)


def _run(given: Sequence[str]) -> int:
    try:
        if app(args=list(given) or ["--help"], prog_name="aae", standalone_mode=False) == 130:
            raise KeyboardInterrupt  # which typer makes an exit status of, and returns it
    except typer.TyperException as error:
        return _report_error(_usage(error), error.exit_code)
    except InputError as error:
        return _report_error(str(error), 2)
    except TrainingError as error:
        return _report_error(str(error), 1)
    except InterruptedTrainingError as error:
        return _report_error(str(error), error.status)
    except (KeyboardInterrupt, typer.Abort):
        return _report_error("interrupted", 130)
    except BrokenPipeError:  # whoever reads our output has seen enough
        return 1
    except OSError as error:
        return _report_error(
            f"{error.filename or 'files'}: {error.strerror or error}; expected a place that can be read and written", 2
        )
    except (MemoryError, RuntimeError) as error:
        message = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and not re.search(OUT_OF_MEMORY, message, re.IGNORECASE):
            raise
        return _report_error(
            f"out of memory ({message or 'no more is given'}); expected smaller sizes or more memory", 1
        )
    return 0


@contextmanager
def _notices() -> Iterator[None]:
    """Print how input was understood as lines on standard error, each once; of several processes the first does."""
    said, usual = set(), warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, InputWarning):
            usual(message, category, *where, **more)
        elif str(message) not in said and os.environ.get("LOCAL_RANK", "0") == "0":
            said.add(str(message))
            print(f"aae: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show
        yield


def _usage(error: typer.TyperException) -> str:
    """Return in one line what is wrong with the words of the command, and where to look."""
    message = error.format_message().replace("\n", " ").replace("Value error, ", "").rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see {context.command_path} --help" if context is not None else message


def _report_error(message: str, status: int) -> int:
    """Print the error; of the processes of ``torchrun`` on a machine, which mostly find the same, one says it.

    The others wait for it: as soon as one ends, ``torchrun`` stops all. What the first one did not find they say themselves.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(OTHERS_WAIT)
    print(f"aae: {CONTROL.sub(lambda found: repr(found[0])[1:-1], message)}", file=sys.stderr)
    return status


@app.command()
def recipes(as_json: JsonOption = False) -> None:
    """List the recipes: name, place in the paper, data, expected numbers, rough cost.

    Example: aae recipes
    """
    from aae.evaluation.metrics import describe
    from aae.recipes import overview

    found = overview()
    if as_json:
        print(json.dumps(found))
        return
    table = _table("recipe", "what", "paper", "data", "paper's numbers", "rough cost")
    for r in found:
        numbers = "; ".join(f"{describe(name).heading}: {value:g}" for name, value in r["paper"].items())
        table.add_row(r["name"], r["title"], r["reference"], r["source"], numbers, r["cost"])
    _print(table)


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Name of a recipe (see `aae recipes`) or a .toml file.",
            autocompletion=_complete_recipe,
        ),
    ],
    data: Annotated[str | None, typer.Option(help="Named data set or path, in place of the recipe's.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; by default runs/RECIPE.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=MAX_SEEDS, help="Number of seeds to train, from training.seed on.")
    ] = 1,
    batched: Annotated[
        bool | None,
        typer.Option(
            "--batched/--in-turn",
            help="Train the seeds as one batched program, or one after another; by default batched on a GPU.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run, or start it if there is none; a finished one is left alone.",
        ),
    ] = False,
) -> None:
    """Train a recipe into a run folder.

    Under `torchrun --nproc-per-node 2 -m -- aae train ...` every mini-batch is divided among all processes.

    Example: aae train figure2a --data digits --set training.epochs=20 --run runs/first
    """
    from aae.reproduction.results import summarize
    from aae.runs.train import read_recipe, train_seeds
    from aae.training.acceleration import distributed
    from aae.training.loop import leaves_on_request

    distributed.join()
    checked = read_recipe(recipe, overrides or [], data)
    with leaves_on_request():
        runs = train_seeds(checked, seeds, run=run, device=device.value, resume=resume, batched=batched)
    if not distributed.Distributed.joined().is_main_process:
        return
    last = [metrics[-1] for r in runs if (metrics := r.folder.read_metrics())]
    table = _table("metric after the last epoch", "mean", "std")
    _add_metrics(table, {k: v for k, v in (summarize(last) if last else {}).items() if k not in ("epoch", "seconds")})
    _print(table)
    for r in runs:
        print(r.folder.path)


@app.command()
def evaluate(
    run: RunArgument,
    split: Annotated[SplitName, typer.Option(help="Held-out rows to evaluate on.")] = SplitName.test,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write a result file into this folder.")
    ] = None,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a run, or every seed of one, and write evaluation.json into it.

    Example: aae evaluate runs/figure2a
    """
    from aae.reproduction import results
    from aae.runs import evaluate as measure
    from aae.runs.train import load_runs

    if record is not None:
        results.check_split(split.value)
    runs = load_runs(run, device.value, trust_modules=trust)
    dataset = runs[0].load_data(data)
    reports = [measure.evaluate(r, split.value, dataset) for r in runs]
    summary = results.summarize([report["metrics"] for report in reports])
    if record is not None:
        print(results.record(runs, reports, record), file=sys.stderr)
    if as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else {"seeds": reports, "metrics": summary}))
        return
    paper = reports[0]["paper"]
    table = _table(f"{runs[0].recipe.name}, {len(runs)} seed(s), {reports[0]['epochs']} epochs", "mean", "std", "paper")
    _add_metrics(table, summary, paper)
    _print(table)


@app.command()
def parzen(
    run: RunArgument,
    n: Annotated[int, typer.Option("-n", min=1, max=MAX_COUNT, help="Number of samples of the model.")] = 10_000,
    split: Annotated[SplitName, typer.Option(help="Held-out rows to score.")] = SplitName.test,
    folder: Annotated[
        Path | None, typer.Option(help="Keeps what was done so far; by default a folder in the run.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Folder of result files to write one into.")] = None,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate the log-likelihood of held-out rows by a Parzen window on samples of a run (section 3).

    An interrupted estimate is resumed. Under `torchrun --nproc-per-node 2 -m -- aae parzen ...` the samples are
    divided among all processes.

    Example: aae parzen runs/table1-mnist -n 10000000
    """
    from dataclasses import asdict

    from aae.reproduction import results
    from aae.runs import likelihood
    from aae.runs.hub import load
    from aae.training.acceleration import distributed

    if record is not None:
        results.check_split(split.value)
    distributed.join()
    finished = load(run, device.value, trust_modules=trust)
    dataset = finished.load_data(data)
    rows = getattr(dataset, split.value)
    if rows is None:
        raise InputError(f"{dataset.name}: has no {split.value} split; expected one to score")
    state = folder or finished.folder.path / "parzen" / f"{split.value}-{n}"
    begun, started = state.exists(), time.perf_counter()
    found = likelihood.parzen(finished, dataset, rows, n, state)
    if record is not None and distributed.Distributed.joined().is_main_process:
        seconds = None if begun else round(time.perf_counter() - started, 1)
        print(results.record_parzen(finished, found, split.value, seconds, record), file=sys.stderr)
    estimate = asdict(found)
    if found.sigma_at_end_of_grid:
        print(f"note: sigma {found.sigma:.3g} is at the end of its grid; a better one may lie beyond", file=sys.stderr)
    if as_json:
        print(json.dumps({**estimate, "caveat": likelihood.CAVEAT}))
        return
    table = _table(f"Parzen window, {n} samples, {split.value} rows", "")
    for name, value in estimate.items():
        if not name.startswith("grid"):
            table.add_row(name.replace("_", " "), f"{value:.6g}")
    _print(table)
    print(f"note: {likelihood.CAVEAT}", file=sys.stderr)


@app.command()
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
    _write(output, columns, split)


@app.command()
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
    _write(output, columns, split)


@app.command()
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
    _write_rows(finished, finished.reconstruct(split.rows, split.labels), output, split)


@app.command()
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
    wanted = None if label is None else finished.label_index(label)
    _write_rows(finished, finished.sample(n, wanted, seed), output)


@app.command()
def figure(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; by default figures/ in the run.")
    ] = None,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Plot the paper's figures that fit a run.

    Example: aae figure runs/figure2a
    """
    from aae.runs.hub import load
    from aae.runs.plot import plot

    for path in plot(load(run, device.value, trust_modules=trust), output, data):
        print(path)


@app.command()
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


@app.command()
def reproduce(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="table2, table3, figure2, figure4, ... or all.")],
    profile: Annotated[
        ProfileName,
        typer.Option(help="smoke: seconds, on digits; short: hours on two cores; full: the paper's lengths."),
    ] = ProfileName.short,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=MAX_SEEDS, help="Number of seeds, in place of the profile's.")
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder for the runs; finished ones are used again.")] = Path(
        "runs/reproduce"
    ),
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write result files into this folder.")
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Train, evaluate and plot a table or figure of the paper, and put its numbers beside ours.

    Example: aae reproduce table2 --profile short
    """
    from aae.evaluation.metrics import describe
    from aae.reproduction import reproduce as reproduction
    from aae.training.loop import leaves_on_request

    def note(text: str) -> None:
        print(text, file=sys.stderr)

    with leaves_on_request():
        outcomes = reproduction.reproduce(
            target, profile.value, run, seeds=seeds, record=record, device=device.value, note=note
        )
    rows = reproduction.comparison(outcomes)
    columns = ("recipe", "metric", "paper", "ours", "epochs", "seeds")
    if as_json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows]))
        return
    table = _table(*columns)
    for recipe, metric, *rest in rows:
        table.add_row(recipe, describe(metric).heading, *map(str, rest))
    _print(table)


@app.command()
def demo(
    run: Annotated[Path, typer.Option(help="Folder for the demonstration's runs.")] = Path("runs"),
    device: DeviceOption = Device.auto,
) -> None:
    """Learn handwritten digits from five labels per class, with and without the unlabelled rows.

    Example: aae demo
    """
    from aae.reproduction.demo import demo as show

    comparison, figures = show(run, device.value)
    table = _table("test error in percent, 8x8 digits", "error")
    for name, error in comparison.items():
        table.add_row(name, f"{error:.1f}")
    _print(table)
    for path in figures:
        print(path)


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE]...", help="Recipes to measure; or parzen, the Parzen window."),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Measure the speed of one training step, or of a Parzen window, against the roofline of this machine.

    Example: aae bench figure2a --set training.precision=fp32
    """
    from aae.bench import step as speed
    from aae.runs.train import read_recipe

    if names == ["parzen"]:
        if overrides:
            raise InputError(f"--set {overrides[0]}: a Parzen window has no recipe; expected none")
        from aae.bench.parzen import bench_parzen

        found = bench_parzen(device=device.value)
        if as_json:
            print(json.dumps(found))
            return
        table = _table("Parzen window", "")
        for key, value in found.items():
            table.add_row(key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
        _print(table)
        return
    chosen = [read_recipe(name, overrides or [], None) for name in names or ["figure2a", "table2-mnist-100"]]
    results = [speed.bench(recipe, device.value) for recipe in chosen]
    if as_json:
        print(json.dumps(results))
    else:
        _print(speed.table(results))


@data_app.command("list")
def data_list(as_json: JsonOption = False) -> None:
    """List the named data sets and where they are.

    Example: aae data list
    """
    from aae.data import names

    entries = names()
    if as_json:
        print(json.dumps([{"name": e.name, "path": str(e.path) if e.path else None} for e in entries]))
        return
    table = _table("name", "what", "row", "train", "test", "on this machine")
    for e in entries:
        where = str(e.path or ("no, and it cannot be downloaded" if e.unavailable else "not yet: aae data fetch"))
        table.add_row(
            e.name, e.description, "x".join(map(str, e.shape)), str(e.train_size), str(e.test_size), _plain(where)
        )
    _print(table)


@data_app.command("info")
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
    from aae.scaling import choose_scaling

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
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    metadata: dict[str, Any] = {
        "name": dataset.name,
        "shape": list(dataset.shape),
        "classes": list(dataset.class_names),
        "scaling": choose_scaling(dataset.train.rows).describe(dataset.columns),
    }
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
    table = _table(_plain(dataset.name), "")
    for key, value in metadata.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(key, _plain(text))
    _print(table)


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(metavar="NAME", help="Named data set.")]) -> None:
    """Download a named data set into the cache, checksums verified.

    Example: aae data fetch mnist
    """
    from aae.data import fetch

    print(fetch(name))


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _add_metrics(table: Table, summary: dict[str, dict[str, Any]], paper: dict[str, float] | None = None) -> None:
    """Add a row for each metric: its mean over seeds, the standard deviation of several, and the paper's number."""
    from aae.evaluation.metrics import describe

    for name, found in summary.items():
        metric = describe(name)
        std = metric.number(found["sd"]) if len(found["values"]) > 1 else ""
        papers = [] if paper is None else [metric.number(paper[name]) if name in paper else ""]
        table.add_row(metric.heading, metric.number(found["mean"]), std, *papers)


def _plain(text: str) -> str:
    """Write a text of a file so that it does nothing to the terminal and is no markup."""
    return escape(printable(text))


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _write(path: Path, columns: dict[str, Any], split: Any = None) -> None:
    """Write named arrays, after what identifies the rows of a split where something does and the file can hold it."""
    from aae.data import write_rows

    if split is not None and split.ids is not None:
        if path.suffix.lower() == ".npy":
            print(
                f"aae: {path} cannot hold what identifies its rows ({split.id_column}); they are in the order of the input, "
                "files of a folder by their sorted names",
                file=sys.stderr,
            )
        else:
            name = split.id_column if split.id_column not in columns else f"id_{split.id_column}"
            columns = {name: split.ids, **columns}
    write_rows(path, columns)
    print(path)


def _write_rows(run: Any, rows: Any, path: Path, split: Any = None) -> None:
    """Write rows as a table or array, or as one sheet of images."""
    if path.suffix.lower() != ".png":
        columns = run.metadata.get("columns") if path.suffix.lower() not in (".npy", ".npz") else None
        _write(path, {name: rows[:, k] for k, name in enumerate(columns)} if columns else {"rows": rows}, split)
        return
    import math

    from aae.figures.canvas import save
    from aae.figures.figure2 import image_grid

    if not path.parent.is_dir():
        raise InputError(f"{path}: found no folder {str(path.parent)!r} to write to, expected an existing one")
    cols = math.ceil(math.sqrt(len(rows)))
    save(image_grid(run.images(rows), math.ceil(len(rows) / cols), cols), path)
    print(path)
