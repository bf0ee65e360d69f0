"""Searches over parameters where most rows have no label."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score

import aae
from aae.errors import InputError
from aae.estimators import LabelledKFold, labelled_accuracy

ROWS, SPECIES = load_iris(return_X_y=True)
FEW = np.where(np.arange(150) % 10 == 0, SPECIES, -1)


def test_labelled_rows_are_split_and_the_others_always_trained_on():
    names = np.where(FEW < 0, "?", np.array(["a", "b", "c"])[FEW])
    folds = list(LabelledKFold(5, unlabelled="?").split(ROWS, names))
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == np.flatnonzero(FEW >= 0).tolist()
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(150))
        assert sorted(names[test]) == ["a", "b", "c"]


def test_minus_one_beside_one_is_a_class_as_the_classifier_has_it():
    y = np.where(SPECIES == 0, -1, 1)
    folds = list(LabelledKFold(5).split(ROWS, y))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(150))
    assert all(set(y[test]) == {-1, 1} for _, test in folds)


@pytest.mark.parametrize(
    ("splits", "labels", "message"),
    [
        (6, FEW, "n_splits is 6; the largest class has 5 labelled rows, expected as many"),
        (1, FEW, "n_splits is 1; expected 2 or larger"),
        (2, np.full(150, -1), "n_splits is 2; the largest class has 0 labelled rows"),
        (2, None, "y is None; expected labels"),
    ],
)
def test_too_few_labels_to_split_get_one_line(splits, labels, message):
    with pytest.raises(InputError, match=f"^{message}"):
        list(LabelledKFold(splits).split(ROWS, labels))


def test_a_search_ranks_by_the_labelled_rows():
    few = np.where(np.arange(150) % 3 == 0, SPECIES, -1)
    model = aae.SemiSupervisedAAE(random_state=0, hidden_layer_sizes=(16,), discriminator_layer_sizes=(8,))
    search = GridSearchCV(model, {"epochs": [1, 40]}, cv=LabelledKFold(2), scoring=labelled_accuracy).fit(ROWS, few)
    assert search.best_params_ == {"epochs": 40}
    assert search.best_score_ > 0.7
    assert search.score(ROWS, few) == search.best_estimator_.score(ROWS, few)
    assert cross_val_score(model.set_params(epochs=40), ROWS, few, cv=3).mean() > 0.6  # folds of all rows


def test_the_scorer_leaves_unlabelled_rows_out():
    class Zero:
        def predict(self, X):
            return np.zeros(len(X), np.int64)

    assert labelled_accuracy(Zero(), ROWS[:4], [0, -1, 1, np.nan]) == 0.5
    assert labelled_accuracy(Zero(), ROWS[:4], [0, -1, 1, -1], [3, 1, 1, 1]) == 0.75
    assert np.isnan(labelled_accuracy(Zero(), ROWS[:2], [-1, -1]))
    with pytest.raises(
        InputError, match=r"^labels are text and the classes numbers; expected labels as fit was given them$"
    ):
        labelled_accuracy(Zero(), ROWS[:2], ["0", "1"])
