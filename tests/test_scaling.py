"""The one rule for the scaling of rows."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from aae.errors import InputError
from aae.scaling import Scaling, choose_scaling, value_range

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(400, 4))


def deviations(rows, **options):
    """Standard deviations of the columns, scaled."""
    return choose_scaling(rows, **options).transform(rows).std(0)


@pytest.mark.parametrize("unit", [1, 1e-17, 1e-170, 1e9, 1e170, -3])
def test_the_unit_of_a_table_changes_nothing(unit):
    plain, other = choose_scaling(NORMAL), choose_scaling(NORMAL * unit)
    assert plain.kind == other.kind == "common"
    scaled = other.transform(NORMAL * unit)
    np.testing.assert_allclose(scaled * np.sign(unit), plain.transform(NORMAL), atol=1e-6)
    assert np.sqrt(np.square(scaled).mean()) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(other.inverse_transform(scaled), NORMAL * unit, atol=1e-6 * abs(unit))


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64, np.float16, np.float32]
)
def test_the_type_of_a_table_changes_nothing(dtype):
    rows = RNG.integers(0, 2, (60, 5))
    np.testing.assert_array_equal(
        choose_scaling(rows.astype(dtype)).transform(rows.astype(dtype)), choose_scaling(rows).transform(rows)
    )


def test_columns_with_units_of_their_own_get_a_scale_of_their_own():
    for units in ([1e-9, 1e9], [1, 1, 1e-6], [1, 5, 25, 125]):
        rows = NORMAL[:, : len(units)] * units
        assert choose_scaling(rows).kind == "standardize"
        np.testing.assert_allclose(deviations(rows), 1, rtol=1e-3)


def test_columns_of_one_unit_keep_their_proportions():
    rows = load_digits().data
    scaling = choose_scaling(rows)
    assert scaling.kind == "common"
    ratio = deviations(rows)[scaling.transform(rows).std(0) > 0] / rows.std(0)[rows.std(0) > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_many_digits_survive():
    times = 1_700_000_000 + RNG.integers(0, 3600, 200)
    rows = np.column_stack([times, RNG.normal(size=200), 2.0**53 - 2 * RNG.integers(0, 500, 200)])
    scaling = choose_scaling(rows)
    scaled = scaling.transform(rows)
    for column in (0, 2):
        assert len(np.unique(scaled[:, column])) == len(np.unique(rows[:, column]))
    assert np.abs(scaling.inverse_transform(scaled)[:, 0] - times).max() < 0.01
    assert scaling.needs_float64
    assert not choose_scaling(NORMAL).needs_float64


def test_heavy_tails_are_bent_and_come_back():
    rows = np.column_stack(
        [np.exp(2 * NORMAL[:, 0]), 1e-6 * np.sinh(3 * NORMAL[:, 1]), -np.exp(2 * NORMAL[:, 2]), NORMAL[:, 3]]
    )
    scaling = choose_scaling(rows)
    assert scaling.record()["bent_columns"] == [0, 1, 2]
    scaled = scaling.transform(rows)
    assert np.abs(scaled).max() < 6
    np.testing.assert_allclose(scaled.std(0), 1, rtol=1e-3)
    kurtosis = (((scaled - scaled.mean(0)) / scaled.std(0)) ** 4).mean(0)
    assert kurtosis.max() < 4.5
    np.testing.assert_allclose(scaling.inverse_transform(scaled), rows, rtol=1e-4, atol=1e-7)
    far = scaling.transform(rows * 1e6)  # beyond the training rows it goes on, slowly
    assert np.isfinite(far).all()
    assert np.abs(far[:, :3]).max() < 30


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("rows", "outlier"), [(600, -999), (600, 1e9), (12, 1e5)])
def test_outliers_in_every_column_leave_the_others_their_width(rows, outlier, bounded):
    table = np.random.default_rng(3).normal(size=(rows, 8))
    clean = choose_scaling(table, bounded=bounded)
    table[0] = outlier  # one row, or a code for missing values in a few percent of the cells
    if outlier < 0:
        table[np.random.default_rng(4).random(table.shape) < 0.03] = outlier
    scaling = choose_scaling(table, bounded=bounded)
    inner = [np.subtract(*np.percentile(one.transform(table), [75, 25], axis=0)) for one in (scaling, clean)]
    assert (inner[0] > 0.25 * inner[1]).all()  # of 12 rows 0.28, and 1e-5 without a bend
    assert scaling.kind == ("minmax" if bounded else "standardize")
    assert "8 heavy-tailed, bent by asinh" in scaling.describe()
    np.testing.assert_allclose(scaling.inverse_transform(scaling.transform(table)), table, rtol=1e-4, atol=1e-4)


def test_rare_flags_weigh_no_more_than_ten():
    rows = np.column_stack([NORMAL[:, :2] * [1, 1000], np.arange(400) == 7])
    assert choose_scaling(rows).transform(rows).max() <= 10 + 1e-5


def test_columns_that_never_changed_do_not_explode_when_they_do():
    for constant, later in ((0.0, 1e9), (5.0, 1e9), (1e-9, 1.0), (1e30, 2e30)):
        for kind in ("auto", "standardize", "minmax", "common"):
            rows = np.column_stack([NORMAL[:, :2], np.full(400, constant)])
            scaling = choose_scaling(rows, kind)
            assert scaling.record()["constant_columns"] == [2]
            made = scaling.inverse_transform(NORMAL[:9, :3])  # a decoder's: nothing is exactly 0
            assert (made[:, 2] == constant).all()
            assert np.ptp(made[:, 1]) > 0.1
            assert not scaling.transform(rows)[:, 2].any()
            assert 0 < scaling.transform(np.array([[0, 0, later]]))[0, 2] < 80
            assert "1 constant in training: 2" in scaling.describe()


def test_rounding_is_no_variation_and_whole_numbers_are_exact():
    assert choose_scaling(np.array([[0.1 + 0.2, 1.0], [0.3, 2.0]])).record()["constant_columns"] == [0]
    assert choose_scaling(2**53 + 2 * np.arange(5)[:, None]).constant is None


@pytest.mark.parametrize("rows", [np.zeros((5, 2)), np.full((5, 2), 1e30), np.full((1, 3), -2)])
def test_nothing_to_learn_is_said(rows):
    scaling = choose_scaling(rows)
    assert scaling.concern() == "all columns are constant; there is nothing to learn"
    assert not scaling.transform(rows).any()


def test_noise_that_drowns_the_rows_is_said():
    small = RNG.uniform(0, 1e-3, (50, 4))
    assert "drown in the input noise of 0.3" in choose_scaling(small, "none").concern(0.3)
    assert choose_scaling(small).concern(0.3) is None
    assert "spread by 2.7e+06" in choose_scaling(small * 1e10, "none").concern()


def test_too_wide_is_one_clear_error():
    with pytest.raises(
        InputError, match=r"column 1 \(counted from 0\) goes from -1e\+308 to 1e\+308; expected no more"
    ):
        choose_scaling(np.array([[0, -1e308], [1, 1e308]]))
    with pytest.raises(InputError, match="scaling is 'log'; expected one of: auto, "):
        choose_scaling(NORMAL, "log")


@pytest.mark.parametrize("units", [1, [1, 1e3, 1e-3, 1]])
def test_a_bounded_rule_ends_inside_0_and_1(units):
    rows = np.column_stack([NORMAL[:, :3], np.exp(2 * NORMAL[:, 3])]) * units
    scaling = choose_scaling(rows, bounded=True)
    scaled = scaling.transform(rows)
    assert scaled.min() == pytest.approx(0, abs=1e-6)
    assert scaled.max() == pytest.approx(1, abs=1e-6)
    assert scaling.ends_inside(0, 1)
    np.testing.assert_allclose(scaling.inverse_transform(scaled), rows, rtol=1e-3, atol=1e-5 * np.max(units))


def test_images_are_scaled_as_pixels():
    bytes_ = RNG.integers(0, 256, (30, 4, 4)).astype(np.uint8)
    scaling = choose_scaling(bytes_)
    assert (scaling.kind, scaling.offset.item(), scaling.factor.item()) == ("pixels", 0.0, torch.tensor(1 / 255).item())
    assert scaling.offset.dtype == torch.float32
    floats = bytes_.astype(np.float32) / 255
    np.testing.assert_array_equal(choose_scaling(floats).transform(floats.reshape(30, 16)), floats.reshape(30, 16))
    masks = (bytes_ > 127).astype(np.uint8)  # no gray values up to 255
    assert choose_scaling(masks).transform(masks.reshape(30, 16)).max() == 1
    faint = floats * 1e-9
    assert choose_scaling(faint).transform(faint.reshape(30, 16)).max() == pytest.approx(1)
    assert value_range(bytes_) == (0.0, 255.0)


def test_images_are_standardized_as_ever():
    from sklearn.preprocessing import StandardScaler

    rows = RNG.integers(0, 256, (3000, 5, 5)).astype(np.uint8)
    scaler = StandardScaler().fit(rows.reshape(3000, 25).astype(np.float64))
    scaling = choose_scaling(rows, "standardize")
    np.testing.assert_array_equal(scaling.offset, scaler.mean_.astype(np.float32))
    np.testing.assert_array_equal(scaling.factor, (1 / scaler.scale_).astype(np.float32))


def test_a_scaling_survives_as_tensors():
    rows = np.column_stack([np.exp(2 * NORMAL[:, 0]), NORMAL[:, 1] * 1e6, np.ones(400)])
    scaling = choose_scaling(rows)
    again = Scaling.from_tensors(scaling.state_dict(), scaling.kind)
    np.testing.assert_array_equal(again.transform(rows), scaling.transform(rows))
    assert (again.inverse_transform(scaling.transform(rows) + 0.1)[:, 2] == 1).all()
    with pytest.raises(InputError, match="holds no scaling"):
        Scaling.from_tensors({"offset": scaling.offset})
    with pytest.raises(InputError, match="all or none of bent, shift, gain"):
        Scaling.from_tensors({"offset": scaling.offset, "factor": scaling.factor, "shift": scaling.offset})
