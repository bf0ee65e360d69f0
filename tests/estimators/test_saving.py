"""Estimators share the names of runs, and are kept as safetensors and JSON."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from aae import AAE, AAEClusterer, AAEEmbedding, SemiSupervisedAAE, SupervisedAAE
from aae.errors import InputError
from aae.priors import Gaussian

ROWS, SPECIES = load_iris(return_X_y=True)
FRAME = pd.DataFrame(ROWS, columns=list("abcd"))
SOME = np.array(["s", "v", "w"], object)[SPECIES]
SOME[::3] = None
SMALL = {"epochs": 1, "hidden_layer_sizes": (8,), "discriminator_layer_sizes": (8,)}


def ring(n):
    return torch.nn.functional.normalize(torch.randn(n, 2))


@pytest.fixture(scope="module")
def fitted():
    return {
        "AAE": AAE(2, prior=Gaussian(2, std=3), random_state=0, **SMALL).fit(FRAME),
        "AAE with a function": AAE(2, prior=ring, random_state=0, **SMALL).fit(ROWS),
        "SemiSupervisedAAE": SemiSupervisedAAE(random_state=0, **SMALL).fit(ROWS, SOME),
        "SupervisedAAE": SupervisedAAE(random_state=np.random.RandomState(3), **SMALL).fit(ROWS, SPECIES),
        "AAEClusterer": AAEClusterer(3, random_state=0, **SMALL).fit(ROWS),
        "AAEEmbedding": AAEEmbedding(n_clusters=3, random_state=0, **SMALL).fit(ROWS),
    }


KINDS = ["AAE", "SemiSupervisedAAE", "SupervisedAAE", "AAEClusterer", "AAEEmbedding"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_estimator_is_the_same_and_goes_on_the_same(fitted, kind, tmp_path):
    model = fitted[kind]
    rows = FRAME if kind == "AAE" else ROWS
    again = type(model).load(model.save(tmp_path / "kept"))
    assert vars(again).keys() == vars(model).keys()
    assert (again.history, again.n_iter_) == (model.history_, 1)
    for name in ("transform", "predict", "predict_proba", "score_samples"):
        if hasattr(model, name):
            np.testing.assert_array_equal(getattr(again, name)(rows), getattr(model, name)(rows))
    if hasattr(model, "partial_fit"):
        both = (type(model).load(tmp_path / "kept"), type(model).load(tmp_path / "kept"))
        labels = {"SemiSupervisedAAE": (SOME,), "SupervisedAAE": (SPECIES,)}.get(kind, ())
        first, second = (one.partial_fit(rows, *labels).encode(rows)["style"] for one in both)
        np.testing.assert_array_equal(first, second)
        assert (first != model.encode(rows)["style"]).any()
    with pytest.raises(InputError, match="already exists; expected a new or an empty folder"):
        model.save(tmp_path / "kept")


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("kind", KINDS)
def test_codes_rows_and_what_lies_between(fitted, kind):
    model = fitted[kind]
    label = {"label": 1} if kind == "SupervisedAAE" else {}
    y = {"y": 1} if kind == "SupervisedAAE" else {}
    ends = FRAME.iloc[[0, 99]] if kind == "AAE" else ROWS[[0, 99]]
    codes = model.encode(ends)
    assert all(len(code) == 2 for code in codes.values())
    decoded = model.decode(codes, **y)
    np.testing.assert_array_equal(model.reconstruct(ends, **y), decoded)
    path = model.interpolate(ends[:1], ends[1:], 3, **label)
    np.testing.assert_allclose(path[0, [0, 2]], decoded, rtol=1e-5)
    middle = {name: (code[:1] + code[1:]) / 2 for name, code in codes.items()}
    np.testing.assert_allclose(path[0, 1:2], model.decode(middle, **y), rtol=1e-5)
    assert model.interpolate(ROWS[0], ROWS[1], 5, **label).shape == (5, 4)


BAD_USES = {
    "latents": (
        "AAEClusterer",
        lambda m: m.decode(ROWS[:, :2]),
        "codes are of style; expected style, label|expected label",
    ),
    "lengths": (
        "AAEClusterer",
        lambda m: m.decode({"label": np.eye(3), "style": np.zeros((2, 5))}),
        r"codes of \w+ are \d; expected",
    ),
    "columns": ("AAE", lambda m: m.decode(np.zeros((3, 5))), "codes have 5 columns; expected 2"),
    "no label": ("SupervisedAAE", lambda m: m.reconstruct(ROWS), "y is None; expected labels"),
    "steps": ("AAE", lambda m: m.interpolate(ROWS[0], ROWS[1], 1), "steps is 1; expected"),
    "pairs": ("AAE", lambda m: m.interpolate(ROWS[:2], ROWS[:3]), "found 2 first and 3 last rows"),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("case", BAD_USES)
def test_bad_uses_are_one_line(fitted, case):
    kind, use, message = BAD_USES[case]
    with pytest.raises(InputError, match=message):
        use(fitted[kind])


def change(folder, **changes):
    record = json.loads((folder / "estimator.json").read_text())
    (folder / "estimator.json").write_text(json.dumps(record | changes))


def test_what_is_no_saved_estimator_is_one_line(fitted, tmp_path):
    kept = fitted["AAE"].save(tmp_path / "kept")
    with pytest.raises(InputError, match="holds an estimator 'AAE'; expected 'AAEClusterer'"):
        AAEClusterer.load(kept)
    with pytest.raises(InputError, match=r"holds no estimator\.json"):
        AAE.load(tmp_path)
    with pytest.raises(InputError, match="unknown parameter 'depth'"):
        AAE.load(kept, depth=3)
    with pytest.raises(NotFittedError):
        AAE().save(tmp_path / "other")
    function = fitted["AAE with a function"].save(tmp_path / "function")
    with pytest.raises(InputError, match="prior was a function or module, which is not kept; expected"):
        AAE.load(function)
    again = AAE.load(function, prior=ring)
    np.testing.assert_array_equal(again.transform(ROWS), fitted["AAE with a function"].transform(ROWS))
    attributes = json.loads((kept / "estimator.json").read_text())["attributes"]
    without = {name: value for name, value in attributes.items() if name != "scaler_"}
    for changes in (
        {"attributes": {}},
        {"attributes": without},
        {"attributes": {**without, "scaler_": 3}},
        {"attributes": {**attributes, "transform": "text"}},
        {"parameters": {"prior": {"prior": "abc", "arguments": {}}}},
        {"code": 3},
    ):
        damaged = fitted["AAE"].save(tmp_path / str(len(list(tmp_path.iterdir()))))
        change(damaged, **changes)
        with pytest.raises(InputError, match="not an estimator of this version"):
            AAE.load(damaged)
    (kept / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="not a readable safetensors file"):
        AAE.load(kept)


DAYS = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")


@pytest.mark.parametrize(
    "labels",
    [*(SPECIES.astype(kind) for kind in (">i4", ">f8", "<i2", bool)), DAYS[SPECIES], DAYS.astype("M8[ns]")[SPECIES]],
    ids=lambda labels: labels.dtype.str,
)
def test_labels_of_any_type_come_back(labels, tmp_path):
    model = SemiSupervisedAAE(random_state=0, **SMALL).fit(ROWS, labels)
    model.save(tmp_path / "m")
    loaded = SemiSupervisedAAE.load(tmp_path / "m")
    assert loaded.classes_.tolist() == model.classes_.tolist()
    np.testing.assert_array_equal(loaded.predict(ROWS), model.predict(ROWS))


def test_weights_by_class_as_scikit_learn_computes_them_are_saved(tmp_path):
    weights = dict(zip(np.unique(SPECIES), np.array([1.0, 2.0, 0.5]), strict=True))
    SemiSupervisedAAE(class_weight=weights, random_state=0, **SMALL).fit(ROWS, SPECIES).save(tmp_path / "m")
    assert SemiSupervisedAAE.load(tmp_path / "m").class_weight == weights


@pytest.mark.parametrize("given", [{"class_prior": pd.Series([0.2, 0.3, 0.5])}, {"unlabelled": {"abc", 7}}])
def test_parameters_that_fit_takes_are_saved(given, tmp_path):
    SemiSupervisedAAE(random_state=0, **given, **SMALL).fit(ROWS, SPECIES).save(tmp_path / "m")
    loaded = SemiSupervisedAAE.load(tmp_path / "m")
    for name, value in given.items():
        assert sorted(getattr(loaded, name), key=repr) == sorted(value, key=repr)


@pytest.mark.parametrize("change", [{"latent_dim": 5}, {"posterior": "bogus"}])
def test_a_saved_model_keeps_what_it_is_made_of(change, tmp_path):
    AAE(2, epochs=1, random_state=0).fit(np.eye(6)).save(tmp_path / "a")
    with pytest.raises(InputError, match=f"{min(change)} is .*; the saved model has .*, expected the same"):
        AAE.load(tmp_path / "a", **change)
    assert AAE.load(tmp_path / "a", latent_dim=2, verbose=1).verbose == 1


@pytest.mark.parametrize("names", [pd.date_range("2020-01-01", periods=3), pd.period_range("2020", periods=3)])
def test_names_of_columns_that_take_code_are_one_line(names, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=names)
    model = AAE(2, epochs=1, random_state=0).fit(frame)
    with pytest.raises(InputError, match=r"^the name of a column.* is of type (Timestamp|Period)"):
        model.save(tmp_path / "saved")
