"""The demonstration: what unlabelled rows are worth when labels are few."""

from __future__ import annotations

import shutil
from pathlib import Path

from aae.recipes.build_data import load_data
from aae.runs.evaluate import evaluate
from aae.runs.plot import draw
from aae.runs.train import command, read_recipe, train
from aae.training.run_directory import RunDirectory


def demo(folder: Path, device: str = "auto") -> tuple[dict[str, float], list[Path]]:
    """Train `demo` (semi-supervised) and `demo-supervised` (labels only) on digits and compare their test errors.

    Parameters
    ----------
    folder : Path
        Gets a run folder `demo` and one `demo-supervised`; those of an earlier demonstration are replaced.
    device : {"auto", "cpu", "cuda"}
        Where to train.

    Returns
    -------
    comparison : dict of str to float
        Test error in percent by what was learnt from.
    figures : list of Path
        The figures of the semi-supervised run.

    Raises
    ------
    InputError
        If something else is in their place.
    """
    names = {"demo": "50 labels and 1,188 unlabelled rows", "demo-supervised": "50 labels alone"}
    earlier = [RunDirectory(folder / name) for name in names]
    for run_folder, name in zip(earlier, names, strict=True):
        if not run_folder.recipe.is_file() or run_folder.read_metadata().get("command") != command(read_recipe(name)):
            run_folder.require_new()
    for run_folder in earlier:
        shutil.rmtree(run_folder.path, ignore_errors=True)
    comparison: dict[str, float] = {}
    figures: list[Path] = []
    for name, learnt_from in names.items():
        recipe = read_recipe(name)
        dataset = load_data(recipe)
        run = train(recipe, dataset, run=folder / name, device=device)
        comparison[learnt_from] = evaluate(run, dataset=dataset)["metrics"]["test_error_percent"]
        if name == "demo":
            figures = draw(run, dataset=dataset)
    return comparison, figures
