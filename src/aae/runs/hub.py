"""Share a finished run: a folder in the layout of the Hugging Face Hub, and back.

The folder holds ``model.safetensors`` (the weights, scaling included), ``config.json`` (the complete recipe and what else it
takes to use the model), ``README.md`` (the model card), ``evaluation.json`` if the run was measured, and
``anomaly_score.safetensors`` if it has an anomaly score: training rows can be made again from it. Nothing in it is pickled, and
reading it never executes code from it; modules of custom modules, which the recipe names, are imported only if they are said to
be trusted. The network is needed only for repositories of the Hub.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from aae.data import NAMES
from aae.data.formats import list_some
from aae.errors import InputError, needs_extra, reason, unknown
from aae.files import new_folder, read_object, write_json, write_tensors, write_text
from aae.recipes import Recipe, custom, reader
from aae.runs.evaluate import measured_rows, read_report
from aae.runs.run import Run
from aae.training.run_directory import Metadata, RunDirectory
from aae.training.settings import Count

LIBRARY = "adversarial-autoencoder"
CONFIG = "config.json"
OPTIONAL = ("evaluation.json", "anomaly_score.safetensors")  # what not every run has
CARD = """\
---
library_name: {library}
{license}tags:
- {library}
- {recipe}
---
# {title}

A model of [Adversarial Autoencoders](https://arxiv.org/abs/1511.05644) (Makhzani et al.), trained with the Python library
`{library}`.

{made}

## Measured

{measured}

## Use

```python
import aae
run = aae.from_pretrained({name}{trust})
run.{use}  # rows as stored: {form}
```
"""
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Config(Metadata):
    """What ``config.json`` holds: the recipe, and the metadata of ``run.json`` that are of use on any machine."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model_type: Literal["adversarial-autoencoder"]
    recipe: dict[str, Any]
    """Complete, as `Recipe` defines it."""
    columns: list[str]
    epochs: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


def save_pretrained(run: Run, folder: str | Path, *, license: str | None = None) -> Path:
    """Write a run into a folder that can be shared; the whole folder or nothing.

    Paths of this machine stay out of it: of data that is a file of one's own the name alone is kept.

    Parameters
    ----------
    run : Run
        A finished run.
    folder : str or Path
        A new or empty folder; parents are created.
    license : str, optional
        Licence of the weights for the model card, as the Hub names it, such as ``"mit"``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If the folder holds something already or cannot be written.
    """
    return _save(run, Path(folder), license, Path(folder).resolve().name)


def from_pretrained(
    source: str | Path, device: str = "auto", *, revision: str | None = None, trust_modules: bool = False
) -> Run:
    """Load a shared run.

    Parameters
    ----------
    source : str or Path
        A folder that `save_pretrained` wrote, or a repository of the Hugging Face Hub (``"name/model"``, which needs the
        extra ``hub``). A folder comes first.
    device : {"auto", "cpu", "cuda"}
        Where the model is put.
    revision : str, optional
        Branch, tag or commit of the repository.
    trust_modules : bool
        Whether modules that the recipe names may be imported (`Run.load`). They are not part of the folder.

    Returns
    -------
    Run
        Ready to use.

    Raises
    ------
    InputError
        If there is no such folder or repository, or its files are not those of a shared run.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _download(str(source), revision)
    path = folder / CONFIG
    if not path.exists():
        raise InputError(f"{folder}: not a shared run (it has no {CONFIG}); aae.load takes run folders too")
    config = _check(read_object(path), where=str(path))
    recipe = _without_paths(reader.check(config.recipe, where=f"{path}: recipe"))  # nor is there a way out of it
    metadata = config.model_dump(exclude={"recipe"})
    return Run.assemble(RunDirectory(folder), recipe, metadata, device, trust_modules=trust_modules)


def push_to_hub(
    run: Run, repo_id: str, *, license: str | None = None, private: bool | None = None, token: str | None = None
) -> str:
    """Upload a run to the Hugging Face Hub; needs the extra ``hub``.

    Parameters
    ----------
    run : Run
        A finished run.
    repo_id : str
        ``"name/model"``; created if needed, otherwise it gets a new commit.
    license : str, optional
        As for `save_pretrained`.
    private : bool, optional
        Whether a new repository is private; by default what the account prescribes.
    token : str, optional
        By default that of ``hf auth login``.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    InputError
        If the extra is missing, or the Hub cannot be reached or refuses.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = _save(run, Path(temporary) / "model", license, repo_id)
        with _hub(f"{repo_id}: ") as hub:
            api = hub.HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            message = f"Run of the recipe {run.recipe.name}"
            gone = [name for name in OPTIONAL if not (folder / name).exists()]  # an earlier run may have had them
            found = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message, delete_patterns=gone)
            return str(found)


def _save(run: Run, folder: Path, license: str | None, name: str) -> Path:
    """Write all files of a shared run; `name` is what the model card loads."""
    plain = _without_folders(_without_paths(run.recipe).model_dump(mode="json", exclude_none=True))
    recipe = reader.check(plain, where=str(run.folder.recipe))
    metadata = {key: run.metadata[key] for key in Config.model_fields.keys() - {"recipe"} if key in run.metadata}
    table = {"model_type": LIBRARY, "recipe": recipe.model_dump(mode="json", exclude_none=True), **metadata}
    config = _check(table, where=str(run.folder.metadata))
    measured = run.folder.evaluation
    report = read_report(measured) if measured.exists() else None
    with new_folder(folder) as draft:
        write_tensors(draft / run.folder.weights.name, run.tensors())
        write_json(draft / CONFIG, config.model_dump())
        write_text(draft / "README.md", _card(run, recipe, report, license, name))
        if report is not None:
            shutil.copyfile(measured, draft / measured.name)
        if recipe.evaluation.contamination is not None:
            shutil.copyfile(run.folder.anomaly_score, draft / run.folder.anomaly_score.name)
    return folder


def _without_paths(recipe: Recipe) -> Recipe:
    """Keep of paths the name alone."""
    data = recipe.data
    names = {} if data.source in NAMES else {"source": PureWindowsPath(data.source).name}  # which knows either slash
    if data.labels_file is not None:
        names["labels_file"] = PureWindowsPath(data.labels_file).name
    return recipe.model_copy(update={"data": data.model_copy(update=names)})


def _without_folders(value: Any) -> Any:
    """Keep of absolute paths the name alone, wherever they stand: arguments of custom modules may be some."""
    if isinstance(value, dict):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    absolute = isinstance(value, str) and (Path(value).is_absolute() or PureWindowsPath(value).is_absolute())
    return PureWindowsPath(value).name if absolute else value


def _check(table: dict[str, Any], where: str) -> Config:
    """Check that all keys are there and no others; `where` opens the message of the InputError."""
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        # what else the folder may be comes first, then misspelled keys, which others seem to be missing for
        first = min(error.errors(), key=lambda e: (e["loc"] != ("model_type",), e["type"] != "extra_forbidden"))
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        raise InputError(f"{where}: {unknown('key', key, Config.model_fields)}")
    if first["type"] == "missing":
        raise InputError(f"{where}: key {key!r} is missing")
    raise InputError(f"{where}: {key} is {first['input']!r}; expected {first['msg'].removeprefix('Input should be ')}")


def _card(run: Run, recipe: Recipe, report: dict[str, Any] | None, license: str | None, name: str) -> str:
    """Write the model card: what the model is, how it was made and measured, and how it is used."""
    metadata, labels = run.metadata, recipe.data.labels
    made = {
        "Recipe": f"`{recipe.name}`" + (f" ({recipe.reference} of the paper)" if recipe.reference else ""),
        "Method": f"`{recipe.model.method}`",
        "Data": f"{recipe.data.source}, {metadata['training_rows']} training rows of {_form(run, _code)}",
        "Labels": "not used in training"
        if labels is None
        else "all there are"
        if labels == "all"
        else f"those of {labels} rows",
        "Classes": ", ".join(map(_code, run.class_names)) or "unknown",
        "Epochs": metadata["epochs"],
        "Seed": recipe.training.seed,
        "Trained on": f"{metadata['device']}, in {metadata['seconds']:g} s",
        "Versions": f"{LIBRARY} {metadata['version']}, torch {metadata['torch']}",
    }
    if recipe.evaluation.contamination is not None:
        made["Holds"] = (
            "codes and residuals of training rows, from which these can be made again, for the anomaly score"
        )
    own = custom.named_in(recipe.model)
    if own:
        made["Needs"] = ", ".join(f"`{name}`" for name in own) + ", which are not part of this folder"
    uses = {"classifies": "predict_proba(rows)", "encodes": 'encode(rows)["style"]', "samples": "sample(64)"}
    use = next(call for capability, call in uses.items() if getattr(run.model, capability))
    return CARD.format(
        library=LIBRARY,
        license=f"license: {json.dumps(license)}\n" if license else "",
        recipe=json.dumps(recipe.name),
        title=recipe.title,
        made="\n".join(f"- {key}: {value}" for key, value in made.items()),
        measured="This run was not measured." if report is None else _measured(report),
        name=json.dumps(name),
        trust=", trust_modules=True" if own else "",
        use=use,
        form=_form(run),
    )


def _measured(report: dict[str, Any]) -> str:
    """Create a table of the numbers of ``evaluation.json``, with the paper's beside them where there are any."""
    epochs = report["epochs"]
    head = f"On {measured_rows(report)}, after {epochs} epoch{'s' * (epochs != 1)}:"
    paper = {key: f"{value:g}" for key, value in report["paper"].items()}
    rows = [f"| {key} | {value:.4g} | {paper.get(key, '')} |" for key, value in report["metrics"].items()]
    return "\n".join([head, "", "| metric | this run | paper |", "| --- | --- | --- |", *rows])


def _code(name: str) -> str:
    """Write a name as code in Markdown, which shows it as it is."""
    text = " ".join(name.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _form(run: Run, write: Callable[[str], str] = lambda name: " ".join(name.split())) -> str:
    """Describe rows: shape and type, or columns by kind."""
    if run.table is not None:
        columns = list_some((f"{write(column.name)} ({column.kind})" for column in run.table.columns), 20)
        return f"a data frame with the columns {columns}"
    return f"{run.metadata['rows']} (n, {', '.join(map(str, run.shape))})"


def _download(repo_id: str, revision: str | None) -> Path:
    """Get the files of a repository, from the cache if they are there."""
    if not REPOSITORY.fullmatch(repo_id):
        raise InputError(
            f"{repo_id}: no such folder; expected a shared run, or a repository of the Hub as 'name/model'"
        )
    with _hub(f"{repo_id}: no such folder; ") as hub:
        files = [CONFIG, "model.safetensors", *OPTIONAL]
        return Path(hub.snapshot_download(repo_id, revision=revision, allow_patterns=files))


@contextmanager
def _hub(where: str) -> Iterator[ModuleType]:
    """Import the client of the Hub, and say in one line, which `where` opens, what it has to complain about."""
    try:
        hub, errors = (importlib.import_module(f"huggingface_hub{name}") for name in ("", ".errors"))
    except ImportError:
        raise needs_extra(f"{where}the Hugging Face Hub", "hub") from None
    http = errors.HfHubHTTPError.__bases__  # among them whatever its HTTP client raises
    failures: tuple[type[Exception], ...] = (*http, OSError, ValueError)
    try:
        yield hub
    except failures as error:
        raise InputError(f"{where}the Hugging Face Hub refuses or cannot be reached ({reason(error)})") from None
