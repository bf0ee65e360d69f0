"""SVHN: the axes, the labels, one conversion that a kill cannot spoil, and the memory it takes."""

import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import platformdirs
import pooch
import pytest
import requests
import scipy.io
import torch

from aae.data import fetch, load, names, read_rows, svhn
from aae.errors import InputError
from aae.recipes.build_data import with_scaling
from aae.runs.recipe import read_recipe

REAL = Path(os.environ.get("AAE_DATA", "missing"))
needs_svhn = pytest.mark.skipif(
    not (REAL / "svhn-10k").is_dir(),
    reason="needs the environment variable AAE_DATA with a folder svhn-10k",
)
RNG = np.random.default_rng(5)
SIZES = {svhn.TRAIN: 25, svhn.EXTRA: 40, svhn.TEST: 15}
PICTURES = {file: RNG.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8) for file, size in SIZES.items()}
LABELS = {file: np.arange(size) % 10 for file, size in SIZES.items()}


def write(path, images, labels, compress=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    y = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    scipy.io.savemat(path, {"X": np.moveaxis(images, 0, 3), "y": y}, do_compression=compress)
    return path


def write_folder(folder, *files):
    for file in files:
        write(folder / file, PICTURES[file], LABELS[file])
    return folder


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """An empty AAE_DATA and cache of its own, and no network."""

    def refuse(*args, **kwargs):
        raise requests.ConnectionError("no route")

    (tmp_path / "data").mkdir()
    monkeypatch.setenv("AAE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    monkeypatch.setattr(requests, "get", refuse)
    return tmp_path


@pytest.fixture
def official(machine, monkeypatch):
    """Small files in the place of the official ones, checksums included."""
    folder = write_folder(machine / "data" / "svhn", *SIZES)
    monkeypatch.setattr(svhn, "SUMS", {file: pooch.file_hash(str(folder / file), alg="md5") for file in SIZES})
    return folder


def conversions(machine):
    return sorted((machine / "cache" / "svhn-arrays").iterdir())


@pytest.mark.parametrize("compress", [False, True])
def test_axes_and_labels(tmp_path, compress):
    X = np.zeros((32, 32, 3, 3), np.uint8)
    X[2, 30, 1, 0] = 11  # row 2, column 30, green, first image
    X[31, 0, 2, 1] = 12
    X[0, 7, 0, 2] = 13
    scipy.io.savemat(
        tmp_path / "train_32x32.mat", {"X": X, "y": np.array([[10.0], [1.0], [9.0]])}, do_compression=compress
    )
    data = load(str(tmp_path), test=0)
    assert (data.train.rows[0, 2, 30, 1], data.train.rows[1, 31, 0, 2], data.train.rows[2, 0, 7, 0]) == (11, 12, 13)
    assert data.train.rows.sum() == 36
    assert data.class_names == ("0", "1", "9")
    np.testing.assert_array_equal(data.train.labels, [0, 1, 2])


@pytest.mark.parametrize(
    ("name", "files"),
    [("svhn", [svhn.EXTRA, svhn.TRAIN]), ("svhn-extra", [svhn.EXTRA]), ("svhn-train", [svhn.TRAIN])],
)
def test_which_files_are_trained_on(official, name, files):
    data = load(name, validation=5)
    rows, labels = (np.concatenate([part[file] for file in files]) for part in (PICTURES, LABELS))
    np.testing.assert_array_equal(data.train.rows, rows[:-5])
    np.testing.assert_array_equal(data.validation.rows, rows[-5:])
    np.testing.assert_array_equal(data.train.labels, labels[:-5])
    np.testing.assert_array_equal(data.validation.labels, labels[-5:])
    np.testing.assert_array_equal(data.test.rows, PICTURES[svhn.TEST])
    np.testing.assert_array_equal(data.test.labels, LABELS[svhn.TEST])
    assert (data.name, data.shape, data.class_names) == (name, (32, 32, 3), tuple("0123456789"))
    for split in (data.train, data.validation, data.test):
        assert isinstance(split.rows, np.memmap)
        assert (split.rows.dtype, split.labels.dtype) == (np.uint8, np.int64)


def test_the_layout_of_torchvision_is_found(official, machine):
    for file in SIZES:
        (official / file).rename(machine / "data" / file)
    official.rmdir()
    assert fetch("svhn-train") == machine / "data"
    assert len(load("svhn-train").train) == 25
    assert len(load("svhn").train) == 65


def test_files_other_than_the_official_ones_are_refused(official):
    for name in ("svhn", "svhn-extra"):
        write(official / svhn.EXTRA, PICTURES[svhn.EXTRA][::-1], LABELS[svhn.EXTRA])
        with pytest.raises(
            InputError, match=rf"{svhn.EXTRA}: found the MD5 checksum [0-9a-f]{{32}}, expected .* official"
        ):
            load(name)
    assert len(load("svhn-train").train) == 25
    np.testing.assert_array_equal(
        load(str(official)).train.rows[:40], PICTURES[svhn.EXTRA][::-1]
    )  # a path is not verified
    with pytest.raises(InputError, match="MD5"):
        load("svhn")  # still not


def test_a_folder_without_test_file_keeps_the_last_rows_for_testing(machine):
    data = load(str(write_folder(machine / "own", svhn.TRAIN)), test=0.2, validation=5)
    np.testing.assert_array_equal(data.test.rows, PICTURES[svhn.TRAIN][20:])
    np.testing.assert_array_equal(data.validation.rows, PICTURES[svhn.TRAIN][15:20])
    assert isinstance(data.train.rows, np.memmap)


def test_new_rows_are_read_from_one_file(machine):
    folder = write_folder(machine / "own", svhn.TEST, svhn.TRAIN)
    split = read_rows(folder / svhn.TEST, shape=(32, 32, 3), colour=True, class_names=tuple("0123456789"))
    np.testing.assert_array_equal(split.rows, PICTURES[svhn.TEST])
    np.testing.assert_array_equal(split.labels, LABELS[svhn.TEST])
    with pytest.raises(InputError, match="found training and test rows"):
        read_rows(folder)


def test_files_are_converted_once_and_folders_do_not_collide(machine):
    one = write_folder(machine / "one", svhn.TRAIN)
    other = write(machine / "other" / svhn.TRAIN, 255 - PICTURES[svhn.TRAIN], LABELS[svhn.TRAIN]).parent
    np.testing.assert_array_equal(load(str(one), test=0).train.rows, PICTURES[svhn.TRAIN])
    np.testing.assert_array_equal(load(str(other), test=0).train.rows, 255 - PICTURES[svhn.TRAIN])
    before = [(path, path.stat().st_mtime_ns) for path in conversions(machine)]
    assert len(before) == 2
    np.testing.assert_array_equal(load(str(one), test=0).train.rows, PICTURES[svhn.TRAIN])
    assert [(path, path.stat().st_mtime_ns) for path in conversions(machine)] == before
    write(one / svhn.TRAIN, PICTURES[svhn.TRAIN][::-1], LABELS[svhn.TRAIN])  # of the same size in bytes, or nearly
    np.testing.assert_array_equal(load(str(one), test=0).train.rows, PICTURES[svhn.TRAIN][::-1])


KILLED = """
import os, pathlib, signal, sys, platformdirs
from aae.data import load
platformdirs.user_cache_path = lambda name: pathlib.Path(sys.argv[2])
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)  # all is written but the name
load(sys.argv[1])
"""


def test_a_killed_conversion_is_redone_and_its_leftover_goes_away(machine):
    folder = write_folder(machine / "own", svhn.TRAIN, svhn.TEST)
    words = [sys.executable, "-c", KILLED, str(folder), str(machine / "cache")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    (left,) = conversions(machine)
    assert left.stat().st_size > PICTURES[svhn.TRAIN].nbytes
    np.testing.assert_array_equal(load(str(folder)).train.rows, PICTURES[svhn.TRAIN])
    assert left in conversions(machine)  # it may belong to a conversion under way elsewhere
    os.utime(left, (0, 0))
    write(folder / svhn.TEST, PICTURES[svhn.TEST][:5], LABELS[svhn.TEST][:5])
    assert len(load(str(folder)).test) == 5
    assert left not in conversions(machine)


@pytest.mark.parametrize("size", [0, 5, 200, 70_000])
def test_a_conversion_that_is_not_whole_is_redone(machine, size):
    folder = write_folder(machine / "own", svhn.TRAIN)
    load(str(folder))
    (converted,) = conversions(machine)
    with converted.open("r+b") as file:
        file.truncate(size)
    np.testing.assert_array_equal(load(str(folder), test=0).train.rows, PICTURES[svhn.TRAIN])
    np.save(converted, PICTURES[svhn.TRAIN][:7])  # whole, but of other files
    np.testing.assert_array_equal(load(str(folder), test=0).train.rows, PICTURES[svhn.TRAIN])


def test_a_full_disk(machine):
    folder = write_folder(machine / "own", svhn.TRAIN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(InputError, match=r"svhn-arrays/.*\.npy: found that it cannot be written .*0\.0 GB free"):
            load(str(folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert conversions(machine) == []


@pytest.mark.parametrize("make", [lambda cache: cache.write_text("a file"), lambda cache: cache.mkdir(mode=0o500)])
def test_a_cache_that_cannot_be_written(machine, make):
    make(machine / "cache")
    if (machine / "cache").is_dir() and os.access(machine / "cache", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(InputError, match=r"found that it cannot be written .*expected a writable folder"):
        load(str(write_folder(machine / "own", svhn.TRAIN)))


def test_conversion_and_training_keep_the_pictures_out_of_memory(machine):
    count = 30_000
    images = np.broadcast_to(
        np.arange(count, dtype=np.uint32).astype(np.uint8)[:, None, None, None], (count, 32, 32, 3)
    )
    folder = write(machine / "own" / svhn.TRAIN, images, np.arange(count) % 10, compress=False).parent
    tracemalloc.start()
    try:
        data = load(str(folder), test=1000, validation=1000)
        rows = torch.from_numpy(data.train.rows)  # warns of a map that is read-only
        batch = rows.index_select(0, torch.tensor([27_999, 3, 256, 511]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * images.nbytes  # 92 MB
    assert batch.flatten(1).unique(dim=1).tolist() == [[27_999 % 256], [3], [0], [255]]
    np.testing.assert_array_equal(data.train.rows[:, 31, 31, 2], images[:28_000, 31, 31, 2])


def test_standardizing_goes_block_by_block_and_leaves_constant_columns(machine, monkeypatch):
    monkeypatch.setattr("aae.scaling.map.BLOCK", 7 * 3072)
    images = PICTURES[svhn.TRAIN].copy()
    images[:, 0, 0, 0], images[:, 31, 31, 2] = 9, 0
    data = load(str(write(machine / "own" / svhn.TRAIN, images, LABELS[svhn.TRAIN]).parent), test=0)
    recipe = read_recipe("table2-mnist-100", ["model.output=linear", "data.scaling=standardize"])
    scaling = with_scaling(recipe, data.train.rows)[1]
    flat = images.reshape(25, -1).astype(np.float64)
    np.testing.assert_allclose(scaling.offset, flat.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(1 / scaling.factor[1:-1], flat.std(0)[1:-1], rtol=1e-5)
    scaled = scaling(torch.from_numpy(data.train.rows))
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_array_equal(scaled[:, [0, -1]], 0)


def test_missing_files(machine):
    with pytest.raises(InputError, match=rf"could not download {svhn.ADDRESS}extra_32x32\.mat .*folder 'svhn' inside"):
        load("svhn-extra")
    with pytest.raises(
        InputError, match=r"svhn: found it neither in AAE_DATA nor in .* downloads are off; expected extra_32x32"
    ):
        load("svhn", download=False)
    for action in (load, fetch):
        with pytest.raises(
            InputError,
            match=r"svhn-10k: .*cannot be downloaded; expected train_32x32\.mat and test_32x32\.mat in a folder",
        ):
            action("svhn-10k")
    write_folder(machine / "data" / "svhn", svhn.TRAIN, svhn.TEST)
    places = {entry.name: entry.path for entry in names() if entry.name.startswith("svhn")}
    own = machine / "data" / "svhn"
    assert places == {"svhn": None, "svhn-extra": None, "svhn-train": own, "svhn-10k": None}


def test_downloads_are_verified_and_not_repeated(machine, official, monkeypatch):
    fetched = []

    def copy(progressbar):
        def download(url, file, pooch):
            fetched.append(url)
            Path(file).write_bytes((official / url.rpartition("/")[2]).read_bytes())

        return download

    monkeypatch.setattr(pooch, "HTTPDownloader", copy)
    monkeypatch.delenv("AAE_DATA")
    assert fetch("svhn-train") == fetch("svhn") == machine / "cache" / "svhn"
    assert fetched == [svhn.ADDRESS + file for file in (svhn.TRAIN, svhn.TEST, svhn.EXTRA)]
    assert len(load("svhn").train) == 65
    (machine / "cache" / "svhn" / svhn.EXTRA).unlink()
    monkeypatch.setitem(svhn.SUMS, svhn.EXTRA, "0" * 32)
    with pytest.raises(InputError, match="MD5 hash of downloaded file"):
        fetch("svhn")
    assert not (machine / "cache" / "svhn" / svhn.EXTRA).exists()


X, Y = np.moveaxis(PICTURES[svhn.TRAIN], 0, 3), np.arange(1, 26)[:, None] % 10 + 1
BAD = {
    "no X": ({"y": Y}, r"found the variables y; expected X, y"),
    "no y": ({"X": X, "z": Y}, r"found the variables X, z; expected X, y"),
    "images first": (
        {"X": PICTURES[svhn.TRAIN], "y": Y},
        r"X: found shape \(25, 32, 32, 3\) and type uint8, expected \(32",
    ),
    "no images": ({"X": X[..., :0], "y": Y[:0]}, r"X: found shape \(32, 32, 3, 0\)"),
    "grayscale": ({"X": X[:, :, 0], "y": Y}, r"X: found shape \(32, 32, 25\)"),
    "type of X": ({"X": X / 255, "y": Y}, r"type double, expected \(32, 32, 3, n\) and uint8"),
    "fewer labels": ({"X": X, "y": Y[:24]}, r"y: found shape \(24, 1\), expected \(25, 1\)"),
    "label 0": ({"X": X, "y": Y % 10}, r"y, row 8 \(counted from 0\): found 0, expected one of 1, 2, .*10"),
    "label 11": ({"X": X, "y": Y + 1}, r"y, row 8 \(counted from 0\): found 11"),
    "half label": ({"X": X, "y": Y + 0.5}, r"y, row 0 .*found 2\.5"),
    "text": ({"X": X, "y": ["a"] * 25}, r"y: found"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_clear_line(machine, case):
    content, message = BAD[case]
    (machine / "own").mkdir()
    scipy.io.savemat(machine / "own" / svhn.TRAIN, content)
    with pytest.raises(InputError, match=rf"{svhn.TRAIN}: .*{message}") as caught:
        load(str(machine / "own"))
    assert "\n" not in str(caught.value)
    assert not (machine / "cache").exists()


def test_damaged_files_leave_no_conversion(machine):
    folder = write_folder(machine / "own", svhn.TRAIN)
    content = bytearray((folder / svhn.TRAIN).read_bytes())
    for damaged in (content[:40_000], content[:40_000] + b"\0" + content[40_001:], b"hello"):
        (folder / svhn.TRAIN).write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{svhn.TRAIN}: found .*expected"):
            load(str(folder))
    assert conversions(machine) == []
    with pytest.raises(InputError, match=r"fold: found this option for .*expected it only for tfd and faces"):
        load(str(folder), fold=0)


@needs_svhn
def test_svhn_10k(monkeypatch):
    monkeypatch.setenv("AAE_DATA", str(REAL))
    data = load("svhn-10k", validation=1000)
    assert (data.name, len(data.train), len(data.validation), len(data.test)) == ("SVHN-10k", 7001, 1000, 1999)
    np.testing.assert_array_equal(data.train.labels[:8], [5, 2, 1, 0, 6, 1, 9, 1])  # as seen in the images
    by_path = load(str(REAL / "svhn-10k"), validation=1000)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(by_path, name).rows, getattr(data, name).rows)
        np.testing.assert_array_equal(getattr(by_path, name).labels, getattr(data, name).labels)
    assert by_path.class_names == data.class_names
    X = scipy.io.loadmat(REAL / "svhn-10k" / svhn.TEST)["X"]
    np.testing.assert_array_equal(data.test.rows, X.transpose(3, 0, 1, 2))
