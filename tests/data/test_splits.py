"""Labelled subsets and held-out splits."""

import numpy as np
import pytest

from aae.data import Split, labelled_subset, load
from aae.data.splits import hold_out
from aae.errors import InputError

LABELS = np.random.default_rng(3).integers(-1, 5, 400)


def test_balanced_seeded_and_only_labelled():
    chosen = labelled_subset(LABELS, 50, num_classes=5, seed=1)
    np.testing.assert_array_equal(np.bincount(LABELS[chosen]), [10] * 5)
    assert len(np.unique(chosen)) == 50
    np.testing.assert_array_equal(chosen, labelled_subset(LABELS, 50, num_classes=5, seed=1))
    assert not np.array_equal(chosen, labelled_subset(LABELS, 50, num_classes=5, seed=2))


def test_the_remainder_goes_to_seeded_classes():
    counts = [np.bincount(LABELS[labelled_subset(LABELS, 12, num_classes=5, seed=seed)]) for seed in range(20)]
    assert {tuple(sorted(count)) for count in counts} == {(2, 2, 2, 3, 3)}
    assert len({tuple(count) for count in counts}) > 1


def test_all_labelled_rows_even_if_uneven():
    labels = np.array([0, 0, 0, 1, -1])
    np.testing.assert_array_equal(labelled_subset(labels, 4, num_classes=2, seed=0), [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        ([0, 0, 0, 1], 1, "fewer labelled rows than classes"),
        ([0, 0, 0, 1, -1], 5, "found 5, expected at most the 4"),
        ([0, 0, 0, 0, 0, 1], 4, "found 1 of class 1, expected at least 2"),
        ([0, 1, 2], 2, "labels: found 2 in row 2, expected -1 to 1"),
        ([0, 1, -2], 2, "labels: found -2 in row 2"),
    ],
)
def test_impossible_subsets(labels, count, message):
    with pytest.raises(InputError, match=message):
        labelled_subset(np.array(labels), count, num_classes=2, seed=0)


@pytest.mark.parametrize("amount", [37, 0.25, 1])
def test_held_out_rows_are_in_proportion_and_disjoint(amount):
    split = Split(np.arange(400)[:, None], LABELS)
    kept, held = hold_out(split, amount, option="test", where="here")
    count = amount if isinstance(amount, int) else round(amount * 400)
    assert len(held) == count
    np.testing.assert_array_equal(np.sort(np.r_[kept.rows[:, 0], held.rows[:, 0]]), np.arange(400))
    np.testing.assert_array_equal(held.labels, LABELS[held.rows[:, 0]])
    share = np.bincount(LABELS + 1) * count / 400
    assert np.abs(np.bincount(held.labels + 1, minlength=6) - share).max() <= 1


def test_a_split_is_the_same_every_time(tmp_path):
    rows = np.arange(30.0)[:, None]
    np.savez(tmp_path / "a.npz", X=rows, y=np.arange(30) % 3)
    first, second = (load(str(tmp_path / "a.npz"), validation=6, test=0.2) for _ in range(2))
    assert (len(first.train), len(first.validation), len(first.test)) == (18, 6, 6)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(first, name).rows, getattr(second, name).rows)
        np.testing.assert_array_equal(np.bincount(getattr(first, name).labels), [len(getattr(first, name)) // 3] * 3)
    together = np.concatenate([first.train.rows, first.validation.rows, first.test.rows])
    np.testing.assert_array_equal(np.sort(together[:, 0]), rows[:, 0])
    fewer = load(str(tmp_path / "a.npz"), test=0.2)  # validation never changes the test split
    np.testing.assert_array_equal(fewer.test.rows, first.test.rows)


def test_a_split_checks_its_labels():
    with pytest.raises(ValueError, match="expected \\(3,\\)"):
        Split(np.zeros((3, 1)), np.zeros(2, np.int64))
