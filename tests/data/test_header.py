"""Numbers in the first line of a table: names where they are a scale, a row otherwise, and in either case a line says so."""

import warnings

import numpy as np
import pytest

from aae import train
from aae.data import load, read_rows
from aae.errors import InputError, InputWarning

RNG = np.random.default_rng(3)


def lines(first: str, rows: np.ndarray, labels: list[str] | None = None) -> str:
    cells = [[f"{x:.4f}" for x in row] + ([] if labels is None else [labels[k]]) for k, row in enumerate(rows)]
    return first + "\n" + "".join(",".join(row) + "\n" for row in cells)


SPECTRA = RNG.uniform(0.1, 0.9, (40, 16))
NAMES = {
    "wavelengths": (",".join(f"{900 + 50 * k:.1f}" for k in range(16)), SPECTRA),
    "falling wavenumbers": (",".join(str(4000 - 25 * k) for k in range(16)), SPECTRA),
    "uneven": (",".join(str(100 + k * k) for k in range(16)), SPECTRA),
    "years": ("2001,2002,2003", np.array([[5, 6, 7], [8, 9, 1]])),
    "counted from 1": (",".join(str(k + 1) for k in range(16)), SPECTRA),
    "pandas": (",".join(str(k) for k in range(16)), SPECTRA),
}
ROWS = {
    "a row like the others": (",".join(f"{x:.4f}" for x in SPECTRA[0]), SPECTRA[1:]),
    "rising rows": ("1,2,3", np.array([[2, 3, 4], [3, 4, 5], [1, 2, 3]])),
    "two columns": ("1.5,2", np.array([[3, 4]])),
}


@pytest.mark.parametrize("case", [*NAMES, *ROWS])
def test_numbers_in_the_first_line(tmp_path, case):
    first, rows = (NAMES | ROWS)[case]
    (tmp_path / "t.csv").write_text(lines(first, rows))
    what = "names of columns" if case in NAMES else "a row"
    with pytest.warns(InputWarning, match=rf"t\.csv: the first line, .* is read as {what}.*data\.header="):
        data = load(str(tmp_path / "t.csv"), test=0)
    assert len(data.train) == len(rows) + (case in ROWS)
    assert data.columns == (tuple(first.split(",")) if case in NAMES else tuple(map(str, range(rows.shape[1]))))


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("case", ["wavelengths", "a row like the others"])
def test_header_decides_without_a_word(tmp_path, case, header):
    first, rows = (NAMES | ROWS)[case]
    (tmp_path / "t.csv").write_text(lines(first, rows))
    assert len(load(str(tmp_path / "t.csv"), test=0, header=header).train) == len(rows) + (not header)


def test_names_that_are_numbers_beside_that_of_the_labels(tmp_path):
    (tmp_path / "t.csv").write_text(lines(NAMES["wavelengths"][0] + ",label", SPECTRA, ["a", "b"] * 20))
    data = load(str(tmp_path / "t.csv"), test=0)
    assert (data.shape, data.class_names, len(data.train)) == ((16,), ("a", "b"), 40)


@pytest.mark.parametrize("labels", [["0", "1"], ["Iris-setosa", "Iris-virginica"], ["0.0", "1.0"]])
def test_labels_by_the_number_of_their_column(tmp_path, labels):
    (tmp_path / "t.csv").write_text(lines("", SPECTRA, labels * 20).lstrip("\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(str(tmp_path / "t.csv"), test=0, label_column="16")
    assert (data.shape, len(data.train), len(data.class_names)) == ((16,), 40, 2)
    np.testing.assert_allclose(data.train.rows, SPECTRA, atol=1e-4)
    new = read_rows(tmp_path / "t.csv", columns=data.columns, label_column="16", class_names=data.class_names)
    np.testing.assert_array_equal(new.labels, data.train.labels)


def test_a_word_that_occurs_again_is_no_name(tmp_path):
    (tmp_path / "t.csv").write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n4.7,3.2,other\n")
    with (
        pytest.warns(InputWarning, match="read as a row, as 'setosa' occurs below it too"),
        pytest.warns(InputWarning, match=r"read as categories: '2' \(2\); data\.label_column names a column of labels"),
    ):
        assert load(str(tmp_path / "t.csv")).table.kinds == ("numerical", "numerical", "categorical")


def test_a_line_of_names_that_comes_again_is_no_row(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,label\n1,2,x\n3,4,y\n" * 2)  # as of files put behind each other
    with pytest.raises(InputError, match=r"line 4, column 'a': found 'a', expected a number"):
        load(str(tmp_path / "t.csv"))


def test_identifiers_by_the_number_of_their_column(tmp_path):
    (tmp_path / "t.csv").write_text("s1,5.1,3.5\ns2,4.9,3.0\n")
    data = load(str(tmp_path / "t.csv"), test=0, id_column="0")
    assert (data.train.ids.tolist(), data.columns) == (["s1", "s2"], ("1", "2"))


def test_new_rows_are_read_like_those_of_the_training_data(tmp_path):
    (tmp_path / "named.csv").write_text("900,950,1000\n1,2,3\n")
    (tmp_path / "bare.csv").write_text("900,950,1000\n1,2,3\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_rows(tmp_path / "named.csv", columns=("900", "950", "1000")).rows.tolist() == [[1, 2, 3]]
        assert len(read_rows(tmp_path / "bare.csv", columns=("0", "1", "2"))) == 2


def test_words_are_names_even_where_the_option_says_otherwise(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"line 1, column '0': found 'a', expected a number"):
        load(str(tmp_path / "t.csv"), header=False)


def test_columns_without_names_are_called_by_their_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("".join(f"{k},{k * 1.5},{k % 2}\n" for k in range(20)))
    by_number = load(path, id_column=0, label_column=2, header=False)
    by_text = load(path, id_column="0", label_column="2", header=False)
    assert np.array_equal(by_number.train.rows, by_text.train.rows)
    assert by_number.shape == (1,)
    for ignored in (0, [0, 1]):
        left = load(path, ignore_columns=ignored, header=False)
        assert left.shape == (2 if ignored == 0 else 1,)
    assert np.array_equal(read_rows(path, label_column=2, header=False).labels, np.arange(20) % 2)


VALUES_THAT_ARE_PLACES = {
    "labels": ("5,3,1,4,0", {"label_column": 4}),
    "identifiers": ("0,0.126,-0.132", {"id_column": 0}),
    "labels first": ("0,0.126,-0.132", {"label_column": "0"}),
    "images": ("1,0,0,0,0", {"label_column": 0}),
    "left out": ("2,7,1.5", {"ignore_columns": [2]}),
}


@pytest.mark.parametrize("case", VALUES_THAT_ARE_PLACES)
def test_a_value_is_no_name_of_the_column_that_is_given_by_its_number(tmp_path, case):
    first, options = VALUES_THAT_ARE_PLACES[case]
    rows = [",".join([str(k % 3), *(f"{k}.5" for _ in first.split(",")[2:]), str(k % 2)]) for k in range(12)]
    (tmp_path / "t.csv").write_text("\n".join([first, *rows]) + "\n")
    assert len(load(str(tmp_path / "t.csv"), test=0, **options).train) == 13


@pytest.mark.parametrize("first", ["0,1,2,3,4", "4,0,1,2,3"])
def test_places_are_names_where_no_row_below_holds_them(tmp_path, first):
    (tmp_path / "t.csv").write_text(first + "\n" + "7,1,2,5,6\n2,2,2,2,2\n" * 6)
    with pytest.warns(InputWarning, match="is read as names of columns"):
        data = load(str(tmp_path / "t.csv"), test=0, label_column="4")
    assert (len(data.train), len(data.class_names)) == (12, 2)
    (tmp_path / "t.csv").write_text("4,0,1,2,3\n0,1,3,2,4\n1,2,0,3,4\n")  # rankings
    with pytest.warns(InputWarning, match="is read as a row"):
        assert len(load(str(tmp_path / "t.csv"), test=0).train) == 3


def test_new_rows_and_parts_of_a_table_without_names_may_hold_places(tmp_path):
    new = tmp_path / "new.csv"
    new.write_text("1,0\n2,0\n2,0\n")
    with pytest.warns(InputWarning, match="is read as a row"):
        rows = read_rows(new, columns=("0", "1"), named=False).rows
    assert rows.tolist() == [[1, 0], [2, 0], [2, 0]]
    assert read_rows(new, columns=("0", "1"), named=True).rows.tolist() == [[0, 2], [0, 2]]
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1.csv").write_text("2,2\n0,1\n1,2\n")
    (parts / "2.csv").write_text(new.read_text())
    with pytest.warns(InputWarning, match="is read as a row"):
        assert len(load(str(parts), test=0).train) == 6
    (tmp_path / "0.csv").write_text("0,1\n1,1\n1,0\n")
    with pytest.warns(InputWarning, match="is read as a row"):
        assert len(load(str(tmp_path / "0.csv"), test=0).train) == 3


def test_a_run_knows_whether_its_table_had_names(tmp_path):
    (tmp_path / "train.csv").write_text("2,2\n" + "0,1\n1,2\n2,0\n" * 4)
    (tmp_path / "new.csv").write_text("1,0\n2,0\n2,0\n")
    with pytest.warns(InputWarning, match="is read as a row"):
        made = train("generate", data=tmp_path / "train.csv", run=tmp_path / "run", epochs=1)
    with pytest.warns(InputWarning, match="is read as a row"):
        rows = made.read(tmp_path / "new.csv").rows
    assert rows.tolist() == [[1, 0], [2, 0], [2, 0]]


def test_one_row_of_numbers(tmp_path):
    (tmp_path / "one.csv").write_text("0.5,1,2\n")
    assert read_rows(tmp_path / "one.csv").rows.tolist() == [[0.5, 1, 2]]
