"""What stands for "no label" is the same for all estimators, in whatever form labels come."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris

import aae
from aae.errors import InputError, InputWarning

ROWS, SPECIES = load_iris(return_X_y=True)
HIDDEN = np.arange(150) % 3 > 0
NAMES = np.array(["u", "v", "w"], object)[SPECIES]
SMALL = {"hidden_layer_sizes": (16,), "discriminator_layer_sizes": (16,), "random_state": 0, "epochs": 2}


def hide(mark, labels=NAMES, kind=object):
    """Labels of which two thirds are replaced."""
    few = labels.astype(object)
    few[HIDDEN] = mark
    return few.astype(kind)


NAMED = [hide(mark) for mark in (None, np.nan, pd.NA, "", "-1", -1, " ", "NA", "nan", "<NA>")]
NAMED += [hide("", kind=str), hide("-1", kind=str), pd.Series(hide(None)), pd.Series(hide(None), dtype="string")]
NAMED += [
    pd.Series(hide(None)).fillna("-1"),
    pd.Categorical(hide(None)),
    pd.Series(hide(None), dtype="category"),
    list(hide(None)),
    hide("-1", kind="S2"),
    hide("", kind="S2").astype(object),
]
if hasattr(np.dtypes, "StringDType"):
    NAMED.append(hide("-1", kind=str).astype(np.dtypes.StringDType()))
NUMBERED = [hide(np.nan, SPECIES, float), hide(None, SPECIES), pd.Series(hide(pd.NA, SPECIES), dtype="Int64")]
NUMBERED += [hide(-1, SPECIES, np.int8), hide(-1.0, SPECIES, np.float32)]


@pytest.fixture(scope="module")
def expected():
    """What -1 gives, by as many threads as the tests have."""
    return aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, np.where(HIDDEN, -1, SPECIES)).predict_proba(ROWS)


@pytest.mark.filterwarnings("ignore:labels. the label:aae.errors.InputWarning")
@pytest.mark.parametrize("labels", NAMED)
def test_names(expected, labels):
    model = aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, labels)
    assert model.classes_.tolist() == ["u", "v", "w"]
    np.testing.assert_array_equal(model.predict_proba(ROWS), expected)
    assert model.score(ROWS, labels) == (model.predict(ROWS) == NAMES)[~HIDDEN].mean()
    embedding = aae.AAEEmbedding(2, **SMALL).fit(ROWS, labels)
    assert embedding.classes_.tolist() == ["u", "v", "w"]


@pytest.mark.parametrize("labels", NUMBERED)
def test_numbers(expected, labels):
    model = aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, labels)
    assert model.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(model.predict_proba(ROWS), expected)
    model.partial_fit(ROWS, labels)


@pytest.mark.parametrize(
    ("mark", "labels"), [("unknown", hide("unknown")), (99, hide(99, SPECIES, int)), (["a", "b"], hide("b"))]
)
def test_a_name_of_ones_own(expected, mark, labels):
    model = aae.SemiSupervisedAAE(2, **SMALL, unlabelled=mark).fit(ROWS, labels)
    np.testing.assert_array_equal(model.predict_proba(ROWS), expected)
    assert len(aae.AAEEmbedding(2, **SMALL, unlabelled=mark).fit(ROWS, labels).classes_) == 3


def test_rows_without_any_label():
    for mark in (None, np.nan, "", -1):
        labels = np.full(150, mark, object)
        with pytest.raises(ValueError, match="all 150 rows are unlabelled"):
            aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, labels)
        assert not len(aae.AAEEmbedding(2, **SMALL).fit(ROWS, labels).classes_)


def test_true_and_false_are_labels():
    for labels in (SPECIES > 0, (SPECIES > 0).astype(object)):
        assert aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, labels).classes_.tolist() == [False, True]
    few = (SPECIES > 0).astype(object)
    few[HIDDEN] = None
    assert aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, few).classes_.tolist() == [False, True]


@pytest.mark.parametrize("make", [aae.SemiSupervisedAAE, aae.SupervisedAAE])
def test_labels_that_are_minus_one_and_one_alone_are_two_classes_and_a_warning_says_so(make):
    rows, signs = ROWS[SPECIES < 2], np.where(SPECIES[SPECIES < 2] == 1, 1, -1)
    with pytest.warns(InputWarning, match="-1 and 1 alone, and both are taken for classes"):
        model = make(2, **{**SMALL, "epochs": 30}).fit(rows, signs, validation_data=(rows, signs))
    assert model.classes_.tolist() == [-1, 1]
    assert model.sample(3, -1).shape == (3, 4)
    with pytest.raises(InputError, match="a label is missing, and -1 is one of the classes"):
        model.partial_fit(rows, np.where(np.arange(100) < 9, np.nan, signs))
    model.partial_fit(rows, signs, classes=[-1, 1]).partial_fit(rows[:9], signs[:9])
    if hasattr(model, "predict"):
        assert model.score(rows, signs) == (model.predict(rows) == signs).mean() > 0.9
    declared = make(2, **SMALL).partial_fit(rows, signs, classes=[-1, 1])  # said outright: no warning
    assert declared.classes_.tolist() == [-1, 1]


def test_whole_numbers_beside_na_stay_whole_numbers():
    labels = pd.Series(hide(pd.NA, SPECIES), dtype="Int64")
    classes = aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, labels).classes_
    assert (classes.dtype.kind, classes.tolist()) == ("i", [0, 1, 2])


def test_one_label_or_those_of_rows_in_any_form_are_decoded():
    model = aae.SupervisedAAE(2, **SMALL).fit(ROWS, NAMES)
    styles = np.zeros((3, 2))
    expected = model.decode(styles, ["v", "v", "v"])
    for labels in ("v", np.str_("v"), [b"v"] * 3, np.array([["v"]] * 3), pd.Series(["v"] * 3, dtype="string")):
        assert np.array_equal(model.decode(styles, labels), expected)
    with pytest.raises(InputError, match=r"labels have shape \(2,\); expected one label, or 3 of them"):
        model.decode(styles, ["v", "v"])


def test_classes_whose_names_are_words_for_nothing_are_pointed_out():
    countries = np.array(["NA", "US", "EU"])[SPECIES]
    with pytest.warns(InputWarning, match="the label 'NA' of 50 rows is read as no label"):
        assert aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, countries).classes_.tolist() == ["EU", "US"]
    aae.SemiSupervisedAAE(2, unlabelled="NA", **SMALL).fit(ROWS, countries)  # which says so


LARGE = [2**60, 2**60 + 1]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pl.Series([5, None, 6] * 50), [5, 6]),
        (pd.Series(pd.Categorical([1, 2, None] * 50)), [1, 2]),
        (pl.Series([LARGE[0], None, LARGE[1]] * 50), LARGE),
        (pa.array([LARGE[0], None, LARGE[1]] * 50), LARGE),
        (pa.chunked_array([[LARGE[0], None, LARGE[1]] * 50]), LARGE),
        (pl.DataFrame({"y": [LARGE[0], None, LARGE[1]] * 50}), LARGE),
        (pa.table({"y": [LARGE[0], None, LARGE[1]] * 50}), LARGE),
        (pd.DataFrame({"y": pd.array([LARGE[0], None, LARGE[1]] * 50, "Int64")}), LARGE),
        (pl.Series([True, None, False] * 50), [False, True]),
        (np.ma.masked_array([7, 8, 9] * 50, [False, True, False] * 50), [7, 9]),
        (np.ma.masked_array(["a", "b", "c"] * 50, [False, True, False] * 50), ["a", "c"]),
    ],
)
def test_labels_beside_missing_or_masked_ones_stay_what_they_are(labels, classes):
    model = aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, labels)
    assert model.classes_.tolist() == classes
    data = aae.data.from_arrays(ROWS, labels)
    assert list(data.class_names) == [str(int(one) if isinstance(one, bool) else one) for one in classes]


@pytest.mark.parametrize("form", [list, pl.Series, pd.Series, lambda values: np.array(values, object)])
def test_text_that_numpy_would_cut_is_refused(form):
    labels = form(["a\0", "a", "b"] * 50)
    for use in (aae.SemiSupervisedAAE(2, **SMALL).fit, aae.data.from_arrays):
        with pytest.raises(InputError, match=r"^labels: found 'a\\x00', expected text that does not end in a zero"):
            use(ROWS, labels)


def test_masked_labels_are_not_scored():
    masked = np.ma.masked_array(np.where(HIDDEN, (SPECIES + 1) % 3, SPECIES), HIDDEN)
    model = aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, SPECIES)
    assert model.score(ROWS, masked) == (model.predict(ROWS) == SPECIES)[~HIDDEN].mean()


def test_masked_weights_and_covariates_are_refused():
    ones = np.ma.masked_array(np.ones(150), HIDDEN)
    with pytest.raises(InputError, match=r"^sample_weight has 100 masked values; expected none"):
        aae.SemiSupervisedAAE(2, **SMALL).fit(ROWS, SPECIES, sample_weight=ones)
    with pytest.raises(InputError, match=r"^covariates: found 100 masked values, expected none"):
        aae.AAE(2, **SMALL).fit(ROWS, covariates=ones)
