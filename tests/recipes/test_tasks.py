"""Recipes that are named after a task train as the estimator for it does by default."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

import aae
from aae.recipes import read
from aae.recipes.schema import ModelSettings

ROWS, SPECIES = load_iris(return_X_y=True)
FEW = np.where(np.arange(150) % 5 == 0, SPECIES, -1)
TASKS = {"anomalies": (aae.AAE, None), "classify": (aae.SemiSupervisedAAE, FEW)}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_the_settings_of_its_estimator(task):
    make, labels = TASKS[task]
    recipe, estimator = read(task), make(random_state=0)
    found = make(epochs=1, random_state=0).fit(ROWS, labels)
    model = ModelSettings.model_validate_json(found._built_from)
    if model.label is not None:  # a recipe takes their number from the data
        model = model.model_copy(update={"label": model.label.model_copy(update={"categories": None})})
    assert recipe.model == model
    settings = estimator._training_settings(recipe.training.epochs, 0, incremental=False)
    own = {"seed", "checkpoint_every", "min_steps", "phases"}
    for name in type(settings).model_fields.keys() - own:
        assert getattr(recipe.training, name) == getattr(settings, name), name
    named = recipe.training.model_extra or {}
    for phase in found._phases(found.model_, labels is not None, settings):
        given = named.get(phase.name) or getattr(recipe.training, phase.name)
        assert {**phase.optimizer.model_dump(), **dict(given)} == phase.optimizer.model_dump(), phase.name
    steps = len(ROWS) // min(estimator.batch_size, len(ROWS))
    passes = max(recipe.training.epochs, -(-recipe.training.min_steps // steps))
    assert estimator._epochs(len(ROWS)) == passes
    assert recipe.evaluation.contamination == getattr(estimator, "contamination", None)
