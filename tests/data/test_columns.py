"""Columns by their kinds: what is chosen, what becomes numbers and values again, and the line that wrong values get."""

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from aae import train
from aae.data import from_arrays, load, read_rows
from aae.data.columns import Column, Columns
from aae.data.values import NamedValues, for_rows
from aae.errors import InputError, InputWarning

G = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "age": G.normal(40, 9, 40),
        "grade": G.integers(1, 6, 40),
        "smoker": np.arange(40) % 3 == 0,
        "cell": np.array(["b", "a", "c"], dtype=object)[np.arange(40) % 3],
        "size": pd.Categorical(np.array([2, 10])[np.arange(40) % 2]),
        "reads": G.negative_binomial(2, 0.1, 40),
        "sex": np.array(["m", "f"], dtype=object)[np.arange(40) % 2],
    }
)
KINDS = ("numerical", "numerical", "boolean", "categorical", "categorical", "count", "boolean")
TOLD = {"reads": "count", "sex": "boolean"}


@pytest.mark.parametrize("frame", [FRAME, pl.from_pandas(FRAME.assign(size=FRAME["size"].astype(str)))])
def test_kinds_go_by_types_and_by_what_is_said(frame):
    found = Columns.choose(frame, TOLD)
    assert found.kinds == KINDS
    assert found.columns[3].categories == ("a", "b", "c")
    assert found.describe() == "2 numerical; 2 boolean: smoker, sex; 2 categorical: cell (3), size (2); 1 count: reads"
    assert Columns.choose(FRAME[["age", "grade"]]).is_plain
    assert Columns.choose(FRAME[["age", "reads"]], {"reads": "count"}).width == 2


def test_values_become_numbers_and_values_again():
    columns = Columns.choose(FRAME, TOLD)
    rows = columns.encode(FRAME)
    assert rows[:3, 3].tolist() == [1.0, 0.0, 2.0]
    made = pd.DataFrame(dict(zip(columns.names, columns.decode(rows), strict=True)))
    for name in FRAME:
        assert made[name].tolist() == FRAME[name].tolist(), name
    assert Columns.from_record(json.loads(json.dumps(columns.record()))) == columns


DAYS = pd.date_range("2020", periods=40)


@pytest.mark.parametrize("handle", ["error", "unknown"])
def test_values_are_the_same_in_whatever_format_they_come(handle):
    grade, smoker = FRAME["grade"], FRAME["smoker"]
    forms = [
        (grade, smoker),
        (grade.astype(float), smoker.astype(int)),
        (grade.astype(str), smoker.map({True: "TRUE", False: "false"})),
        (grade.astype(float).astype(str), smoker.astype(int).astype(str)),
        (grade.astype("Int64"), smoker.astype("boolean")),
    ]
    tables = [pd.DataFrame({"grade": one, "smoker": other}) for one, other in forms]
    for table in tables:
        columns = Columns.choose(table, {"grade": "categorical", "smoker": "boolean"}, handle)
        expected = columns.encode(table)
        assert len(np.unique(expected[:, 0])) == 5
        for other in tables:
            if columns.columns[1].categories == () or other is table:
                np.testing.assert_array_equal(columns.encode(other), expected)
    codes = Columns.choose(pd.DataFrame({"code": ["007", "7", "7.5"] * 9}), "categorical", handle)
    assert codes.encode(pd.DataFrame({"code": ["7.0", "7.5", "007"]}))[:, 0].tolist() == [1, 2, 0]


def test_versions_that_are_the_same_number_are_two_categories():
    versions = Columns.choose(pd.DataFrame({"version": ["1.1", "1.2", "2"] * 9}), "categorical")
    assert versions.encode(pd.DataFrame({"version": [1.1, 1.2, 2.0]}))[:, 0].tolist() == [0, 1, 2]  # as numbers
    with pytest.raises(InputError, match=r"X: column 'version': found '1.10' in row 0"):
        versions.encode(pd.DataFrame({"version": ["1.10", "1.2"]}))


def test_missing_values_are_nan_where_there_may_be_some():
    gaps = FRAME.assign(cell=FRAME.cell.where(np.arange(40) > 0), reads=FRAME.reads.where(np.arange(40) != 1))
    columns = Columns.choose(gaps, TOLD)
    assert np.isnan(columns.encode(gaps, missing=True)).sum(0).tolist() == [0, 0, 0, 1, 0, 1, 0]
    assert columns.decode(columns.encode(gaps, missing=True))[3][0] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "z"}, r"X: column 'cell': found 'z' in row 0 \(counted from 0\), expected 'a', 'b', 'c'"),
        ({"cell": None}, r"X: column 'cell': found a missing value in row 0"),
        ({"reads": -1}, r"X: column 'reads': found -1, expected a count: a whole number, 0 or larger"),
        ({"reads": 0.5}, r"X: column 'reads': found 0.5, expected a count"),
        ({"sex": "x"}, r"X: column 'sex': found 'x' in row 0"),
        ({"age": "old"}, r"X: column 'age': found values that are no numbers"),
    ],
)
def test_values_of_another_kind_get_one_line(change, message):
    columns = Columns.choose(FRAME, TOLD)
    with pytest.raises(InputError, match=f"^{message}") as error:
        columns.encode(FRAME.assign(**change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("frame", "kinds", "message"),
    [
        (FRAME, {"reeds": "count"}, "X: unknown column 'reeds'; did you mean 'reads'"),
        (FRAME, {"reads": "cuont"}, "unknown kind of column 'cuont'; did you mean 'count'"),
        (FRAME, {"cell": "boolean"}, "X: column 'cell': found 3 different values, such as 'a', 'b', 'c', expected two"),
        (FRAME.assign(t=pd.Timestamp(0)), "auto", r"X: column 't': found values of type datetime64"),
        (FRAME.assign(t=DAYS.tz_localize("UTC")), "auto", r"X: column 't': found values of type Timestamp"),
        (FRAME.assign(t=DAYS.to_period("D")), "auto", r"X: column 't': found values of type Period"),
        (FRAME.assign(t=DAYS.date), "auto", r"X: column 't': found values of type date, expected numbers"),
        (FRAME.assign(name=[f"n{k}" for k in range(40)]), "auto", "X: column 'name': found 40 different values in 40"),
    ],
)
def test_kinds_that_do_not_fit_get_one_line(frame, kinds, message):
    with pytest.raises(InputError, match=f"^{message}"):
        Columns.choose(frame, kinds)


def test_an_unknown_category_can_be_none_at_all():
    columns = Columns.choose(FRAME, handle_unknown="unknown")
    assert columns.encode(FRAME.assign(cell="z"))[0, 3] == -1
    assert columns.decode(np.full((1, 7), -1.0))[3][0] is None


def test_covariates_are_the_last_columns_and_for_all_rows_or_each():
    found = Columns.choose(FRAME, TOLD).with_covariates(Columns.choose(NamedValues({"batch": np.array(["x", "y"])})))
    assert (found.covariates, found.names[-1], found.inner.kinds) == (1, "batch", KINDS)
    assert for_rows("x", ("batch",), 2)["batch"].tolist() == ["x", "x"]
    assert for_rows({"batch": ["x", "y"]}, ("batch",), 2)["batch"].tolist() == ["x", "y"]
    assert for_rows(["x", "y"], ("batch",), 2)["batch"].tolist() == ["x", "y"]
    with pytest.raises(InputError, match="covariates: found donor and no batch; expected batch"):
        for_rows({"donor": "x"}, ("batch",), 2)
    with pytest.raises(InputError, match=r"covariates: 'batch' has 3 values; expected one, or 2"):
        for_rows({"batch": ["x", "y", "x"]}, ("batch",), 2)
    with pytest.raises(InputError, match=r"covariates: 'batch' has 3 values; expected one, or 2"):
        for_rows(["a", "b", "a"], ["batch"], 2)
    with pytest.raises(InputError, match=r"covariates: found values of shape \(1,\); expected batch, donor"):
        for_rows(["a"], ["batch", "donor"], 2)


def test_files_and_frames_are_read_alike(tmp_path):
    frame = FRAME.drop(columns="size")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    options = {"kinds": TOLD, "covariates": "sex", "test": 0}
    found = []
    for source in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        with pytest.warns(InputWarning, match=r"read as categories: 'cell' \(3\); data.label_column"):
            found.append(load(source, **options))
    with pytest.warns(InputWarning, match="read as categories"):
        found.append(from_arrays(frame, **options))
    for data in found:
        assert data.table.names == data.columns == ("age", "grade", "smoker", "cell", "reads", "sex")
        assert data.table.outer.names == ("sex",)
        np.testing.assert_allclose(data.train.rows, found[0].train.rows)
    frame.assign(cell="z").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(InputError, match=r"new.csv: column 'cell': found 'z'"):
        read_rows(tmp_path / "new.csv", columns=found[0].columns, table=found[0].table)
    again = read_rows(tmp_path / "t.csv", columns=found[0].columns, table=found[0].table)
    np.testing.assert_array_equal(again.rows, found[0].train.rows)


def test_missing_values_of_a_file(tmp_path):
    (tmp_path / "t.csv").write_text("a,cell\n1,x\nNA,y\n3,\n4,x\n")
    data = load(tmp_path / "t.csv", missing="mask", test=0, kinds={"cell": "categorical"})
    assert np.isnan(data.train.rows).tolist() == [[False, False], [True, False], [False, True], [False, False]]
    with pytest.raises(InputError, match=r"column 'a'.*found 'NA'"):
        load(tmp_path / "t.csv", test=0, kinds={"cell": "categorical"})
    with pytest.raises(InputError, match=r"found images, expected a table for data\.missing"):
        from_arrays(np.zeros((4, 2, 2), np.uint8), missing="mask")


@pytest.mark.filterwarnings("ignore:.*read as categories")
@pytest.mark.parametrize("values", [("x", "y"), ("true", "false"), ("1.5", "2.5")])
def test_a_column_with_nothing_in_the_first_lines_is_what_comes_later(tmp_path, values):
    lines = [f"{number}.5,{values[number % 2] if number > 120 else ''}" for number in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind", *lines]))
    data = load(tmp_path / "t.csv", missing="mask", test=0)
    rows = np.asarray(data.train.rows)
    assert np.isnan(rows[:121, 1:]).all()
    assert len(np.unique(rows[121:, 1])) == 2


def test_words_for_a_missing_value_are_names_of_rows_and_labels(tmp_path):
    (tmp_path / "t.csv").write_text("cc,a,label\nNA,1,x\nDE,,?\nNone,3,x\nFR,4,?\n")
    data = load(str(tmp_path / "t.csv"), test=0, id_column="cc", missing="mask")
    assert data.train.ids.tolist() == ["NA", "DE", "None", "FR"]
    assert data.class_names == ("?", "x")


def test_a_word_for_a_missing_value_that_is_a_category_stays_one(tmp_path):
    frame = pd.DataFrame({"cont": ["NA", "EU", "AS"] * 4, "a": np.arange(12.0)})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.warns(InputWarning, match="'NA' is read as a category"), pytest.warns(InputWarning, match="categories"):
        data = load(str(tmp_path / "t.parquet"), test=0, missing="mask")
    new = read_rows(tmp_path / "t.csv", columns=data.columns, table=data.table, missing="mask")
    np.testing.assert_array_equal(new.rows, data.train.rows)


@pytest.mark.parametrize("text", [False, True])
def test_numbers_that_a_data_frame_calls_categories(tmp_path, text):
    frame = pd.DataFrame({"pain": pd.Categorical([10, 20, 30] * 4), "age": np.arange(12.0)})
    if text:
        frame["sex"] = ["m", "f"] * 6
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.warns(InputWarning, match=r"read as categories: 'pain' \(3\)"):
        known = load(str(tmp_path / "t.parquet"), test=0)
    with pytest.warns(InputWarning, match="read as categories"):
        given = from_arrays(frame, test=0)
    for data in (known, given):
        assert data.table.columns[0] == Column("pain", "categorical", (10, 20, 30))
        np.testing.assert_array_equal(data.train.rows[:, 0], [0, 1, 2] * 4)


def test_parts_of_a_table_without_a_value_of_a_column(tmp_path):
    (tmp_path / "1.csv").write_text("a,c,d\n1,u,\n2,v,\n")
    (tmp_path / "2.csv").write_text("a,c,d\n1,,true\n3,,false\n")
    with pytest.warns(InputWarning, match=r"'c' \(2\)"):
        data = load(str(tmp_path), test=0, missing="mask")
    assert data.table.kinds == ("numerical", "categorical", "boolean")
    np.testing.assert_array_equal(data.train.rows[:, 1:], [[0, np.nan], [1, np.nan], [np.nan, 1], [np.nan, 0]])


def test_lists_of_new_rows_are_as_long_as_those_of_training(tmp_path):
    pd.DataFrame({"emb": [[1.0, 2.0], [3.0, 4.0]]}).to_parquet(tmp_path / "t.parquet")
    pd.DataFrame({"emb": [[1.0, 2.0, 3.0]]}).to_parquet(tmp_path / "new.parquet")
    with pytest.raises(InputError, match=r"new\.parquet: column 'emb': found lists of 3 values, expected 2"):
        read_rows(tmp_path / "new.parquet", columns=load(str(tmp_path / "t.parquet"), test=0).columns)


def test_a_range_with_a_name_identifies_rows(tmp_path):
    pd.DataFrame({"a": [1.0, 2.0]}, index=pd.RangeIndex(1000, 1002, name="patient")).to_parquet(tmp_path / "t.parquet")
    data = load(str(tmp_path / "t.parquet"), test=0, id_column="patient")
    assert (data.train.id_column, data.train.ids.tolist()) == ("patient", [1000, 1001])
    assert read_rows(tmp_path / "t.parquet").ids.tolist() == [1000, 1001]


def test_periods_are_no_numbers(tmp_path):
    pd.DataFrame({"a": [1.0, 2.0], "t": pd.period_range("2024", periods=2, freq="M")}).to_parquet(
        tmp_path / "t.parquet"
    )
    with pytest.raises(InputError, match=r"column 't': found values of type pandas\.period, expected numbers"):
        load(str(tmp_path / "t.parquet"))


def test_a_column_of_numbers_that_is_called_label_can_be_left_out(tmp_path):
    (tmp_path / "t.csv").write_text("a,label\n1,0.5\n2,0.1\n")
    data = load(str(tmp_path / "t.csv"), test=0, ignore_columns="label")
    assert (data.columns, data.train.labels) == (("a",), None)


def test_a_data_frame_that_trains_can_be_predicted(tmp_path):
    lists = pd.DataFrame({"emb": [[float(k), k + 1.0] for k in range(20)], " b": np.arange(20.0)})
    with_text = lists.assign(kind=["u", "v"] * 10)
    for frame, columns in ((lists, ["emb", " b"]), (with_text, ["emb", " b", "kind"])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            made = train("generate", data=frame[columns], run=tmp_path / str(len(columns)), epochs=1)
        assert made.encode(frame)["style"].shape[0] == 20
    with pytest.raises(InputError, match=r"column 'emb': found lists of 3 values, expected 2"):
        made.encode(with_text.assign(emb=[[1.0, 2.0, 3.0]] * 20))
    with pytest.raises(InputError, match=r"column 'emb': found lists of 0 values, expected 2"):
        made.encode(with_text.assign(emb=[[1.0, 2.0]] * 19 + [None]))
    spread = with_text.assign(emb_0=np.arange(20.0), emb_1=np.arange(20.0) + 1, emb="no list")
    np.testing.assert_array_equal(made.encode(spread)["style"], made.encode(with_text)["style"])


def test_lists_and_kinds_that_do_not_fit_are_named(tmp_path):
    frame = pd.DataFrame({"a": [[1.0, 2.0]] * 2, "b": [True, False]})
    with pytest.raises(InputError, match="data frame: column 'a': found identifiers of type list"):
        from_arrays(frame, id_column="a")
    with pytest.raises(InputError, match="'a_0'"):
        from_arrays(frame.assign(a_0=1.0))
    frame[["b"]].to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="column 'b': found true and false, expected numbers as in the training data"):
        read_rows(tmp_path / "t.parquet", columns=("b",))
