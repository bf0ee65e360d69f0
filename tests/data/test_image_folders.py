"""Folders of images: every file is read or named, in the order of the sorted names, and nothing takes memory unasked."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from aae.data import load, read_rows
from aae.errors import InputError, InputWarning


def write(path, value=7, size=(5, 4), mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **options)
    return path


KINDS = ["png", "jpg", "jpeg", "jfif", "gif", "bmp", "tif", "tiff", "webp", "avif", "ppm", "pgm", "PNG", "JPG"]


@pytest.mark.parametrize("suffix", KINDS)
def test_every_usual_kind_of_image_is_read(tmp_path, suffix):
    write(tmp_path / "cat" / f"0.{suffix}", format={"jfif": "JPEG", "pgm": "PPM"}.get(suffix))
    write(tmp_path / "dog" / f"1.{suffix}", format={"jfif": "JPEG", "pgm": "PPM"}.get(suffix))
    assert load(str(tmp_path), test=0).train.ids.tolist() == [f"cat/0.{suffix}", f"dog/1.{suffix}"]


def test_the_order_is_that_of_sorted_names_and_rows_are_called_by_their_files(tmp_path):
    for value, name in enumerate(["10.png", "2.png", "B.png", "a.png", "ä.png"]):
        write(tmp_path / name, value)
    split = read_rows(tmp_path)
    assert split.ids.tolist() == ["10.png", "2.png", "B.png", "a.png", "ä.png"]
    assert split.rows[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert split.id_column == "file"
    assert read_rows(tmp_path / "2.png").ids.tolist() == ["2.png"]


def test_splits_keep_the_names_of_their_rows(tmp_path):
    for value in range(20):
        write(tmp_path / f"{value:02d}.png", value)
    data = load(str(tmp_path), test=5, validation=5)
    for split in (data.train, data.validation, data.test):
        assert [f"{value:02d}.png" for value in split.rows[:, 0, 0]] == split.ids.tolist()


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("train", "valid", None),
        ("train", None, "TEST"),
    ],
)
def test_folders_of_splits_as_people_call_them(tmp_path, train, val, test):
    for value, split in enumerate((train, val, test)):
        for name in ("cat", "dog") if split is not None else ():
            write(tmp_path / split / name / "0.png", value)
    data = load(str(tmp_path), test=0)
    assert data.class_names == ("cat", "dog")
    assert data.train.rows[:, 0, 0].tolist() == [0, 0]
    assert val is None or data.validation.rows[:, 0, 0].tolist() == [1, 1]
    assert test is None or data.test.rows[:, 0, 0].tolist() == [2, 2]


def test_two_folders_of_one_split_are_refused(tmp_path):
    for name in ("train", "val", "valid"):
        write(tmp_path / name / "0.png")
    with pytest.raises(InputError, match="found a folder 'valid' beside those of splits"):
        load(str(tmp_path))


def test_colours_that_are_not_read_are_told(tmp_path):
    write(tmp_path / "gray.png", (9, 9, 9), mode="RGB")
    assert load(str(tmp_path), test=0).train.rows.shape == (1, 4, 5)  # in silence
    write(tmp_path / "red.png", (200, 9, 9), mode="RGB")
    with pytest.warns(
        InputWarning, match=r"with colours are read as grayscale: 1, such as red\.png; data\.colour=true"
    ):
        load(str(tmp_path), test=0)
    with pytest.warns(InputWarning, match=r"with colours are read as grayscale: 1, such as red\.png$"):
        assert len(read_rows(tmp_path)) == 2  # as those that a model was trained on; there is nothing to set
    assert load(str(tmp_path), test=0, colour=True).train.rows.shape == (2, 4, 5, 3)


def test_what_is_not_read_is_named(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    for name in ("b.heic", "notes.txt", "labels.csv", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_text("x")
    (tmp_path / "c.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "d.png")
    with pytest.warns(InputWarning) as caught:
        assert len(load(str(tmp_path), test=0).train) == 2
    (said,) = [str(one.message) for one in caught]
    assert (
        "not read, being no files of images: 5 (.csv, .heic, .png, .txt), such as b.heic, c.png, d.png and 2 more"
        in said
    )


def test_hidden_files_and_links(tmp_path):
    write(tmp_path / "cat" / "a.png")
    write(tmp_path / "cat" / ".ipynb_checkpoints" / "a.png")
    write(tmp_path / "__MACOSX" / "a.png")
    (tmp_path / "cat" / "up").symlink_to("..")
    (tmp_path / "dog").symlink_to("cat")
    data = load(str(tmp_path), test=0)
    assert (data.class_names, data.train.ids.tolist()) == (("cat", "dog"), ["cat/a.png", "dog/a.png"])


def test_tables_with_a_plot_among_them_are_no_images(tmp_path):
    write(tmp_path / "plot.png")
    for part in "12":
        (tmp_path / f"{part}.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"found 2 files of other formats \(1.csv, 2.csv\) beside 1 images"):
        load(str(tmp_path))


def test_folders_for_no_label(tmp_path):
    for folder in ("cat", "unlabeled", "NA", "later"):
        write(tmp_path / folder / "a.png")
    with pytest.warns(InputWarning, match="the images of the folder 'NA' are read as images without a label"):
        data = load(str(tmp_path), test=0, unlabelled="later")
    assert (data.class_names, sorted(data.train.labels.tolist())) == (("cat",), [-1, -1, -1, 0])


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_several_images_in_a_file(tmp_path, suffix):
    more = [Image.new("RGB", (4, 4), "white")]
    Image.new("RGB", (4, 4), "black").save(tmp_path / f"a.{suffix}", save_all=True, append_images=more)
    with pytest.warns(InputWarning, match=rf"several images, of which the first is read: 1, such as a\.{suffix}"):
        assert read_rows(tmp_path).rows.max() < 20


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_modes(tmp_path, mode):
    suffix = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    Image.new("L", (4, 4), 255).convert(mode if mode != "CMYK" else "CMYK").save(tmp_path / f"a.{suffix}")
    assert read_rows(tmp_path / f"a.{suffix}").rows.min() > 250
    assert read_rows(tmp_path / f"a.{suffix}", colour=True).rows.shape == (1, 4, 4, 3)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_deep_images_are_refused(tmp_path, kind):
    Image.fromarray(np.ones((4, 4), kind)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: found an image of more than 8 bits per value"):
        read_rows(tmp_path)


def png(values, kind):
    """Encode values (height, width, channels) of 16 bits, which Pillow reads but does not write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_deep_colours_are_refused_too(tmp_path):
    colours = np.full((4, 4, 3), 999)
    for name, content in (
        ("rgb.png", png(colours, 2)),
        ("gray-alpha.png", png(colours[..., :2], 4)),
        ("rgb.ppm", b"P6 4 4 65535\n" + colours.astype(">u2").tobytes()),
    ):
        (tmp_path / name).write_bytes(content)
        for colour in (False, True):
            with pytest.raises(InputError, match="found an image of more than 8 bits per value, expected 8 bits"):
                read_rows(tmp_path / name, colour=colour)


def test_photographs_need_a_size(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.jpg", size=(4000, 3000), mode="RGB", value="red")
    with pytest.raises(
        InputError, match=r"4000x3000 pixels, 36000000 values .* expected at most 1000000; .*image_size"
    ):
        load(str(tmp_path), colour=True)
    assert load(str(tmp_path), colour=True, image_size=8, test=0).shape == (8, 8, 3)


def test_more_images_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("aae.data.reading.free_memory", lambda: 30.0)
    for name in "ab":
        write(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=r"2 images of 5x4 pixels: found data of .* GB, expected at most"):
        load(str(tmp_path))


def test_images_that_announce_too_much(tmp_path):
    write(tmp_path / "a.png", size=(1, 1))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = b"\0\0\xff\xff" * 2
    (tmp_path / "a.png").write_bytes(content)
    for options in ({}, {"image_size": 8}):
        with pytest.raises(InputError, match=r"a\.png: found"):
            load(str(tmp_path), **options)


def test_names_that_are_no_text(tmp_path):
    write(tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xe4.png"))
    assert read_rows(tmp_path).ids.tolist() == ["\\xe4.png"]
