"""Tables as people and programs write them: nothing is misread, and what is left out is said."""

import gzip
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

from aae.data import from_arrays, load, read_rows
from aae.errors import InputError, InputWarning

RNG = np.random.default_rng(5)
ROWS = [[1, 2], [3, 4]]


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


PLAIN = {
    "tsv": ("t.tsv", "a\tb\n1\t2\n3\t4\n"),
    "csv.gz": ("t.csv.gz", gzip.compress(b"a,b\n1,2\n3,4\n")),
    "tsv.gz": ("t.tsv.gz", gzip.compress(b"a\tb\n1\t2\n3\t4\n")),
    "upper case": ("T.CSV", "a,b\n1,2\n3,4\n"),
    "BOM, Windows line ends": ("t.csv", "\ufeffa,b\r\n1,2\r\n3,4\r\n"),
    "old line ends": ("t.csv", "a,b\r1,2\r3,4\r"),
    "UTF-16": ("t.csv", "a,b\n1,2\n3,4\n".encode("utf-16")),
    "spaces": ("t.csv", " a , b\n 1 , 2\n3 ,4 \n"),
    "quoted": ("t.csv", '"a","b"\n"1","2"\n"3","4"\n'),
    "no end": ("t.csv", "a,b\n1,2\n3,4"),
    "empty lines": ("t.csv", "\na,b\n1,2\n\n3,4\n\n\n"),
    "separator line": ("t.csv", "sep=;\na;b\n1;2\n3;4\n"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_forms_of_the_same_table(tmp_path, case):
    data = load(write(tmp_path / PLAIN[case][0], PLAIN[case][1]), test=0)
    assert (data.columns, data.train.rows.tolist()) == (("a", "b"), ROWS)


SAID = {
    "semicolons": ("a;b\n1;2\n3;4\n", "with semicolons between columns", ROWS),
    "decimal commas": ("a;b\n1,5;2\n3;4,25\n", "with decimal commas", [[1.5, 2], [3, 4.25]]),
    "tabs": ("a\tb\n1\t2\n3\t4\n", "with tabs between columns", ROWS),
    "bars": ("a|b\n1|2\n3|4\n", "with bars between columns", ROWS),
    "pandas with its index": (",a,b\n0,1,2\n1,3,4\n", "first column, '', is read as names of rows", ROWS),
    "an index that was read again": ("Unnamed: 0,a,b\n0,1,2\n1,3,4\n", "'Unnamed: 0', is read as names of rows", ROWS),
    "R": ('"","a","b"\n"r1",1,2\n"r2",3,4\n', "is read as names of rows", ROWS),
    "R, one name less": ("a,b\nr1,1,2\nr2,3,4\n", "is read as names of rows", ROWS),
}


@pytest.mark.parametrize("case", SAID)
@pytest.mark.filterwarnings("ignore::aae.errors.InputWarning")
def test_what_had_to_be_found_out_is_said(tmp_path, case):
    text, said, rows = SAID[case]
    with pytest.warns(InputWarning, match=said):
        data = load(write(tmp_path / "t.csv", text), test=0)
    assert (data.columns, data.train.rows.tolist()) == (("a", "b"), rows)


REFUSED = {
    "decimal commas between commas": ('a,b\n"1,5",2\n', r"line 2, column 'a': found '1,5', .*commas between columns"),
    "words for missing": ("a,b\n1,2\nNA,3\n", "line 3, column 'a': found 'NA', expected a number"),
    "dates": ("a,when\n1,2024-01-01\n", r"column 'when': found '2024-01-01'.*data\.ignore_columns"),
    "Latin-1": ("länge,b\n1,2\n".encode("latin-1"), "expected a table of numbers in UTF-8"),
    "beyond float32": ("a,b\n1,1e39\n", r"column 'b' .*found 1e\+39, expected a number up to 3.4e38"),
    "spaces between": ("a b\n1 2\n", "found '1 2', expected a number, with commas between columns"),
    "control characters": ("a\x1b[31m\n1\nx\n", r"column 'a\\x1b\[31m': found 'x'"),
    "packed": (gzip.compress(b"a\n1\n"), "cannot be read"),
    "names cut": ("a,b,c\n1,2\n", "Expected 3 columns, got 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_is_refused_with_its_cause(tmp_path, case):
    with pytest.raises(InputError, match=REFUSED[case][1]) as caught:
        load(write(tmp_path / "t.csv", REFUSED[case][0]))
    assert str(caught.value).isprintable()


def test_names_and_labels_lose_spaces_around_them(tmp_path):
    for file, text in (("t.csv", "a, b, label\n1, 2, cat\n3, 4, dog\n5, 6,cat \n"),):
        for column in (None, "label", " label"):
            data = load(write(tmp_path / file, text), test=0, label_column=column)
            assert (data.columns, data.class_names) == (("a", "b"), ("cat", "dog"))
    pa.parquet.write_table(pa.table({" a": [1, 2], "label ": ["x ", "y"]}), tmp_path / "t.parquet")
    data = load(str(tmp_path / "t.parquet"), test=0)
    assert (data.columns, data.class_names) == (("a",), ("x", "y"))


def test_truth_is_a_number(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,label\nTrue,1,x\nFalse,2,y\n")
    assert load(path, test=0).train.rows.tolist() == [[1, 1], [0, 2]]


def test_quotes_around_line_ends_and_separators(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.data.delimited._CHUNK", 30)
    text = "a,label\n" + "".join(f'{k},"x, {k % 2}\ny"\n' for k in range(50))
    data = load(write(tmp_path / "t.csv", text), test=0)
    assert (len(data.train), data.class_names) == (50, ("x, 0\ny", "x, 1\ny"))


def test_words_that_come_after_pieces_with_blanks_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.data.delimited._CHUNK", 40)
    text = "a,kind\n" + "1,\n" * 150 + "2,red\n3,blue\n" * 5
    with pytest.warns(InputWarning, match=r"read as categories: 'kind' \(2\)"):
        assert load(write(tmp_path / "t.csv", text), test=0, missing="mask").table.kinds[1] == "categorical"


def test_lines_are_counted_over_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.data.delimited._CHUNK", 40)
    text = "a,b\n" + "1,2\n" * 98 + "3,x\n"
    with pytest.raises(InputError, match=r"line 100, column 'b': found 'x'"):
        load(write(tmp_path / "t.csv", text))
    with pytest.raises(InputError, match=r"missing value in row 98 \(counted"):
        load(write(tmp_path / "t.csv", text.replace("3,x", "3,")))


def test_a_table_far_wider_than_a_megabyte(tmp_path):
    columns = 150_000
    line = ["0.123456"] * columns
    path = write(
        tmp_path / "t.csv", "\n".join(",".join(cells) for cells in ([f"g{k}" for k in range(columns)], line, line))
    )
    data = load(path, test=0)
    assert (data.shape, len(data.train), data.columns[-1]) == ((columns,), 2, "g149999")


def test_new_rows_of_a_wide_table_take_no_longer_than_the_table(tmp_path):
    names = [f"g{k}" for k in range(8_000)]
    pa.parquet.write_table(pa.table({name: np.zeros(2, np.float32) for name in names}), tmp_path / "t.parquet")
    begun = time.perf_counter()
    data = load(str(tmp_path / "t.parquet"), test=0)
    first = time.perf_counter() - begun
    read_rows(tmp_path / "t.parquet", columns=data.columns[::-1])
    assert time.perf_counter() - begun - first < 2 * first + 2


# --- columns ---


def test_identifiers_are_carried_and_not_learnt_from(tmp_path):
    path = write(tmp_path / "t.csv", "who,a,note,label\n007,1,x,u\n012,2,y,\n100,3,z,v\n")
    data = load(path, test=1, id_column="who", ignore_columns=["note"])
    assert (data.columns, data.class_names, data.train.id_column) == (("a",), ("u", "v"), "who")
    assert sorted([*data.train.ids.tolist(), *data.test.ids.tolist()]) == ["007", "012", "100"]
    new = read_rows(path, id_column="who", ignore_columns=["note", "gone"], columns=("a",), shape=(1,))
    assert new.ids.tolist() == ["007", "012", "100"]


@pytest.mark.parametrize(
    ("cells", "ids"), [(["7", "12"], [7, 12]), (["07", "12"], ["07", "12"]), ([" x", "y "], ["x", "y"])]
)
def test_identifiers_stay_as_they_are_written(tmp_path, cells, ids):
    path = write(tmp_path / "t.csv", "id,a\n" + "".join(f"{cell},1\n" for cell in cells))
    assert load(path, test=0, id_column="id").train.ids.tolist() == ids


def test_new_rows_without_their_identifiers(tmp_path):
    path = write(tmp_path / "t.csv", "a\n1\n")
    with pytest.warns(InputWarning, match="has no column 'who'; rows are written without identifiers"):
        assert read_rows(path, id_column="who", columns=("a",)).ids is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id_column": "wo"}, "unknown column 'wo'; did you mean 'who'"),
        ({"ignore_columns": ["a,who"]}, r"unknown column 'a,who'; expected a list of several: \[\"a\", \"who\"\]"),
        ({"ignore_columns": ["b"]}, "unknown column 'b'; expected one of: a, label, who"),
        ({"id_column": "who", "label_column": "who"}, "'who' named for both labels and identifiers"),
        ({"label_column": "label", "ignore_columns": ["label"]}, "column of labels 'label' in data.ignore_columns"),
    ],
)
def test_columns_that_cannot_be_what_they_are_named_for(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        load(write(tmp_path / "t.csv", "who,a,label\nx,1,u\n"), **options)


@pytest.mark.parametrize("name", [None, "patient", "label"])
def test_an_index_of_pandas_identifies_rows_and_is_no_feature(tmp_path, name):
    frame = pd.DataFrame(RNG.uniform(size=(4, 2)), columns=["a", "b"], index=pd.Index([7, 14, 7, 21], name=name))
    frame.to_parquet(tmp_path / "t.parquet")
    data = load(str(tmp_path / "t.parquet"), test=0)
    assert (data.columns, data.train.ids.tolist(), data.class_names) == (("a", "b"), [7, 14, 7, 21], ())
    assert data.train.id_column == (name or "id")
    assert load(str(tmp_path / "t.parquet"), test=0, label_column=name).class_names == (
        ("7", "14", "21") if name else ()
    )


def test_an_index_of_several_levels(tmp_path):
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", "l"]))
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.warns(InputWarning, match="of 2 columns of names of rows 'k' identifies the rows"):
        data = load(str(tmp_path / "t.parquet"), test=0)
    assert (data.columns, data.train.ids.tolist()) == (("a",), ["x", "y"])


# --- Parquet types ---


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 3), pa.large_list(pa.float64())])
def test_a_column_of_lists_is_as_many_columns(tmp_path, kind):
    rows = RNG.normal(size=(6, 3)).astype(np.float32)
    table = pa.table({"e": pa.array(rows.tolist(), kind), "label": [0, 1] * 3, "x": [1.0] * 6})
    pa.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    data = load(str(tmp_path / "t.parquet"), test=0)
    assert data.columns == ("e_0", "e_1", "e_2", "x")
    np.testing.assert_array_equal(data.train.rows[:, :3], rows)
    pa.parquet.write_table(table.select(["x", "e"]), tmp_path / "new.parquet")
    np.testing.assert_array_equal(read_rows(tmp_path / "new.parquet", columns=data.columns).rows, data.train.rows)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1.0, 2.0], [3.0]], r"found a list of 1 values in row 1 .*expected 2"),
        ([[1.0, 2.0], [3.0, None]], "found a missing value in row 1"),
        ([[1.0, None], [3.0, 1.0]], "found a missing value in row 0"),
        ([[1.0], None], "found a missing value in row 1"),
        ([[[1.0]], [[2.0]]], "found lists of lists"),
        ([["x"], ["y"]], "found values of type string"),
        ([{"x": 1}, {"x": 2}], "found values of type struct"),
        (pa.nulls(2), r"found a missing value in row 0 .*, expected a number; training with data\.missing=mask takes"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), r"type timestamp.*data\.ignore_columns"),
    ],
)
def test_columns_that_are_no_numbers(tmp_path, column, message):
    pa.parquet.write_table(pa.table({"e": column}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=f"column 'e'.*{message}"):
        load(str(tmp_path / "t.parquet"))


def test_numbers_of_every_type(tmp_path):
    columns = {
        "codes": pa.array([5, 6]).dictionary_encode(),
        "truth": [True, False],
        "half": pa.array(np.array([1, 2], np.float16)),
        "exact": pa.array([Decimal("1.5"), Decimal(2)]),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert load(str(tmp_path / "t.parquet"), test=0).train.rows.tolist() == [[5, 1, 1, 1.5], [6, 0, 2, 2]]


def test_polars_writes_it_too(tmp_path):
    frame = pl.DataFrame({"a": [1.0, 2.0], "c": ["x", "y"], "label": pl.Series(["u", None], dtype=pl.Categorical)})
    frame.write_parquet(tmp_path / "t.parquet")
    data = load(str(tmp_path / "t.parquet"), test=0, ignore_columns=["c"])
    assert (data.columns, data.class_names, data.train.labels.tolist()) == (("a",), ("u",), [0, -1])


def test_time_stamps_keep_their_differences(tmp_path):
    times = 1_700_000_000 + np.arange(100)
    write(tmp_path / "t.csv", "time,x\n" + "".join(f"{t},{k}\n" for k, t in enumerate(times)))
    pd.DataFrame({"time": times, "x": times * 0.0}).to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert len(np.unique(load(str(tmp_path / name), test=0).train.rows[:, 0])) == 100


# --- labels ---


@pytest.mark.parametrize("missing", ["", "-1", "NA", "nan", "None", "?"])
@pytest.mark.filterwarnings("ignore::aae.errors.InputWarning")
def test_no_label_in_every_door(tmp_path, missing):
    write(tmp_path / "t.csv", f"a,label\n1,cat\n2,{missing}\n3,dog\n")
    pa.parquet.write_table(pa.table({"a": [1, 2, 3], "label": ["cat", missing, "dog"]}), tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", X=np.ones((3, 1)), y=np.array(["cat", missing, "dog"]))
    np.save(tmp_path / "x.npy", np.ones((3, 1)))
    write(tmp_path / "y.csv", f'kind\ncat\n"{missing}"\ndog\n')
    np.save(tmp_path / "y.npy", np.array(["cat", missing, "dog"]))
    options = {"unlabelled": "?", "test": 0}
    found = [load(str(tmp_path / f"t.{kind}"), **options) for kind in ("csv", "parquet", "npz")]
    found += [load(str(tmp_path / "x.npy"), labels=str(tmp_path / f"y.{kind}"), **options) for kind in ("csv", "npy")]
    for data in found:
        assert (data.class_names, data.train.labels.tolist()) == (("cat", "dog"), [0, -1, 1])


# --- parts ---


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "parquet"])
def test_a_folder_of_parts_is_one_table(tmp_path, kind):
    for part in (10, 2, 1):
        frame = pd.DataFrame({"a": [part, part], "b": [0.5, 1.5], "label": ["x", "1"]})
        frame = frame[["b", "label", "a"]] if part == 2 else frame
        file = tmp_path / f"part-{part}.{kind}"
        if kind == "parquet":
            frame.to_parquet(file)
        else:
            frame.to_csv(file, index=False, sep="\t" if kind == "tsv" else ",")
    (tmp_path / ".part-3.crc").write_text("")
    (tmp_path / "_SUCCESS").write_text("")
    data = load(str(tmp_path), test=0)
    assert data.train.rows[:, 0].tolist() == [1, 1, 10, 10, 2, 2]  # in the order of the sorted names
    assert data.class_names == ("1", "x")
    assert data.train.ids.tolist()[:3] == [f"part-1.{kind}:0", f"part-1.{kind}:1", f"part-10.{kind}:0"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("train", "others"),
    [
        (["train"], {"test": ["test"]}),
        (["train-00000-of-00002", "train-00001-of-00002"], {"validation": ["valid-0"], "test": ["test-0"]}),
        (["Training set"], {"validation": ["VAL_set"]}),
    ],
)
def test_parts_that_are_called_after_splits_are_these(tmp_path, train, others, suffix):
    def write(name, rows):
        frame = pd.DataFrame({"a": rows, "b": "u", "label": ["x", "y"]})
        file = tmp_path / f"{name}.{suffix}"
        frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)

    for k, name in enumerate(train):
        write(name, [k, k + 0.5])
    for names in others.values():
        for name in names:
            write(name, [9, 10])
    data = load(str(tmp_path), test=0, kinds={"b": "categorical"})
    assert (len(data.train), data.class_names) == (2 * len(train), ("x", "y"))
    for split in ("validation", "test"):
        held = getattr(data, split)
        assert (held is None) == (split not in others)
        if held is not None:
            assert (held.rows.dtype, held.rows[:, 0].tolist()) == (data.train.rows.dtype, [9, 10])
            assert held.labels.tolist() == [0, 1]
    with pytest.raises(InputError, match=r"found training and .* rows, expected one set of rows"):
        read_rows(tmp_path)
    write("more", [1, 2])
    with pytest.raises(InputError, match=rf"found 'more\.{suffix}' beside '.*' and others of splits"):
        load(str(tmp_path))


@pytest.mark.parametrize("names", [("test-1.csv", "test-2.csv"), ("x_test.csv", "x_train.csv")])
def test_parts_without_a_split_to_train_on_are_one_table(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("a,b\n1,2\n")
    with pytest.warns(
        InputWarning, match=r"all 2 files are read as one table, .*_?test.*\.csv too; splits are files whose"
    ):
        assert len(load(str(tmp_path), test=0).train) == 2


def test_a_header_of_one_name_less_is_said_in_use_too(tmp_path):
    (tmp_path / "new.csv").write_text("a,b\n1,2,9\n3,4,8\n")
    with pytest.warns(InputWarning, match="the first column, '', is read as names of rows and not as numbers"):
        assert read_rows(tmp_path / "new.csv", columns=("a", "b")).rows.tolist() == [[2, 9], [4, 8]]


def test_a_column_without_a_value_is_not_trained_on(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,\n2,NA\n")
    with pytest.raises(
        InputError, match=r"column 'b': found no value in 2 training rows, expected some; data\.ignore_co"
    ):
        load(tmp_path / "t.csv", missing="mask", test=0)


def test_words_for_missing_values_are_those_of_labels_and_blanks(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1, \nn/a,3\n#N/A,\n-nan,4\n")
    rows = np.asarray(load(tmp_path / "t.csv", missing="mask", test=0).train.rows)
    assert np.isnan(rows).tolist() == [[False, True], [True, False], [True, True], [True, False]]
    with pytest.raises(
        InputError, match=r"column 'a': found 'n/a', expected a number, .*; training with data\.missing=mask"
    ):
        load(tmp_path / "t.csv", test=0)


@pytest.mark.filterwarnings("ignore:.*read as categories")
def test_categories_that_are_called_as_missing_values_are_pointed_out():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["NA", "x", "NA"]})
    with pytest.warns(InputWarning, match="column 'b': 'NA' is read as a category, and not as a missing value"):
        from_arrays(frame)


def test_columns_that_only_later_parts_have_are_named(tmp_path):
    (tmp_path / "0.csv").write_text("a,b\n1,2\n")
    (tmp_path / "1.csv").write_text("c,b,a\n5,2,1\n")
    with pytest.warns(InputWarning, match=r"1\.csv: not read, being no columns of the first file: 'c'"):
        assert load(str(tmp_path), test=0).train.rows.tolist() == [[1, 2], [1, 2]]


def test_parts_that_do_not_belong_together(tmp_path):
    write(tmp_path / "1.csv", "a,b\n1,2\n")
    write(tmp_path / "2.csv", "a,c\n1,2\n")
    with pytest.raises(InputError, match=r"2\.csv: found no column 'b'"):
        load(str(tmp_path))
    write(tmp_path / "2.csv", "a,b,label\n1,2,x\n")
    with pytest.raises(InputError, match=r"2\.csv: found some labels, expected none like 1\.csv"):
        load(str(tmp_path))


def test_what_lies_beside_parts(tmp_path):
    write(tmp_path / "1.csv", "a\n1\n")
    write(tmp_path / "notes.txt", "x")
    with pytest.warns(InputWarning, match=r"not read, being no parts of the table: 1, such as notes\.txt"):
        load(str(tmp_path), test=0)
    (tmp_path / "label=x").mkdir()
    with pytest.raises(InputError, match="found a folder 'label=x' beside parts of a table"):
        load(str(tmp_path), test=0)


@pytest.mark.parametrize(
    ("column", "option"), [("Label", "label_column"), ("target", "label_column"), ("ID", "id_column")]
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_of_numbers_that_are_called_as_labels_or_identifiers_are_pointed_out(tmp_path, column, option, ending):
    file = tmp_path / f"t.{ending}"
    table = pd.DataFrame({"x": [0.5, 1.5, 2.5], column: [0, 1, 2]})
    getattr(table, f"to_{ending}")(file, index=False)
    what = "labels" if option == "label_column" else "identifiers"
    with pytest.warns(InputWarning) as said:
        assert load(str(file), test=0).columns == ("x", column)
    assert [str(one.message) for one in said] == [
        f"{file}: column {column!r} is read as numbers to learn from; data.{option}={column} reads it as {what}"
    ]
    assert load(str(file), test=0, **{option: column}).columns == ("x",)
    assert load(str(file), test=0, ignore_columns=[column]).columns == ("x",)


def test_codes_with_zeros_before_them_are_said_to_be_numbers_or_kept_as_categories(tmp_path):
    path = tmp_path / "zip.csv"
    path.write_text(
        "zip,x,id\n" + "".join(f"{code},{k},00{k}\n" for k, code in enumerate(["01234", "1234", "0777"] * 4))
    )
    with pytest.warns(
        InputWarning, match="column 'zip' is read as numbers, '0777' as 777; data.columns can call it"
    ) as said:
        data = load(path, test=0, id_column="id")
    assert len(said) == 1  # and new rows are read without a word
    assert read_rows(path, id_column="id", columns=data.columns, shape=(2,)).rows[:, 0].max() == 1234
    kept = load(path, test=0, id_column="id", kinds={"zip": "categorical"})
    assert kept.table.columns[0].categories == ("01234", "0777", "1234")
