"""MATLAB files: the same values as SciPy writes, and one clear line for whatever is damaged."""

from contextlib import suppress

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from aae.data import matlab
from aae.errors import InputError

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (4, 5, 3, 6), dtype=np.uint8)


def write(path, compress=True, **variables):
    scipy.io.savemat(path, variables, do_compression=compress)
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 3), (4, 3, 2), (1, 0)])
def test_values_are_those_that_scipy_writes(tmp_path, dtype, shape, compress):
    array = RNG.integers(0, 100, shape).astype(dtype)
    path = write(tmp_path / "a.mat", compress, before=np.ones((5, 2)), values=array, a_rather_long_name=IMAGES)
    found = matlab.read_variables(path, "values", "a_rather_long_name")
    assert list(found) == ["before", "values", "a_rather_long_name"]
    assert found["values"].shape == shape
    assert found["values"].kind == {"f4": "single", "f8": "double"}.get(dtype, str(np.dtype(dtype)))
    values = found["values"].read()
    np.testing.assert_array_equal(values, array)
    assert values.dtype == array.dtype or not values.size
    np.testing.assert_array_equal(found["a_rather_long_name"].read(), IMAGES)


@pytest.mark.parametrize("compress", [False, True])
def test_blocks_follow_the_order_of_the_file(tmp_path, compress):
    variable = matlab.read_variables(write(tmp_path / "a.mat", compress, X=IMAGES))["X"]
    blocks = list(variable.blocks(2 * 60))
    assert [len(block) for block in blocks] == [120, 120, 120]
    np.testing.assert_array_equal(np.concatenate(blocks), IMAGES.reshape(-1, order="F"))
    assert [len(block) for block in variable.blocks(250)] == [250, 110]


def test_other_kinds_are_listed_and_refused(tmp_path):
    cell = np.empty((1, 2), dtype=object)
    cell[:] = "a"
    others = {
        "cell": cell,
        "text": "abc",
        "struct": {"a": 1},
        "z": np.ones((2, 2)) * 1j,
        "few": scipy.sparse.eye_array(3),
    }
    found = matlab.read_variables(write(tmp_path / "a.mat", **others, X=IMAGES), "X")
    assert {name: v.kind for name, v in found.items()} == {**dict.fromkeys(others, "other"), "X": "uint8"}
    for name in others:
        with pytest.raises(InputError, match=f"{name}: found no array of real numbers"):
            found[name].read()


def read_all(path):
    found = matlab.read_variables(path, "X", "y")
    assert np.array_equal(found["X"].read(), IMAGES)
    assert np.array_equal(matlab.read_integers(found["y"], (6, 1), range(7))[:, 0], np.arange(6))


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_cut_short_anywhere(tmp_path, compress):
    path = write(tmp_path / "a.mat", compress, X=IMAGES, y=np.arange(6, dtype=np.uint8)[:, None])
    read_all(path)
    content = path.read_bytes()
    for size in range(0, len(content), 3):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=rf"{path}: found .*expected") as caught:
            read_all(path)
        assert "\n" not in str(caught.value)


def test_a_damaged_bit_is_found_by_the_checksum_of_packed_data(tmp_path):
    path = write(tmp_path / "a.mat", X=IMAGES, y=np.arange(6, dtype=np.uint8)[:, None])
    content = path.read_bytes()
    for place in range(136, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << RNG.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{path}: "):
            read_all(path)


def test_damage_in_plain_data_is_an_error_or_another_value(tmp_path):
    path = write(tmp_path / "a.mat", compress=False, X=IMAGES, y=np.arange(6, dtype=np.uint8)[:, None])
    content = path.read_bytes()
    for place in [*range(124, 200), *range(len(content) - 64, len(content))]:
        for bit in RNG.choice(8, 2, replace=False):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with suppress(InputError):  # and nothing else
                found = matlab.read_variables(path, "X", "y")
                assert found["X"].read().shape == found["X"].shape
                matlab.read_integers(found["y"], (6, 1), range(7))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no file of MATLAB 5 to 7"),
        (b"hello" * 100, "found no file of MATLAB 5 to 7"),
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF",
            "MATLAB 7.3, which is HDF5; expected version 5 to 7",
        ),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM", "found the variables nothing; expected X, y"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI", "found no file of MATLAB 5 to 7"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + bytes(8), "an element of type 0"),
    ],
)
def test_other_files(tmp_path, content, message):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=message):
        matlab.read_variables(tmp_path / "a.mat", "X", "y")
    (tmp_path / "a.mat").unlink()
    with pytest.raises(InputError, match=r"a\.mat: found a file that cannot be read"):
        matlab.read_variables(tmp_path / "a.mat")


def test_integers(tmp_path):
    labels = np.array([[1.0, 2], [3, 10]])
    path = write(
        tmp_path / "a.mat", good=labels, half=labels + np.array([[0, 0], [0.5, 0]]), nan=labels * [[np.nan], [1]]
    )
    found = matlab.read_variables(path)
    values = matlab.read_integers(found["good"], (2, 2), range(1, 11))
    assert values.dtype == np.int64
    np.testing.assert_array_equal(values, labels)
    for name, shape, message in [
        ("good", (4, 1), r"good: found shape \(2, 2\), expected \(4, 1\)"),
        ("half", (2, 2), r"half, row 1 \(counted from 0\): found 3\.5, expected one of 1, 2, 3"),
        ("nan", (2, 2), r"nan, row 0 .*found nan"),
    ]:
        with pytest.raises(InputError, match=message):
            matlab.read_integers(found[name], shape, range(1, 11))
    with pytest.raises(InputError, match=r"good, row 1 .*found 10\.0, expected one of 1, 2, 3$"):
        matlab.read_integers(found["good"], (2, 2), (1, 2, 3))
