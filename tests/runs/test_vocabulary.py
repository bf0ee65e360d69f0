"""A run from Python: trained on arrays, with settings by keyword, and used by the names that estimators have."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

import aae
from aae.errors import InputError
from aae.runs.run import Run

SMALL = {f"model__{network}__hidden": [8] for network in ("encoder", "decoder", "discriminator")}
SPECIES = np.array(["setosa", "versicolor", "virginica"])


@pytest.fixture(scope="module")
def iris():
    frame = pd.DataFrame(load_iris().data, columns=["a", "b", "c", "d"])
    labels = SPECIES[load_iris().target].astype(object)
    labels[::2] = None
    return frame, labels


@pytest.fixture(scope="module")
def run(iris, tmp_path_factory):
    """Flowers, half of them without a name."""
    folder = tmp_path_factory.mktemp("vocabulary") / "iris"
    return aae.train("demo", iris, run=folder, epochs=2, training__batch_size=np.int64(20), device="cpu", **SMALL)


def test_a_recipe_is_trained_on_arrays_with_settings_by_keyword(run, iris):
    assert isinstance(run, Run)
    assert (run.class_names, run.metadata["columns"]) == (tuple(SPECIES), ["a", "b", "c", "d"])
    assert (run.recipe.training.batch_size, run.recipe.training.epochs, run.recipe.data.labels) == (20, 2, "all")
    assert run.recipe.data.source == "<arrays>"
    assert json.loads(run.folder.metadata.read_text())["training_rows"] == 102
    assert run.load_data(iris).class_names == run.class_names


def test_rows_that_were_given_have_to_be_given_again(run, iris):
    with pytest.raises(
        InputError, match=r"iris: data\.source is '<arrays>': the rows were given from Python; expected"
    ):
        run.load_data()
    with pytest.raises(InputError, match="not the data of"):
        run.load_data((iris[0][::-1], iris[1]))
    with pytest.raises(InputError, match="the rows were given from Python"):
        aae.train(run.folder.recipe, run=run.folder.path, resume=True, epochs=3)
    with pytest.raises(InputError, match="cannot resume on other data"):
        aae.train(run.folder.recipe, iris[0], run=run.folder.path, resume=True)
    same = aae.train(run.folder.recipe, iris, run=run.folder.path, resume=True, device="cpu")
    assert same.metadata == run.metadata


def test_several_seeds_are_a_list(iris, tmp_path):
    runs = aae.train("demo", iris, run=tmp_path, epochs=1, seeds=2, device="cpu", **SMALL)
    assert [one.folder.path.name for one in runs] == ["seed-0", "seed-1"]


BAD = {
    "a key": ({"training__batch_sise": 3}, "unknown key 'training.batch_sise'; did you mean 'batch_size'?"),
    "a section": ({"training__batch_size__x": 3}, r"training\.batch_size\.x"),
    "a value": ({"model__encoder__hidden": "wide"}, r"model\.encoder\.hidden is 'wide'; expected"),
    "epochs": ({"epochs": 0}, r"training\.epochs is 0; expected"),
    "seeds": ({"seeds": 0}, "seeds is 0; expected a whole number from 1"),
    "a tuple": ({"data": (1, 2, 3)}, r"found a tuple of 3, expected \(rows, labels\)"),
    "labels from a file": ({"data__labels_file": "y.npy"}, r"data\.labels_file is 'y\.npy'; rows from Python expect"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_one_line_and_leave_nothing(case, iris, tmp_path):
    changes, message = BAD[case]
    with pytest.raises(InputError, match=message):
        aae.train("demo", **{"data": iris, "run": tmp_path / "run", **changes})
    assert not (tmp_path / "run").exists()
