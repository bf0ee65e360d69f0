"""A finished run: loaded from its folder, described, plotted, measured and shared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from aae import recipes
from aae.data import Split
from aae.data.memory import SOURCE
from aae.device import choose_device, usual_state
from aae.display import html_table, some
from aae.errors import InputError, note
from aae.files import check_finite_tensors, read_tensors, tensor_sizes
from aae.noise import INIT, MetaNoise, Noise
from aae.recipes import Recipe, custom
from aae.recipes.build_data import Source
from aae.recipes.build_model import build_model
from aae.runs.rows import read_table
from aae.runs.scores import ScoredRows
from aae.scaling import Scaling
from aae.training.run_directory import RunDirectory
from aae.training.weights import check_sizes, load_module
from aae.views.methods import Plots
from aae.views.view import View


class Run(ScoredRows, Plots):
    """A trained model that takes and gives rows as they are stored (uint8 images, rows of numbers).

    Rows can be an array, a list, a tensor, a sparse matrix or a data frame of pandas or polars, whose columns are taken by name
    where the run was trained on a table with names.

    Parameters
    ----------
    folder : RunDirectory
        Where it lives.
    recipe : Recipe
        What it was trained by.
    model : Model
        In evaluation mode: batch normalization uses its running statistics, and what a row is encoded to does not depend
        on the rows beside it.
    scaling : Scaling
        From stored rows to network rows.
    metadata : dict
        The contents of ``run.json``.
    """

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", *, trust_modules: bool = False) -> Run:
        """Load a finished run; nothing in it is executed.

        Parameters
        ----------
        path : str or Path
            The run directory, or a folder that `save` wrote.
        device : {"auto", "cpu", "cuda"}
            Where the model is put.
        trust_modules : bool
            Whether the custom modules that a run names may be imported, and what it names in them called. Say so of runs of
            your own, and of others' whose recipe you have read.

        Returns
        -------
        Run
            Ready to use.

        Raises
        ------
        InputError
            If the folder is no run, the run is not finished, its files do not fit together, or it has custom modules and
            `trust_modules` is not set.
        """
        folder = RunDirectory(path)
        if not folder.recipe.exists() and (folder.path / "config.json").exists():
            from aae.runs.hub import from_pretrained

            return from_pretrained(path, device, trust_modules=trust_modules)
        folder.require()
        recipe = recipes.read(folder.recipe)
        if not folder.weights.exists():
            raise InputError(f"{folder.path}: the run is not finished (no {folder.weights.name}); expected one that is")
        metadata = folder.read_metadata()
        return cls.assemble(folder, recipe, metadata, device, trust_modules=trust_modules)

    @classmethod
    @usual_state()
    def assemble(
        cls,
        folder: RunDirectory,
        recipe: Recipe,
        metadata: dict[str, Any],
        device: str = "auto",
        *,
        trust_modules: bool = False,
    ) -> Run:
        """Create the model of a recipe and read its weights from the folder.

        Parameters
        ----------
        folder : RunDirectory
            Holds the weights; nothing else in it is read.
        recipe : Recipe
            What the model was trained by.
        metadata : dict
            With ``shape`` and ``class_names`` of the data and the type of its ``rows``.
        device : {"auto", "cpu", "cuda"}
            Where the model is put.
        trust_modules : bool
            As for `load`.

        Returns
        -------
        Run
            Ready to use.

        Raises
        ------
        InputError
            If the weights cannot be read or are not those of the model, or it has custom modules and `trust_modules` is not set.
        """
        own = custom.named_in(recipe.model)
        if own and not trust_modules:
            raise InputError(
                f"{folder.path}: loading this run imports {' and '.join(own)}; if you trust these modules, say so with "
                "--trust-modules, or trust_modules=True in Python"
            )
        torch_device = choose_device(device)
        sizes = tensor_sizes(folder.weights)
        for part in ("scaling.offset", "scaling.factor"):
            if part not in sizes:
                raise InputError(f"{folder.weights}: holds no scaling; expected the weights of a run")
        for part in (name for name in sizes if name.startswith("scaling.")):
            if math.prod(sizes[part]) not in (1, math.prod(metadata["shape"])):  # one number, or one for each column
                raise InputError(f"{folder.weights}: {part} is {sizes[part]}; the run has rows of {metadata['shape']}")
        shape, classes = metadata["shape"], len(metadata["class_names"])
        table = read_table(metadata, str(folder.path))
        try:
            if not own:  # before memory is taken for what the recipe says
                with torch.device("meta"):
                    model = build_model(recipe.model, shape, classes, MetaNoise(), table=table)
                wanted = {f"model.{name}": tuple(tensor.shape) for name, tensor in model.state_dict().items()}
                check_sizes(wanted, {name: size for name, size in sizes.items() if not name.startswith("scaling.")})
            tensors = read_tensors(folder.weights)
            check_finite_tensors(tensors, folder.weights)
            model = build_model(recipe.model, shape, classes, Noise(0, INIT), table=table)
            scaled = {name.removeprefix("scaling."): tensors.pop(name) for name in sizes if name.startswith("scaling.")}
            scaling = Scaling.from_tensors(scaled)
            load_module(model, {name.removeprefix("model."): tensor for name, tensor in tensors.items()})
        except InputError as error:
            raise InputError(str(error) if str(folder.path) in str(error) else f"{folder.weights}: {error}") from None
        model.eval()
        return cls(folder, recipe, model.to(torch_device), scaling.to(torch_device), metadata)

    def tensors(self) -> dict[str, Tensor]:
        """Collect the weights of model and scaling by name, as they are stored."""
        parts = {"model": self.model, "scaling": self.scaling}
        return {f"{part}.{name}": tensor for part in parts for name, tensor in parts[part].state_dict().items()}

    def __repr__(self) -> str:
        """Describe the run in one line."""
        return (
            f"Run({str(self.folder.path)!r}: {', '.join(f'{key} {value}' for key, value in self._entries().items())})"
        )

    def _repr_html_(self) -> str:
        """Describe the run as a table, for notebooks."""
        return html_table(f"Run {self.folder.path.name}", {**self._entries(), "folder": str(self.folder.path)})

    def _entries(self) -> dict[str, str]:
        """Collect what the run is, by what to call it."""
        rows = f"{self.metadata['training_rows']} of {self.metadata['rows']} {self.shape}"
        classes = f"{len(self.class_names)}: {some(self.class_names)}" if self.class_names else ""
        entries = {
            "recipe": self.recipe.name,
            "data": self.recipe.data.source,
            "rows": rows,
            "classes": classes,
            "epochs": str(self.metadata.get("epochs") or self.recipe.training.epochs),
            "seed": str(self.recipe.training.seed),
            "model": self.model.description,
        }
        return {key: value for key, value in entries.items() if value}

    @property
    def history(self) -> list[dict[str, Any]]:
        """Metrics of each epoch, as `history_` of the estimators: ``epoch``, the mean losses, and what was measured."""
        return self.folder.read_metrics()

    def evaluate(self, data: Source | None = None, split: Literal["test", "validation"] = "test") -> dict[str, Any]:
        """Measure the run on held-out rows and write ``evaluation.json``.

        Parameters
        ----------
        data : str, Path, array-like, (array-like, array-like) or Dataset, optional
            As for `load_data`.
        split : {"test", "validation"}
            Which rows.

        Returns
        -------
        dict
            The report; its ``metrics`` by name.
        """
        from aae.runs.evaluate import evaluate

        return evaluate(self, split, self.load_data(data))

    def save(self, folder: str | Path) -> Path:
        """Write the run into a new folder that can be shared and that `aae.load` reads; see `aae.save_pretrained`."""
        from aae.runs.hub import save_pretrained

        return save_pretrained(self, folder)

    def export(self, folder: str | Path) -> list[Path]:
        """Write encoder, decoder, classifier and score, those that the run has, as ONNX files; see `aae export`."""
        from aae.runs.onnx import export

        return export(self, folder)

    def _view(self, X: Any, y: Any, image_shape: tuple[int, ...] | None) -> View:
        from aae.runs.view import view

        if X is None:
            return view(self, needs_codes=False)
        rows = self._rows(X)
        labels, names = (None, self.class_names) if y is None else self._classes(y, len(rows))
        return replace(view(self, rows=Split(rows, labels), needs_codes=False), class_names=names)

    def _histories(self) -> tuple[list[Sequence[Mapping[str, Any]]], str]:
        from aae.runs.view import title

        return [self.folder.read_metrics()], title(self)

    def _view_for_samples(self, X: Any, image_shape: tuple[int, ...] | None) -> View:
        from aae.runs.view import view, view_without_rows

        if X is not None:
            return self._view(X, None, image_shape)
        if len(self.shape) > 1:
            return view_without_rows(self)
        try:
            return view(self, needs_codes=False)
        except InputError as error:  # samples need no rows
            if self.recipe.data.source != SOURCE:
                note(f"samples are shown without rows beside them: {error}")
            return view_without_rows(self)
