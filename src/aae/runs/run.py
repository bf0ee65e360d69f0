"""A finished run: its model with everything needed to use it on rows as they are stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae import recipes
from aae.arrays import ArrayLike, as_labels, between, finite_rows
from aae.data import Dataset, Split, read_rows
from aae.data.checks import are_images, check_finite, colours_last
from aae.data.frames import as_rows
from aae.data.reading import as_text
from aae.device import choose_device, usual_state
from aae.display import html_table, some
from aae.errors import InputError
from aae.files import check_finite_tensors, read_tensors, tensor_sizes
from aae.model import AdversarialAutoencoder, Model
from aae.networks import Scaling
from aae.noise import MetaNoise, Noise, seeded
from aae.recipes import Recipe, custom
from aae.recipes.build_data import Source, fingerprint, load_data
from aae.recipes.build_model import build_model
from aae.training.run_directory import RunDirectory
from aae.training.trainer import CODES, INIT, SAMPLES, check_sizes, load_module
from aae.views.methods import Plots
from aae.views.view import View

BATCH = 1000  # rows pushed through the networks at once


class Run(Plots):
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

    def __init__(
        self,
        folder: RunDirectory,
        recipe: Recipe,
        model: Model,
        scaling: Scaling,
        metadata: dict[str, Any],
    ) -> None:
        self.folder, self.recipe, self.model, self.scaling, self.metadata = folder, recipe, model, scaling, metadata
        self.shape: tuple[int, ...] = tuple(metadata["shape"])
        self.class_names: tuple[str, ...] = tuple(metadata["class_names"])
        self.device = scaling.offset.device

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", *, trust_modules: bool = False) -> Run:
        """Load a finished run; nothing in it is executed.

        Parameters
        ----------
        path : str or Path
            The run directory.
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
            raise InputError(f"{folder.path}: a shared run, not a run folder; aae.load takes both")
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
            if math.prod(sizes[part]) not in (1, math.prod(metadata["shape"])):
                raise InputError(f"{folder.weights}: {part} is {sizes[part]}; the run has rows of {metadata['shape']}")
        shape, classes = metadata["shape"], len(metadata["class_names"])
        try:
            if not own:  # before memory is taken for what the recipe says
                with torch.device("meta"):
                    model = build_model(recipe.model, shape, classes, MetaNoise())
                wanted = {f"model.{name}": tuple(tensor.shape) for name, tensor in model.state_dict().items()}
                check_sizes(wanted, {name: size for name, size in sizes.items() if not name.startswith("scaling.")})
            tensors = read_tensors(folder.weights)
            check_finite_tensors(tensors, folder.weights)
            model = build_model(recipe.model, shape, classes, Noise(0, INIT))
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

    @property
    def autoencoder(self) -> AdversarialAutoencoder:
        """The model of a run that has codes.

        Raises
        ------
        InputError
            If the model has no codes.
        """
        if not self.model.encodes:
            raise InputError(
                f"{self.folder.path}: a {self.model.description} has no codes; expected an autoencoder run"
            )
        return cast(AdversarialAutoencoder, self.model)

    @property
    def generative(self) -> Model:
        """The model of a run that can be sampled.

        Raises
        ------
        InputError
            If it cannot.
        """
        if not self.model.samples:
            raise InputError(f"{self.folder.path}: a {self.model.description} cannot be sampled; expected another run")
        return self.model

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the categories of q(y|x): the classes, or numbers where no label was used and the model finds clusters.

        Categories beyond the classes are called ``extra 1``, ``extra 2``, ...
        """
        if not self.model.classifies:
            raise InputError(f"{self.folder.path}: the run infers no labels; expected one with a label latent")
        categories = (self.recipe.model.label and self.recipe.model.label.categories) or len(self.class_names)
        if self.recipe.data.labels is None:
            return tuple(str(k) for k in range(categories))
        extra = range(1, categories - len(self.class_names) + 1)
        return (*self.class_names, *(f"extra {k}" for k in extra))

    def label_index(self, name: str) -> int:
        """Look up a class (or cluster) by name.

        Raises
        ------
        InputError
            If there is no such class.
        """
        names, name = self.label_names if self.model.classifies else self.class_names, as_text(name)
        if name not in names:
            raise InputError(
                f"label is {name!r}; expected one of: {', '.join(names) or 'none, the run knows no labels'}"
            )
        return names.index(name)

    def load_data(self, data: Source | None = None) -> Dataset:
        """Load the data of the run with its splits, or take `data` in its place where it is the same.

        Parameters
        ----------
        data : str, Path, array-like, (array-like, array-like) or Dataset, optional
            Where the data lies by now, or the rows themselves, as for `aae.train`; needed where rows were given from Python.

        Raises
        ------
        InputError
            If it cannot be loaded or is not what the run was trained on.
        """
        try:
            dataset = load_data(self.recipe, data)
        except InputError as error:
            raise InputError(str(error) if data is not None else f"{self.folder.path}: {error}") from None
        found = fingerprint(dataset)
        if found != self.metadata.get("data"):
            raise InputError(
                f"{dataset.name}: not the data of {self.folder.path}; its fingerprint is {found}, "
                f"the run has {self.metadata.get('data')}"
            )
        return dataset

    def read(self, path: str | Path, labels: bool = True) -> Split:
        """Read rows of this run's shape from a file or folder.

        Parameters
        ----------
        path : str or Path
            What `data.read_rows` reads.
        labels : bool
            Whether to read labels too, numbered as in training; otherwise whatever they are does not matter.

        Raises
        ------
        InputError
            If they cannot be read or have another shape.
        """
        data = self.recipe.data
        try:
            split = read_rows(
                path,
                shape=self.shape,
                label_column=data.label_column,
                id_column=data.id_column,
                ignore_columns=data.ignore_columns,
                header=data.header,
                unlabelled=data.unlabelled,
                image_size=data.image_size,
                colour=len(self.shape) == 3,
                class_names=self.class_names or None,
                columns=tuple(self.metadata.get("columns", ())),
                labels=labels,
            )
        except InputError as error:
            raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
        if are_images(split.rows) and self.metadata["rows"] != "uint8":  # their values mean something else
            raise InputError(f"{path}: found images of 8 bits, 0 to 255; the run expects {self.metadata['rows']} rows")
        if self.metadata["rows"] == "uint8" and not are_images(split.rows) and split.rows.max() <= 1:
            raise InputError(f"{path}: found values from 0 to 1; the run expects images with values from 0 to 255")
        return split

    @usual_state()
    @torch.no_grad()
    def encode(self, rows: ArrayLike, seed: int | None = None) -> dict[str, NDArray[np.float32]]:
        """Infer codes.

        Parameters
        ----------
        rows : array, (n, *shape)
            Rows as stored.
        seed : int, optional
            With it a code is drawn from q(z|x); without it the code that stands for each row is given.

        Returns
        -------
        dict of str to array
            Codes (n, dim) by latent; the code of ``label`` is q(y|x).
        """
        model = self.autoencoder
        noise = None if seed is None else Noise(seed, CODES, device=self.device)
        parts = [model.encode(batch, noise) for batch in self._batches(rows)]
        codes = {name: np.concatenate([part[name].cpu().numpy() for part in parts]) for name in model.latents}
        return {name: finite_rows(code, "the code") for name, code in codes.items()}

    def __repr__(self) -> str:
        """Describe the run in one line."""
        return f"Run({str(self.folder.path)!r}: {', '.join(f'{key} {value}' for key, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        """Describe the run as a table, for notebooks."""
        return html_table(f"Run {self.folder.path.name}", {**self._facts(), "folder": str(self.folder.path)})

    def _facts(self) -> dict[str, str]:
        """Collect what the run is, by what to call it."""
        rows = f"{self.metadata['training_rows']} of {self.metadata['rows']} {self.shape}"
        classes = f"{len(self.class_names)}: {some(self.class_names)}" if self.class_names else ""
        facts = {
            "recipe": self.recipe.name,
            "data": self.recipe.data.source,
            "rows": rows,
            "classes": classes,
            "epochs": str(self.metadata.get("epochs") or self.recipe.training.epochs),
            "seed": str(self.recipe.training.seed),
            "model": self.model.description,
        }
        return {key: value for key, value in facts.items() if value}

    @property
    def history(self) -> list[dict[str, Any]]:
        """Metrics of each epoch, as `history_` of the estimators: ``epoch``, the mean losses, and what was measured."""
        return self.folder.read_metrics()

    def predict(self, rows: ArrayLike) -> NDArray[Any]:
        """Name the class, or number the cluster, of each row: (n, *shape) to (n,), whole numbers where names are some."""
        names = np.array(self.label_names)
        if all(name.isdecimal() and str(int(name)) == name for name in self.label_names):
            names = names.astype(np.int64)
        named: NDArray[Any] = names[self.predict_proba(rows).argmax(axis=1)]
        return named

    def transform(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Map rows (n, *shape) to points (n, dim): y W_C + z (section 7), or else the style code. The same as `embed`."""
        return self.embed(rows)

    @usual_state()
    @torch.no_grad()
    def embed(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Compute the point (n, dim) that stands for each row (n, *shape): y W_C + z (section 7), or else the style code."""
        codes, model = self.encode(rows), self.autoencoder
        if model.cluster_heads is None:
            return codes["style"]
        tensors = {name: torch.from_numpy(code).to(self.device) for name, code in codes.items()}
        embedded: NDArray[np.float32] = model.representation(tensors).cpu().numpy()
        return embedded

    @usual_state()
    @torch.no_grad()
    def label_logits(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Compute the logits (n, classes) of q(y|x) for rows (n, *shape) as stored."""
        model = self.model
        if not model.classifies:
            raise InputError(f"{self.folder.path}: the run infers no labels; expected one with a label latent")
        logits = np.concatenate([model.label_logits(batch).cpu().numpy() for batch in self._batches(rows)])
        return finite_rows(logits, "q(y|x)")

    def predict_proba(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Compute q(y|x) (n, classes) for rows (n, *shape) as stored."""
        probabilities: NDArray[np.float32] = torch.softmax(torch.from_numpy(self.label_logits(rows)), 1).numpy()
        return probabilities

    @usual_state()
    @torch.no_grad()
    def reconstruct(self, rows: ArrayLike, labels: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Encode and decode rows (n, *shape); `labels` (n,) where the decoder sees them. Same type and shape as stored."""
        rows = self._rows(rows)
        model, wanted = self.autoencoder, self._labels(labels, len(rows))
        parts = [
            model.reconstruct(batch, None if wanted is None else wanted[i * BATCH : (i + 1) * BATCH])
            for i, batch in enumerate(self._batches(rows))
        ]
        return self._stored(torch.cat(parts))

    @usual_state()
    @torch.no_grad()
    def decode(self, codes: dict[str, NDArray[np.float32]], labels: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Decode codes (n, dim) by latent to rows (n, *shape); `labels` (n,) where the decoder sees them.

        Raises
        ------
        InputError
            If a latent is missing, codes have another shape, or labels are missing or out of range.
        """
        model = self.autoencoder
        if codes.keys() != set(model.latents):
            raise InputError(
                f"codes are of {', '.join(codes) or 'nothing'}; the run expects {', '.join(model.latents)}"
            )
        tensors = {name: torch.from_numpy(np.array(code, np.float32)).to(self.device) for name, code in codes.items()}
        n = len(next(iter(tensors.values())))
        for name, tensor in tensors.items():
            expected = (n, model.latent(name).prior.dim)
            if tuple(tensor.shape) != expected:
                raise InputError(f"codes of {name} have shape {tuple(tensor.shape)}; expected {expected}")
        wanted = self._labels(labels, n)
        parts = []
        for start in range(0, max(1, n), BATCH):
            some = slice(start, start + BATCH)
            part = {name: tensor[some] for name, tensor in tensors.items()}
            parts.append(model.decode(part, None if wanted is None else wanted[some]))
        return self._stored(torch.cat(parts))

    def interpolate(self, first: ArrayLike, last: ArrayLike, steps: int = 8, label: Any = None) -> NDArray[Any]:
        """Decode codes on the straight line between the codes of two rows.

        Parameters
        ----------
        first, last : array, (*shape) or (n, *shape)
            A row each, or as many each.
        steps : int
            Number of rows from the first to the last, both reconstructed; 2 or larger.
        label : class, optional
            Where the decoder sees the label (section 4): that of all rows, as for `sample`.

        Returns
        -------
        array, (steps, *shape) or (n, steps, *shape)
            Rows, of the stored type.

        Raises
        ------
        InputError
            If the rows are not of this run's shape or not as many, `steps` is too small, or the label is missing or unknown.
        """
        ends = [np.asarray(as_rows(rows, self.metadata.get("columns", ()))) for rows in (first, last)]
        single = all(end.shape == self.shape for end in ends)
        codes = [self.encode(end[None] if single else end) for end in ends]
        n, m = (len(next(iter(one.values()))) for one in codes)
        if n != m:
            raise InputError(f"found {n} first and {m} last rows; expected as many of both")
        path = {name: between(codes[0][name], codes[1][name], steps) for name in codes[0]}
        flat = {name: points.reshape(n * steps, -1) for name, points in path.items()}
        labels = None if label is None else self._wanted(label, n * steps)
        rows = self.decode(flat, labels).reshape(n, steps, *self.shape)
        return rows[0] if single else rows

    @usual_state()
    @torch.no_grad()
    def score_samples(self, rows: ArrayLike) -> NDArray[np.float32]:
        r"""Compute how normal each row is: log p(x, z) at its style code z, in nats; larger is more normal.

        With d values in a row and s2 the ``noise_variance`` of run.json, measured on training rows at the end of training, it is

        log p(x\|z) + log p(z) = - \|x - decoded z\|^2 / (2 s2) - d / 2 log(2 pi s2) + log p(z),

        x being the scaled row. Where the density of the prior is not known everywhere the logit of the discriminator stands in
        for log p(z).

        Parameters
        ----------
        rows : array, (n, *shape)
            Rows as stored.

        Returns
        -------
        array, (n,)
            Scores.

        Raises
        ------
        InputError
            If the model has no style, its decoder has to be told labels, or the run was trained before there were scores.
        """
        model, variance = self.autoencoder, self.metadata.get("noise_variance")
        if "style" not in model.latents or model.decoder_classes is not None:
            raise InputError(
                f"{self.folder.path}: has no score; expected a model with a style whose decoder needs no label"
            )
        if variance is None:
            raise InputError(f"{self.folder.metadata}: holds no noise_variance; expected a run of this version")
        parts = [model.log_joint(batch, variance).cpu().numpy() for batch in self._batches(rows)]
        return finite_rows(np.concatenate(parts), "the score")

    def save(self, folder: str | Path) -> Path:
        """Write the run into a new folder that can be shared and that `aae.load` reads; see `aae.save_pretrained`."""
        from aae.runs.hub import save_pretrained

        return save_pretrained(self, folder)

    def export(self, folder: str | Path) -> list[Path]:
        """Write encoder, decoder, classifier and score, those that the run has, as ONNX files; see `aae export`."""
        from aae.runs.onnx import export

        return export(self, folder)

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

    @usual_state()
    @torch.no_grad()
    def sample(self, n: int, label: Any = None, seed: int = 0) -> NDArray[Any]:
        """Draw rows from the model.

        Parameters
        ----------
        n : int
            Number of rows.
        label : str, int or array-like of them, (n,), optional
            Class of all rows, or of each, with random style: its name; or its number, where no class is called so.
        seed : int
            Decides the draw.

        Returns
        -------
        array, (n, *shape)
            Rows, of the stored type.

        Raises
        ------
        InputError
            If the model knows no labels, `label` is out of range or `n` smaller than 1.
        """
        model = self.generative
        if n < 1:
            raise InputError(f"n is {n}; expected 1 or more rows")
        noise = Noise(seed, SAMPLES, device=self.device)
        labels = None if label is None else torch.from_numpy(self._wanted(label, n)).to(self.device)
        with seeded(seed, self.device):
            return self._stored(model.sample(n, labels, noise))

    def _wanted(self, label: Any, n: int) -> NDArray[np.int64]:
        """Number the label that `n` rows are to have, or the labels (n,) of each."""
        given = np.asarray(label)
        if given.shape not in ((), (n,)):
            raise InputError(f"labels have shape {given.shape}; expected one label, or {n} of them")
        numbers = [self._wanted_number(one) for one in given.ravel().tolist()]
        return np.resize(np.array(numbers, np.int64), n)

    def _wanted_number(self, label: Any) -> int:
        """Number a class: by its name, or by its number where classes have names that are no numbers."""
        names = self.label_names if self.model.encodes and self.model.classifies else self.class_names
        if isinstance(label, str) or str(label) in names or all(name.isdecimal() for name in names):
            return self.label_index(str(label))
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(names):
            raise InputError(f"label is {label!r}; expected one of: {', '.join(names)}, or 0 to {len(names) - 1}")
        return label

    @usual_state()
    @torch.no_grad()
    def sample_prior(self, n: int, seed: int = 0, latent: str = "style") -> NDArray[np.float32]:
        """Draw codes (n, dim) from the prior of one latent."""
        noise = Noise(seed, SAMPLES, device=self.device)
        with seeded(seed, self.device):
            codes: NDArray[np.float32] = self.autoencoder.latent(latent).prior.sample(n, None, noise).cpu().numpy()
        return codes

    def _view(self, X: Any, y: Any, image_shape: tuple[int, ...] | None) -> View:
        from aae.runs.view import view

        if X is None:
            return view(self)
        rows = self._rows(X)
        return view(self, rows=Split(rows, None if y is None else self._label_numbers(y, len(rows))))

    def _label_numbers(self, labels: Any, n: int) -> NDArray[np.int64]:
        """Number labels (n,): names of classes, or numbers of them with -1 for none."""
        given = np.asarray(labels)
        if given.dtype.kind in "OUS":
            given = np.array(
                [self.class_names.index(name) if (name := as_text(some)) in self.class_names else -2 for some in given]
            )
        numbers: NDArray[np.int64] = as_labels(given, "labels")
        if numbers.shape != (n,) or (n and not -1 <= numbers.min() <= numbers.max() < len(self.class_names)):
            raise InputError(
                f"labels: found {numbers.shape} labels; expected ({n},) of {', '.join(self.class_names) or 'none'}, or their "
                "numbers, -1 where there is none"
            )
        return numbers

    def _histories(self) -> tuple[list[Sequence[Mapping[str, Any]]], str]:
        from aae.runs.view import title

        return [self.folder.read_metrics()], title(self)

    def _samples(self, n: int) -> NDArray[Any]:
        return self.sample(n)

    def images(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Turn stored rows (n, *shape) into values in [0, 1] for plotting: black and white are the ends of the training rows."""
        low, high = (0, 255) if self.metadata["rows"] == "uint8" else self.metadata.get("row_range") or (0, 1)
        return np.clip((np.asarray(rows, np.float32) - low) / ((high - low) or 1), 0, 1)

    def _rows(self, rows: ArrayLike) -> NDArray[Any]:
        """Bring rows to an array of this run's shape (n, *shape); the columns of a data frame are taken by name."""
        found = as_rows(rows, self.metadata.get("columns", ()))
        if found.ndim == 4 and found.shape[1:] != self.shape:
            found = colours_last(found, "rows")
        if found.shape[1:] != self.shape or found.ndim == 0:
            raise InputError(f"rows have shape {found.shape}; the run expects {('n', *self.shape)}")
        return found

    def _batches(self, rows: ArrayLike) -> Iterator[Tensor]:
        """Scale rows batch by batch; checks that they are finite numbers."""
        found = self._rows(rows)
        for start in range(0, max(1, len(found)), BATCH):  # no rows are a batch too
            batch = np.array(found[start : start + BATCH])
            check_finite(batch, "rows", self.metadata.get("columns", ()), start)
            yield self.scaling(torch.from_numpy(batch).to(self.device))

    def _labels(self, labels: NDArray[np.int64] | None, n: int) -> Tensor | None:
        """Check the labels (n,) of rows to decode; None where the decoder sees none."""
        classes = self.autoencoder.decoder_classes
        if classes is None:
            return None
        if labels is not None and np.asarray(labels).dtype.kind in "OUS":
            labels = self._label_numbers(labels, n)
        given = np.full(n, -1) if labels is None else as_labels(labels, "labels")
        if given.shape != (n,):
            raise InputError(f"labels have shape {given.shape}; expected {(n,)}")
        if (given < 0).any():
            raise InputError(
                f"{int((given < 0).sum())} of {n} rows have no label; the decoder of this run sees the label (section 4), "
                "expected one for every row"
            )
        if n and given.max() >= classes:
            raise InputError(f"labels are up to {given.max()}; the run expects 0 to {classes - 1}")
        return torch.from_numpy(given).to(self.device)

    def _stored(self, rows: Tensor) -> NDArray[Any]:
        """Undo the scaling and give rows the type and shape they are stored with."""
        values = finite_rows(
            self.scaling.inverse(rows).cpu().numpy().reshape(-1, *self.shape), "what the decoder makes"
        )
        if self.metadata["rows"] == "uint8":
            values = np.clip(np.rint(values), 0, 255)
        return np.asarray(values, self.metadata["rows"])
