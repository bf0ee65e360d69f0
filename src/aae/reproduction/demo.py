"""The demonstration: what unlabelled rows add when labels are few."""

from __future__ import annotations

from pathlib import Path

from aae.errors import InputError
from aae.recipes import Recipe
from aae.recipes.build_data import load_data
from aae.runs.evaluate import evaluate
from aae.runs.plot import plot
from aae.runs.recipe import read_recipe
from aae.runs.resume import check_same_recipe
from aae.runs.train import train
from aae.training.run_directory import RunDirectory


def demo(folder: Path, device: str = "auto") -> tuple[dict[str, float], list[Path]]:
    """Train `demo` (semi-supervised) and `demo-supervised` (labels only) on digits and compare their test errors.

    Parameters
    ----------
    folder : Path
        Gets a run folder `demo` and one `demo-supervised`; those of an earlier demonstration are used again, and
        gone on with if it was interrupted.
    device : {"auto", "cpu", "cuda"}
        Where to train.

    Returns
    -------
    comparison : dict of str to float
        Test error in percent by what was learned from.
    figures : list of Path
        The figures of the semi-supervised run.

    Raises
    ------
    InputError
        If another run is in its place.
    """
    names = {"demo": "50 labels and 1,188 unlabelled rows", "demo-supervised": "50 labels alone"}
    for name in names:
        _require_own(RunDirectory(folder / name), read_recipe(name))
    comparison: dict[str, float] = {}
    figures: list[Path] = []
    for name, learned_from in names.items():
        recipe = read_recipe(name)
        dataset = load_data(recipe)
        run = train(recipe, dataset, run=folder / name, device=device, resume=True)
        comparison[learned_from] = evaluate(run, data=dataset)["metrics"]["test_error_percent"]
        if name == "demo":
            figures = plot(run, data=dataset)
    return comparison, figures


def _require_own(folder: RunDirectory, recipe: Recipe) -> None:
    """Check that a folder is new or has the run of this very recipe."""
    if folder.is_new():
        return
    try:
        changed = check_same_recipe(folder, recipe, complete=False)
        same = not changed and folder.finished_epochs() in (0, recipe.training.epochs)
    except InputError:
        same = False
    if not same:
        folder.require_new()
