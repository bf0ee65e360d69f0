"""Own files and folders: what comes out, and one clear line for whatever is wrong."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image

from aae.data import load, read_rows
from aae.errors import InputError, InputWarning

RNG = np.random.default_rng(7)
PICTURES = RNG.integers(0, 256, (20, 4, 5), dtype=np.uint8)
COLUMNS = RNG.normal(size=(20, 3))


def write_idx(path: Path, array: np.ndarray, code: int = 0x08) -> Path:
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_image(path: Path, size: tuple[int, int] = (5, 4), value: int | tuple[int, ...] = 7, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


# --- NumPy ---


def test_npy_without_splits_stays_a_memory_map(tmp_path):
    np.save(tmp_path / "x.npy", COLUMNS.astype(np.float32))
    data = load(str(tmp_path / "x.npy"), test=0)
    assert isinstance(data.train.rows, np.memmap)
    np.testing.assert_array_equal(data.train.rows, COLUMNS.astype(np.float32))
    assert (data.name, data.shape, data.class_names) == ("x.npy", (3,), ())
    assert data.train.labels is None
    assert data.validation is None
    assert data.test is None


@pytest.mark.parametrize(
    ("array", "dtype", "shape"),
    [
        (PICTURES, np.uint8, (4, 5)),
        (PICTURES[..., None], np.uint8, (4, 5)),
        (np.stack([PICTURES] * 3, axis=-1), np.uint8, (4, 5, 3)),
        (PICTURES.reshape(20, 20), np.uint8, (20,)),
        (COLUMNS, np.float64, (3,)),
        (COLUMNS.astype(np.float32), np.float32, (3,)),
        (COLUMNS.astype(np.float16), np.float16, (3,)),
        (COLUMNS.astype(">f4"), np.float32, (3,)),
        (PICTURES.astype(np.int64), np.int64, (4, 5)),
        (PICTURES.astype(np.uint16), np.float32, (4, 5)),
        (PICTURES.astype(np.uint32), np.float64, (4, 5)),
        (COLUMNS > 0, np.float32, (3,)),
    ],
)
def test_types_and_shapes_of_rows(tmp_path, array, dtype, shape):
    np.save(tmp_path / "x.npy", array)
    rows = read_rows(tmp_path / "x.npy").rows
    assert rows.dtype == dtype
    assert rows.shape == (20, *shape)
    np.testing.assert_allclose(rows.reshape(-1), array.reshape(-1), rtol=1e-6)


def test_npz_with_own_test_rows_numbers_the_classes_of_both(tmp_path):
    np.savez(
        tmp_path / "k.npz",
        x_train=PICTURES[:12],
        y_train=np.tile([[3], [9]], (6, 1)),
        x_test=PICTURES[12:],
        y_test=[5] * 8,
    )
    data = load(str(tmp_path / "k.npz"))
    assert data.class_names == ("3", "5", "9")
    np.testing.assert_array_equal(data.train.labels, [0, 2] * 6)
    np.testing.assert_array_equal(data.test.labels, [1] * 8)
    np.testing.assert_array_equal(data.test.rows, PICTURES[12:])


@pytest.mark.parametrize(("x", "val"), [("x", "val"), ("X", "valid"), ("X", "validation")])
def test_npz_with_validation_rows_of_its_own(tmp_path, x, val):
    arrays = {f"{x}_train": COLUMNS[:12], f"{x}_{val}": COLUMNS[12:], "y_train": [0, 1] * 6, f"y_{val}": [1] * 8}
    np.savez(tmp_path / "k.npz", **arrays)
    data = load(str(tmp_path / "k.npz"), validation=0.5, test=0)
    np.testing.assert_array_equal(data.validation.rows, COLUMNS[12:])
    assert (len(data.train), data.validation.labels.tolist()) == (12, [1] * 8)
    with pytest.raises(InputError, match="found training and validation rows, expected one set of rows"):
        read_rows(tmp_path / "k.npz")


@pytest.mark.parametrize("arrays", [{"X": COLUMNS}, {"x_train": COLUMNS}])
def test_arrays_of_an_npz_file_that_are_not_read_are_named(tmp_path, arrays):
    np.savez(tmp_path / "k.npz", **arrays, columns=list("abc"), y_other=[0] * 20)
    with pytest.warns(InputWarning, match=r"k\.npz: not read: 'columns', 'y_other'"):
        assert len(load(str(tmp_path / "k.npz"), test=0).train) == 20


@pytest.mark.parametrize(("rows", "labels"), [("X", "y"), ("x", "labels"), ("images", "labels"), ("rows", "y")])
def test_npz_with_one_set_of_rows(tmp_path, rows, labels):
    np.savez(tmp_path / "a.npz", **{rows: COLUMNS, labels: np.arange(20) % 3 - 1})
    split = read_rows(tmp_path / "a.npz")
    np.testing.assert_array_equal(split.labels, np.arange(20) % 3 - 1)


@pytest.mark.parametrize("suffix", ["npy", "csv", "parquet"])
def test_labels_from_a_file_of_their_own(tmp_path, suffix):
    np.save(tmp_path / "x.npy", COLUMNS)
    names = np.array(["cat", "dog"])[np.arange(20) % 2]
    file = tmp_path / f"y.{suffix}"
    if suffix == "npy":
        np.save(file, names)
    elif suffix == "csv":
        file.write_text("Class\n" + "\n".join(["", *names[1:]]))  # the first is unlabelled
        names[0] = ""
    else:
        pa.parquet.write_table(pa.table({"kind": names}), file)
    data = load(str(tmp_path / "x.npy"), labels=str(file), test=0)
    assert data.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.train.labels, np.where(names == "", -1, np.arange(20) % 2))


def test_a_first_label_that_is_read_as_a_name_is_said(tmp_path):
    np.save(tmp_path / "x.npy", COLUMNS)
    (tmp_path / "y.csv").write_text("bird\n" + "cat\n" * 10 + "dog\n" * 9)
    with (
        pytest.warns(InputWarning, match=r"y\.csv: the first line, 'bird', is read as the name of the column, and not"),
        pytest.raises(InputError, match=r"y\.csv: found labels of shape \(19,\), expected one for each of 20 rows"),
    ):
        load(str(tmp_path / "x.npy"), labels=str(tmp_path / "y.csv"))


def test_a_folder_that_is_called_like_a_data_set_is_named(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.warns(InputWarning, match=r"the data set of this name is read, and not the .*\./digits reads that"):
        assert load("digits").shape == (8, 8)


# --- tables ---


@pytest.mark.parametrize(
    ("labels", "class_names", "numbers"),
    [
        (["dog", "cat", None, "dog"], ("cat", "dog"), [1, 0, -1, 1]),
        ([10, 2, -1, None], ("2", "10"), [1, 0, -1, -1]),
        ([3.0, 1.0, None, 3.0], ("1", "3"), [1, 0, -1, 1]),
        ([True, False, None, True], ("false", "true"), [1, 0, -1, 1]),
        ([None, None, None, None], (), [-1, -1, -1, -1]),
        (["007", "12", None, "007"], ("007", "12"), [0, 1, -1, 0]),
        (["01", "1", None, "01"], ("01", "1"), [0, 1, -1, 0]),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_labels(tmp_path, labels, class_names, numbers, suffix):
    table = pa.table({"a": [1, 2, 3, 4], "kind": labels, "b": [0.5, 1.5, 2.5, 3.5]})
    file = tmp_path / f"t.{suffix}"
    (pa.csv.write_csv if suffix == "csv" else pa.parquet.write_table)(table, file)
    data = load(str(file), label_column="kind", test=0)
    assert data.class_names == class_names
    np.testing.assert_array_equal(data.train.labels, numbers)
    np.testing.assert_array_equal(data.train.rows, np.array([[1, 0.5], [2, 1.5], [3, 2.5], [4, 3.5]], np.float32))


@pytest.mark.parametrize("kind", [pa.uint8(), pa.int16(), pa.uint64()])
def test_missing_labels_of_any_whole_type_are_unlabelled(tmp_path, kind):
    labels = pa.array([1, None, 4], kind)
    pa.parquet.write_table(pa.table({"x": [1, 2, 3], "label": labels}), tmp_path / "t.parquet")
    np.testing.assert_array_equal(read_rows(tmp_path / "t.parquet").labels, [0, -1, 1])


def test_dictionary_labels_and_row_names_of_pandas(tmp_path):
    kinds = pa.array(["b", "a", "b"]).dictionary_encode()
    pa.parquet.write_table(
        pa.table({"x": [1, 2, 3], "label": kinds, "__index_level_0__": [7, 8, 9]}), tmp_path / "t.parquet"
    )
    split = read_rows(tmp_path / "t.parquet")
    assert split.rows.shape == (3, 1)
    np.testing.assert_array_equal(split.labels, [1, 0, 1])


def test_a_column_called_label_is_taken_by_itself(tmp_path):
    (tmp_path / "t.csv").write_text("\ufeffx,label\n1,b\n2,a\n", encoding="utf-8")
    assert load(str(tmp_path / "t.csv"), test=0).class_names == ("a", "b")


def test_csv_types_do_not_depend_on_the_first_lines(tmp_path):
    lines = ["1,2"] * 300_000  # more than one block of the reader
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join([*lines, "0.5,1e3"]))
    np.testing.assert_array_equal(read_rows(tmp_path / "t.csv").rows[-1], [0.5, 1000])


@pytest.mark.parametrize(("text", "rows"), [("1.5,2\n3,4\n", 2), ("0,1\n3,4\n", 1)])
def test_csv_without_a_line_of_names(tmp_path, text, rows):
    (tmp_path / "t.csv").write_text(text)
    with pytest.warns(InputWarning, match="the first line, .* is read as " + ("a row" if rows == 2 else "names")):
        assert read_rows(tmp_path / "t.csv").rows.shape == (rows, 2)


# --- IDX ---


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_folder(tmp_path, suffix):
    for name, images, labels in [
        ("train", PICTURES[:15], np.arange(15) % 3),
        ("t10k", PICTURES[15:], np.arange(5) % 3),
    ]:
        write_idx(tmp_path / f"{name}-images-idx3-ubyte{suffix}", images)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte{suffix}", labels.astype(np.uint8))
    data = load(str(tmp_path))
    np.testing.assert_array_equal(data.train.rows, PICTURES[:15])
    np.testing.assert_array_equal(data.test.rows, PICTURES[15:])
    np.testing.assert_array_equal(data.train.labels, np.arange(15) % 3)
    assert isinstance(data.train.rows, np.memmap) == (suffix == "")
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize(("dtype", "code"), [(">i2", 0x0B), (">i4", 0x0C), (">f4", 0x0D), (">f8", 0x0E)])
def test_idx_of_other_types(tmp_path, dtype, code):
    array = PICTURES.astype(dtype)
    np.testing.assert_array_equal(read_rows(write_idx(tmp_path / "a.idx", array, code)).rows, PICTURES)


# --- images ---


def test_folder_of_classes(tmp_path):
    for folder, value in [("b", 10), ("a", 20), ("unlabelled", 30)]:
        write_image(tmp_path / folder / "1.png", value=value)
    (tmp_path / "README.txt").write_text("not an image")
    with pytest.warns(InputWarning, match=r"not read, being no files of images: 1 \(.txt\), such as README"):
        data = load(str(tmp_path), test=0)
    assert data.class_names == ("a", "b")
    assert data.shape == (4, 5)
    np.testing.assert_array_equal(data.train.rows[:, 0, 0], [20, 10, 30])
    np.testing.assert_array_equal(data.train.labels, [0, 1, -1])


def test_folders_of_splits(tmp_path):
    for split in ("train", "test"):
        for index, kind in enumerate(("a", "b")):
            write_image(tmp_path / split / kind / "sub" / "1.png", value=index)
    data = load(str(tmp_path))
    np.testing.assert_array_equal(data.test.labels, [0, 1])
    assert len(data.train) == 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_images_lie_on_white(tmp_path, mode):
    ink = Image.new("RGBA", (5, 4), (0, 0, 0, 0))
    ink.putpixel((1, 2), (0, 0, 0, 255))
    ink.convert(mode).save(tmp_path / "x.png")
    for colour in (False, True):
        rows = read_rows(tmp_path / "x.png", colour=colour).rows[0].reshape(4, 5, -1)
        assert rows[2, 1].max() == 0
        assert np.delete(rows.reshape(20, -1), 11, axis=0).min() == 255


def test_colour_and_size(tmp_path):
    write_image(tmp_path / "1.png", (10, 6), (255, 0, 0), "RGB")
    write_image(tmp_path / "2.bmp", (5, 9), (0, 0, 255), "RGB")
    colour = read_rows(tmp_path, image_size=3, colour=True)
    assert colour.rows.shape == (2, 3, 3, 3)
    assert colour.labels is None
    np.testing.assert_array_equal(colour.rows[:, 1, 1], [[255, 0, 0], [0, 0, 255]])
    with pytest.warns(InputWarning, match=r"images with colours are read as grayscale: 1, such as 1\.png$"):
        gray = read_rows(tmp_path / "1.png").rows
    np.testing.assert_array_equal(gray, np.full((1, 6, 10), 76))  # 0.299 of 255


# --- read_rows ---


def test_read_rows_gives_columns_the_shape_of_the_model(tmp_path):
    np.save(tmp_path / "x.npy", PICTURES.reshape(20, 20))
    rows = read_rows(tmp_path / "x.npy", shape=(4, 5)).rows
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows, PICTURES)
    with pytest.raises(InputError, match=r"found rows of shape \(20,\), expected \(3, 3\)"):
        read_rows(tmp_path / "x.npy", shape=(3, 3))


def test_read_rows_with_the_classes_of_the_model(tmp_path):
    (tmp_path / "t.csv").write_text("x,label\n1,c\n2,b\n")
    np.testing.assert_array_equal(read_rows(tmp_path / "t.csv", class_names=("a", "b", "c")).labels, [2, 1])
    with pytest.raises(InputError, match="unknown class 'c'"):
        read_rows(tmp_path / "t.csv", class_names=("a", "b"))


# --- what can be wrong ---


def with_value(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    changed = array.copy()
    changed[place] = value
    return changed


def save(name, **arrays):
    return lambda folder: (np.save if name.endswith("npy") else np.savez)(folder / name, **arrays)


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def raw(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def parquet(**columns):
    return lambda folder: pa.parquet.write_table(pa.table(columns), folder / "t.parquet")


def cut(make, name, size):
    def run(folder):
        make(folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:size])

    return run


def idx(name, array=PICTURES):
    return lambda folder: write_idx(folder / name, array)


def images(*made):
    return lambda folder: [write_image(folder / name, size) for name, size in made]


BAD = {
    "missing": (lambda folder: None, "digitz", {}, "unknown data set.*no file or folder"),
    "suffix": (
        text("x.txt", "1"),
        "x.txt",
        {},
        r"x\.txt: found the suffix '\.txt', expected \.npy, \.npz, \.csv, .*\.parquet",
    ),
    "nan": (save("x.npy", arr=with_value(COLUMNS, (4, 2), np.nan)), "x.npy", {}, "row 4, column 2 .*found nan"),
    "infinite pixel": (
        save("x.npy", arr=with_value(PICTURES.astype(np.float32), (1, 2, 3), np.inf)),
        "x.npy",
        {},
        r"row 1, pixel \(2, 3\) .*found inf",
    ),
    "too large": (
        save("x.npy", arr=with_value(COLUMNS, (0, 1), 1e300)),
        "x.npy",
        {},
        r"row 0, column 1 .*found 1e\+300",
    ),
    "text": (save("x.npy", arr=np.array([["a", "b"]])), "x.npy", {}, "found values of type <U1, expected numbers"),
    "objects": (save("x.npy", arr=np.array([[{}]])), "x.npy", {}, r"x\.npy: found a file that cannot be read"),
    "complex": (save("x.npy", arr=np.ones((2, 2), complex)), "x.npy", {}, "type complex128"),
    "one dimension": (save("x.npy", arr=np.ones(5)), "x.npy", {}, "found 1 dimensions"),
    "five dimensions": (save("x.npy", arr=np.ones((1, 1, 1, 1, 1))), "x.npy", {}, "found 5 dimensions"),
    "channels": (save("x.npy", arr=np.ones((2, 8, 8, 4))), "x.npy", {}, "found 4 colours"),
    "no rows": (save("x.npy", arr=np.ones((0, 3))), "x.npy", {}, "no rows"),
    "no columns": (save("x.npy", arr=np.ones((3, 0))), "x.npy", {}, "no columns"),
    "not npy": (text("x.npy", "hello"), "x.npy", {}, r"x\.npy: found a file that cannot be read"),
    "empty npy": (text("x.npy", ""), "x.npy", {}, r"x\.npy: found a file that cannot be read"),
    "short npy": (cut(save("x.npy", arr=COLUMNS), "x.npy", 300), "x.npy", {}, "cannot be read"),
    "npz keys": (save("x.npz", stuff=COLUMNS), "x.npz", {}, "found the keys stuff; expected x_train"),
    "npz cut": (cut(save("x.npz", X=COLUMNS), "x.npz", 200), "x.npz", {}, r"x\.npz: found a file that cannot be read"),
    "npz objects": (save("x.npz", X=np.array([[{}]])), "x.npz", {}, "cannot be read"),
    "npz empty": (text("x.npz", ""), "x.npz", {}, "cannot be read"),
    "npz length": (save("x.npz", X=COLUMNS, y=np.arange(19)), "x.npz", {}, r"key 'y': found labels of shape \(19,\)"),
    "npz half": (save("x.npz", X=COLUMNS, y=np.full(20, 1.5)), "x.npz", {}, "label of row 0 .*found 1.5"),
    "npz below -1": (save("x.npz", X=COLUMNS, y=np.arange(-2, 18)), "x.npz", {}, "label of row 0 .*found -2"),
    "npz shapes": (
        save("x.npz", x_train=COLUMNS, x_test=COLUMNS[:, :2]),
        "x.npz",
        {},
        r"key 'x_test': found rows of shape \(2,\)",
    ),
    "ragged": (text("t.csv", "a,b\n1,2\n3\n"), "t.csv", {}, "line 3: Expected 2 columns, got 1"),
    "word": (
        text("t.csv", "a,b\n1,2\n3,x\n"),
        "t.csv",
        {},
        r"line 3, column 'b': found 'x', expected a number, with commas",
    ),
    "hole": (text("t.csv", "a,b\n1,2\n,3\n"), "t.csv", {}, "column 'a': found a missing value in row 1"),
    "csv nan": (text("t.csv", "a,b\n1,2\n3,nan\n"), "t.csv", {}, "row 1, column 'b' .*found nan"),
    "csv empty": (text("t.csv", ""), "t.csv", {}, "no columns"),
    "csv names only": (text("t.csv", "a,b\n"), "t.csv", {}, "no rows"),
    "csv binary": (raw("t.csv", b"\x89\xff\x00\x01"), "t.csv", {}, "cannot be read"),
    "twice": (text("t.csv", "a,a\n1,2\n"), "t.csv", {}, "2 columns called 'a'"),
    "unnamed": (text("t.csv", "a,,b\n0,2,3\n"), "t.csv", {}, "no name for column 1"),
    "no such column": (
        text("t.csv", "a,kind\n1,x\n"),
        "t.csv",
        {"label_column": "knd"},
        "column 'knd'; did you mean 'kind'",
    ),
    "only labels": (text("t.csv", "label\nx\n"), "t.csv", {}, "no columns"),
    "half label": (text("t.csv", "a,label\n1,1\n2,1.5\n"), "t.csv", {}, "label of row 1 .*found 1.5"),
    "parquet text": (parquet(a=[f"x{k}" for k in range(30)]), "t.parquet", {}, "column 'a': found 30 different values"),
    "parquet list label": (parquet(a=[1], label=[{"x": 1}]), "t.parquet", {}, "found labels of type struct"),
    "parquet null": (parquet(a=[1, None]), "t.parquet", {}, "column 'a': found a missing value in row 1"),
    "not parquet": (text("t.parquet", "hello"), "t.parquet", {}, "cannot be read"),
    "idx magic": (raw("a.idx", b"\x89PNG0000"), "a.idx", {}, "magic number 0x89504e47"),
    "idx header": (raw("a.idx", b"\0\0\x08\x03\0\0"), "a.idx", {}, "found 6 bytes, expected a header of 16"),
    "idx short": (cut(idx("a.idx"), "a.idx", 100), "a.idx", {}, "found 100 bytes, expected 416"),
    "idx empty": (text("a.idx", ""), "a.idx", {}, "empty file"),
    "gzip short": (cut(idx("a.idx.gz"), "a.idx.gz", 100), "a.idx.gz", {}, "cannot be read"),
    "gzip empty": (text("a.idx.gz", ""), "a.idx.gz", {}, "magic number 0x"),
    "not gzip": (text("a.idx.gz", "hello"), "a.idx.gz", {}, "cannot be read"),
    "labels as rows": (idx("a.idx", np.arange(5, dtype=np.uint8)), "a.idx", {}, "found 1 dimensions"),
    "sizes": (
        images(("a.png", (5, 4)), ("b.png", (6, 4))),
        ".",
        {},
        r"b\.png: found an image of 6x4 pixels, expected 5x4 pixels like a.png",
    ),
    "no images": (text("a.txt", ""), ".", {}, "found a folder without images or tables, expected"),
    "empty class": (
        lambda folder: [(folder / "cat").mkdir(), write_image(folder / "dog/a.png")],
        ".",
        {},
        "cat: found no images",
    ),
    "mixed": (images(("a.png", (5, 4)), ("cat/b.png", (5, 4))), ".", {}, "found images beside the folder 'cat'"),
    "third split": (
        images(("train/a.png", (5, 4)), ("extra/b.png", (5, 4))),
        ".",
        {},
        "found a folder 'extra' beside those of splits",
    ),
    "not a image": (text("a.png", "hello"), ".", {}, r"a\.png: found a file that cannot be read .*, expected an image"),
    "16 bits": (lambda folder: write_image(folder / "a.png", mode="I;16"), ".", {}, "more than 8 bits"),
    "image size": (images(("a.png", (5, 4))), ".", {"image_size": 0}, "image_size: found 0"),
    "option size": (
        save("x.npy", arr=COLUMNS),
        "x.npy",
        {"image_size": 8},
        "image_size: .*expected it only for images",
    ),
    "option colour": (text("t.csv", "a\n1\n"), "t.csv", {"colour": True}, "colour: .*expected it only for images"),
    "option column": (
        save("x.npy", arr=COLUMNS),
        "x.npy",
        {"label_column": "a"},
        "label_column: .*only for CSV files and TSV",
    ),
    "option labels": (lambda folder: None, None, {"labels": "y.npy"}, "labels: .*only for your own data"),
    "labels file": (
        save("x.npy", arr=COLUMNS),
        "x.npy",
        {"labels": "nowhere.npy"},
        "labels: found no file 'nowhere.npy'",
    ),
    "labels twice": (save("x.npz", X=COLUMNS, y=np.arange(20)), "x.npz", {"labels": "y.npy"}, "has its own labels"),
    "test too large": (save("x.npy", arr=COLUMNS), "x.npy", {"test": 20}, "test: found 20 of 20 rows"),
    "validation too large": (
        save("x.npy", arr=COLUMNS),
        "x.npy",
        {"validation": 16},
        "validation: found 16 of 16 rows",
    ),
    "fraction": (save("x.npy", arr=COLUMNS), "x.npy", {"validation": 1.5}, "validation: found 1.5"),
    "negative": (save("x.npy", arr=COLUMNS), "x.npy", {"test": -0.1}, "test: found -0.1"),
    "one row": (save("x.npy", arr=COLUMNS[:1]), "x.npy", {}, "test: found 0.2 of 1 rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(tmp_path, case):
    make, name, options, message = BAD[case]
    make(tmp_path)
    source = "digits" if name is None else name if case == "missing" else str(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        load(source, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("y.csv", b"a,b\n1,2\n", "found 2 columns, expected one column of labels"),
        ("y.csv", b"\xff\xfe", "found no columns"),
        ("y.csv", b"\xe4\n", "cannot be read .*expected a table of numbers in UTF-8"),
        ("y.npz", b"", "expected .npy, .csv"),
        ("y.parquet", b"hello", "cannot be read"),
        ("y.txt", b"1", "expected .npy, .csv, .*an IDX file"),
    ],
)
def test_bad_label_files(tmp_path, name, content, message):
    np.save(tmp_path / "x.npy", COLUMNS)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        load(str(tmp_path / "x.npy"), labels=str(tmp_path / name))


@pytest.mark.parametrize("name", ["nowhere.npy", "both.npz"])
def test_read_rows_refuses(tmp_path, name):
    np.savez(tmp_path / "both.npz", x_train=COLUMNS, x_test=COLUMNS)
    with pytest.raises(
        InputError, match="found no such file" if name == "nowhere.npy" else "found training and test rows"
    ):
        read_rows(tmp_path / name)


def test_not_finite_is_found_in_a_later_block(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.data.checks.BLOCK", 6)
    np.save(tmp_path / "x.npy", with_value(COLUMNS.astype(np.float32), (19, 0), math.inf))
    with pytest.raises(InputError, match="row 19, column 0"):
        read_rows(tmp_path / "x.npy")


def test_a_feature_called_label_stays_one_where_the_labels_are_missing(tmp_path):
    (tmp_path / "new.csv").write_text("label,a\n3,4\n")
    split = read_rows(tmp_path / "new.csv", label_column="species", columns=("label", "a"))
    assert (split.rows.tolist(), split.labels) == ([[3, 4]], None)


def test_labels_from_a_table_that_pandas_wrote_with_row_names(tmp_path):
    np.save(tmp_path / "x.npy", COLUMNS[:2])
    pa.parquet.write_table(pa.table({"kind": ["b", "a"], "__index_level_0__": [7, 8]}), tmp_path / "y.parquet")
    assert load(str(tmp_path / "x.npy"), labels=str(tmp_path / "y.parquet"), test=0).train.labels.tolist() == [1, 0]


def test_columns_of_new_rows_are_found_by_name(tmp_path):
    (tmp_path / "old.csv").write_text("a,b,label\n1,2,x\n3,4,y\n")
    (tmp_path / "new.csv").write_text("note,b,a,empty\nnine,20,10,\n")
    pa.parquet.write_table(pa.table({"b": [20], "note": ["nine"], "a": [10]}), tmp_path / "new.parquet")
    (tmp_path / "short.csv").write_text("b,c\n1,2\n")
    known = load(str(tmp_path / "old.csv"), test=0)
    assert known.columns == ("a", "b")
    for file in ("new.csv", "new.parquet"):
        with pytest.warns(InputWarning, match=r"not read, being no columns of the training data: 'note'"):
            rows = read_rows(tmp_path / file, shape=known.shape, columns=known.columns).rows
        assert rows.tolist() == [[10, 20]]
    with pytest.raises(InputError, match="found no column 'a'"):
        read_rows(tmp_path / "short.csv", shape=known.shape, columns=known.columns)
