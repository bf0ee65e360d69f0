"""Known data sets: digits, MNIST from a folder, checksums, and no network."""

import dataclasses
import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import platformdirs
import pooch
import pytest
import requests

from aae.data import catalogue, fetch, labelled_subset, load, names
from aae.errors import InputError

needs_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("AAE_DATA", "")) / "mnist").is_dir() or not os.environ.get("AAE_DATA"),
    reason="needs the environment variable AAE_DATA with a folder mnist",
)
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """Nothing on this machine, and no network."""

    def refuse(*args, **kwargs):
        raise requests.ConnectionError("no\nroute")

    monkeypatch.setenv("AAE_DATA", str(tmp_path))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    monkeypatch.setattr(requests, "get", refuse)
    return tmp_path


def test_digits():
    data = load("digits", validation=100)
    assert (len(data.train), len(data.validation), len(data.test)) == (1338, 100, 359)
    assert data.train.rows.shape == (1338, *data.shape) == (1338, 8, 8)
    assert data.train.rows.dtype == np.float32
    assert (data.train.rows.min(), data.train.rows.max()) == (0, 1)
    assert data.class_names == tuple("0123456789")
    counts = np.bincount(data.test.labels)
    assert counts.min() >= 34
    assert counts.max() <= 38
    np.testing.assert_array_equal(load("digits", validation=0.5).test.rows, data.test.rows)


def test_the_list_agrees_with_the_data():
    entries = {entry.name: entry for entry in names()}
    data = load("digits")
    assert (entries["digits"].train_size, entries["digits"].test_size) == (len(data.train), len(data.test))
    assert entries["digits"].path.is_dir()
    assert list(entries)[:3] == ["digits", "mnist", "fashion-mnist"]
    assert list(entries)[3:] == ["svhn", "svhn-extra", "svhn-train", "svhn-10k", "tfd", "faces"]
    assert [entries[name].train_size for name in ("svhn", "svhn-extra", "svhn-train")] == [604_388, 531_131, 73_257]


@needs_mnist
def test_mnist_validates_on_the_last_rows():
    whole, data = load("mnist"), load("mnist", validation=10_000)
    assert (len(data.train), len(data.validation), len(data.test)) == (50_000, 10_000, 10_000)
    assert data.shape == (28, 28)
    assert data.train.rows.dtype == np.uint8
    np.testing.assert_array_equal(data.validation.rows, whole.train.rows[-10_000:])
    np.testing.assert_array_equal(data.validation.labels, whole.train.labels[-10_000:])
    np.testing.assert_array_equal(data.train.labels[:5], [5, 0, 4, 1, 9])
    np.testing.assert_array_equal(np.bincount(data.test.labels)[:3], [980, 1135, 1032])
    chosen = labelled_subset(data.train.labels, 100, num_classes=10, seed=0)
    np.testing.assert_array_equal(np.bincount(data.train.labels[chosen]), [10] * 10)


@needs_mnist
def test_unpacked_mnist_is_memory_mapped_and_verified(tmp_path, monkeypatch):
    for file in (Path(os.environ["AAE_DATA"]) / "mnist").iterdir():
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        (tmp_path / "mnist").mkdir(exist_ok=True)
        (tmp_path / "mnist" / file.name.removesuffix(".gz")).write_bytes(content)
    monkeypatch.setenv("AAE_DATA", str(tmp_path))
    data = load("mnist", validation=10_000)
    assert isinstance(data.train.rows, np.memmap)
    assert isinstance(data.validation.rows, np.memmap)
    labels = tmp_path / "mnist" / LABELS
    content = bytearray(labels.read_bytes())
    content[100] ^= 1
    labels.write_bytes(content)
    with pytest.raises(InputError, match=rf"{LABELS}: found the SHA-256 checksum [0-9a-f]{{64}}, expected 65a50cbb"):
        load("mnist")


@pytest.mark.parametrize(
    ("suffix", "message"), [(".gz", "found the SHA-256 checksum .* expected 3aede38d"), ("", "cannot be verified")]
)
def test_fashion_mnist_has_to_be_the_official_download(no_data, suffix, message):
    (no_data / "fashion-mnist").mkdir()
    for file in catalogue.idx.FILES:
        (no_data / "fashion-mnist" / f"{file}{suffix}").write_bytes(gzip.compress(b"other"))
    assert names()[2].path == no_data / "fashion-mnist"
    with pytest.raises(InputError, match=message):
        load("fashion-mnist")


def test_no_network(no_data):
    assert names()[1].path is None
    for action in (fetch, load):
        with pytest.raises(
            InputError, match=rf"could not download https://\S+/{IMAGES}\.gz \(ConnectionError\).*AAE_DATA"
        ):
            action("mnist")
    with pytest.raises(InputError, match=r"mnist: found it neither in AAE_DATA nor in .* downloads are off"):
        load("mnist", download=False)


def test_a_download_with_a_wrong_checksum(no_data, monkeypatch):
    def to_path(progressbar):
        return lambda url, file, pooch: Path(file).write_bytes(b"x")

    monkeypatch.setattr(pooch, "HTTPDownloader", to_path)
    with pytest.raises(InputError, match="SHA256 hash of downloaded file") as caught:
        fetch("mnist")
    assert "\n" not in str(caught.value)
    assert not list((no_data / "cache" / "mnist").glob("*.gz"))


def test_what_was_fetched_is_found_in_the_cache(no_data):
    for file in catalogue.idx.FILES:
        (no_data / "cache" / "mnist").mkdir(parents=True, exist_ok=True)
        (no_data / "cache" / "mnist" / f"{file}.gz").touch()
    assert fetch("mnist") == no_data / "cache" / "mnist"
    shutil.copytree(no_data / "cache" / "mnist", no_data / "mnist")
    assert fetch("mnist") == no_data / "mnist"  # AAE_DATA comes first


def test_sets_are_found_where_torchvision_and_debian_put_them(no_data, monkeypatch, tmp_path):
    mnist, fashion = names()[1:3]
    for folder in (no_data / "MNIST" / "raw", tmp_path / "share"):
        folder.mkdir(parents=True)
        for file in catalogue.idx.FILES:
            (folder / f"{file}.gz").write_bytes(gzip.compress(b"other"))
            (folder / file).write_bytes(b"other")  # torchvision unpacks them
    assert mnist.path == no_data / "MNIST" / "raw"
    debian = dataclasses.replace(fashion, system=(str(tmp_path / "share"),))
    assert debian.path == tmp_path / "share"
    with pytest.raises(InputError, match=r"ubyte\.gz: found the SHA-256 checksum"):  # the packed one can be verified
        debian.load(debian.path, validation=0, fold=None)


def test_bad_names_and_folders(monkeypatch):
    with pytest.raises(InputError, match="unknown data set 'mnits'; did you mean 'mnist'"):
        fetch("mnits")
    monkeypatch.setenv("AAE_DATA", "nowhere")
    with pytest.raises(InputError, match="AAE_DATA: found 'nowhere', expected an existing folder"):
        load("mnist")
    assert len(load("digits").test) == 359
