"""TFD: folds that do not overlap, the numbers of expressions, and what to do where the file is missing."""

import os
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import scipy.io

from aae.data import fetch, load, names, read_rows, tfd
from aae.errors import InputError

REAL = Path(os.environ.get("AAE_DATA", "missing"))
needs_faces = pytest.mark.skipif(
    not (REAL / "faces").is_dir(), reason="needs the environment variable AAE_DATA with a folder faces"
)
COUNT = 60
IMAGES = np.random.default_rng(6).integers(0, 256, (COUNT, 48, 48), dtype=np.uint8)
IMAGES[:, 0, 0] = np.arange(COUNT)  # so that an image tells its number
LABELS = np.where(np.arange(COUNT) < 25, -1, np.arange(COUNT) % 7 + 1).astype(np.int16)  # 5 of the fold have none
FOLDS = np.zeros((COUNT, 5), np.uint8)
for _fold in range(5):
    FOLDS[20:, _fold] = np.roll(np.repeat([1, 2, 3], [28, 4, 8]), 8 * _fold)
FILE = {"images": IMAGES, "folds": FOLDS, "labs_ex": LABELS[:, None], "labs_id": np.full((COUNT, 1), -1.0)}


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """An empty AAE_DATA and an empty cache."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("AAE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    return tmp_path


def write(folder, name=tfd.FILE, compress=True, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    content = {key: value for key, value in (FILE | changed).items() if value is not None}
    scipy.io.savemat(folder / name, content, do_compression=compress)
    return folder / name


@pytest.mark.parametrize("fold", [None, 0, 1, 2, 3, 4])
def test_folds(machine, fold):
    write(machine / "data" / "tfd", compress=fold != 0)
    data = load("tfd", fold=fold)
    assert (data.name, data.shape, data.class_names[3]) == ("tfd", (48, 48), "happy")
    seen = []
    for split, part in ((data.train, 0), (data.validation, 2), (data.test, 3)):
        which = np.flatnonzero(FOLDS[:, fold or 0] == part)
        np.testing.assert_array_equal(split.rows, IMAGES[which])
        np.testing.assert_array_equal(split.labels, np.where(LABELS[which] < 0, -1, LABELS[which] - 1))
        assert split.rows.flags.c_contiguous
        assert split.labels.dtype == np.int64
        seen.append(set(split.rows[:, 0, 0]))
    assert [len(part) for part in seen] == [20, 4, 8]
    assert len(set.union(*seen)) == 32
    assert (data.train.labels == -1).all()


def test_folds_test_on_other_images_and_train_on_the_same(machine):
    write(machine / "data" / "tfd")
    folds = [load("tfd", fold=fold) for fold in range(5)]
    tested = np.concatenate([data.test.rows[:, 0, 0] for data in folds])
    assert sorted(tested) == list(range(20, 60))
    for data in folds[1:]:
        np.testing.assert_array_equal(data.train.rows, folds[0].train.rows)


def test_axes_of_an_image(machine):
    images = np.zeros((COUNT, 48, 48), np.uint8)
    images[7, 2, 45] = 99  # row 2, column 45
    data = load(str(write(machine, images=images)))
    assert data.train.rows[7, 2, 45] == 99
    assert data.train.rows.sum() == 99


@pytest.mark.parametrize("name", ["tfd", "faces"])
def test_by_name_folder_and_file(machine, name):
    file = write(machine / "data" / name)
    title = {"tfd": "tfd", "faces": "faces stand-in"}[name]
    sources = {name: title, str(file.parent): name, str(file): tfd.FILE}
    for source, called in sources.items():
        data = load(source, fold=2, validation=3, test=0.5)  # the fold decides
        assert (data.name, len(data.train), len(data.validation), len(data.test)) == (called, 20, 4, 8)
    assert fetch(name) == file.parent
    assert {entry.name: entry.path for entry in names()}[name] == file.parent


def test_a_file_of_another_name(machine):
    assert len(load(str(write(machine, "other.mat"))).test) == 8


def test_new_rows_are_all_images_with_the_expressions_of_the_model(machine):
    split = read_rows(write(machine), shape=(48, 48), class_names=tfd.EXPRESSIONS)
    np.testing.assert_array_equal(split.rows, IMAGES)
    np.testing.assert_array_equal(split.labels, np.where(LABELS < 0, -1, LABELS - 1))


def test_missing_files_come_with_the_way_to_obtain_them(machine):
    for action in (load, fetch):
        with pytest.raises(
            InputError,
            match=r"tfd: found it neither .* cannot be downloaded: ask its authors \(J\. Susskind.*MD5 checksum 9d113650.*"
            r"expected TFD_48x48\.mat in a folder 'tfd' inside the folder that AAE_DATA names",
        ) as caught:
            action("tfd")
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError, match=r"faces: .*stands in for tfd.*TFD_48x48\.mat in a folder 'faces'"):
            action("faces")
    with pytest.raises(InputError, match=r"tfd: found it neither .*ask its authors.*expected TFD_48x48"):
        load("tfd", download=False)


def test_options(machine):
    file = write(machine / "data" / "tfd")
    for fold in (-1, 5):
        with pytest.raises(InputError, match=rf"fold: found {fold}, expected 0 to 4"):
            load("tfd", fold=fold)
    with pytest.raises(InputError, match="fold: found this option for digits, expected it only for tfd and faces"):
        load("digits", fold=0)
    with pytest.raises(InputError, match="image_size: found this option"):
        load(str(file), image_size=3)


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


LABS = FILE["labs_ex"]
BAD = {
    "no images": ({"images": None}, "found the variables folds, labs_ex, labs_id; expected images, folds, labs_ex"),
    "no folds": ({"folds": None}, "expected images, folds, labs_ex"),
    "no labels": ({"labs_ex": None}, "expected images, folds, labs_ex"),
    "size": (
        {"images": IMAGES[:, ::2, ::2]},
        r"images: found shape \(60, 24, 24\) and type uint8, expected \(n, 48, 48\)",
    ),
    "flat": ({"images": IMAGES.reshape(COUNT, -1)}, r"images: found shape \(60, 2304\)"),
    "type": ({"images": IMAGES / 255}, r"type double, expected \(n, 48, 48\) and uint8"),
    "fewer folds": ({"folds": FOLDS[:, :4]}, r"folds: found shape \(60, 4\), expected \(60, 5\)"),
    "fewer rows of folds": ({"folds": FOLDS[1:]}, r"folds: found shape \(59, 5\)"),
    "fewer labels": ({"labs_ex": LABS[1:]}, r"labs_ex: found shape \(59, 1\), expected \(60, 1\)"),
    "fold 4": ({"folds": changed(FOLDS, (8, 2), 4)}, r"folds, row 8 .*found 4, expected one of 0, 1, 2, 3"),
    "label 0": ({"labs_ex": changed(LABS, 3, 0)}, r"labs_ex, row 3 .*found 0, expected one of -1, 1, 2, 3, 4, 5, 6, 7"),
    "label 8": ({"labs_ex": changed(LABS, 3, 8)}, r"labs_ex, row 3 .*found 8"),
    "no test images": ({"folds": changed(FOLDS, FOLDS == 3, 1)}, r"found no test images \(3\) in fold 0 of folds"),
    "nothing unlabelled": ({"folds": changed(FOLDS, FOLDS == 0, 1)}, r"found no unlabelled images \(0\) in fold 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_clear_line(machine, case):
    content, message = BAD[case]
    file = write(machine, **content)
    with pytest.raises(InputError, match=rf"{tfd.FILE}: .*{message}") as caught:
        load(str(file))
    assert "\n" not in str(caught.value)


def test_damaged_files(machine):
    file = write(machine)
    for damaged in (file.read_bytes()[:50_000], b"hello", b""):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{tfd.FILE}: found .*expected"):
            load(str(file))


@needs_faces
def test_the_stand_in(monkeypatch):
    monkeypatch.setenv("AAE_DATA", str(REAL))
    data = load("faces", fold=1)
    assert (data.name, len(data.train), len(data.validation), len(data.test)) == ("faces stand-in", 20_000, 400, 800)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [94, 13, 125, 214, 138, 80, 136])
    entry = next(entry for entry in names() if entry.name == "faces")
    assert (entry.train_size, entry.test_size) == (len(data.train), len(data.test))
    content = scipy.io.loadmat(REAL / "faces" / tfd.FILE)
    np.testing.assert_array_equal(data.test.rows, content["images"][content["folds"][:, 1] == 3])
