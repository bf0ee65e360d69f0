"""Small files of every kind that can be read, and damage done to them; also for `benchmarks/damaged_files.py`."""

import gzip
import signal
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import scipy.sparse
from PIL import Image

from aae.data import load, read_rows
from aae.errors import InputError, InputWarning

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(12, 3))
IMAGES = RNG.integers(0, 256, (6, 8, 8), dtype=np.uint8)
SECONDS = 20  # after which a file counts as a hang
_NUMBERS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\x80\0\0\0"]
_WORDS = [
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"\t",
    b"nan",
    b"inf",
    b"1e999",
    b"-",
    b"\0",
    b"\xff",
    b"9" * 400,
    b"\xef\xbb\xbf",
]


def write_table(path: Path) -> None:
    lines = ["a,b,c,label", *(",".join([*map(str, row), "xyz"[k % 3]]) for k, row in enumerate(ROWS.tolist()))]
    text = "\n".join(lines) + "\n"
    text = text.replace(",", "\t") if ".tsv" in path.name else text
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write_parquet(path: Path) -> None:
    columns = {"a": ROWS[:, 0], "b": ROWS[:, 1].astype(np.float32), "e": ROWS.tolist(), "k": np.arange(12) % 2 == 0}
    columns["label"] = pa.array(["x", "y", None] * 4).dictionary_encode()
    index = b'{"index_columns": ["k"], "column_indexes": [], "columns": []}'
    table = pa.table(columns).replace_schema_metadata({b"pandas": index})
    pyarrow.parquet.write_table(table, path, compression="gzip" if "gzip" in path.name else "snappy", row_group_size=5)


def write_idx(path: Path, array: np.ndarray = IMAGES) -> None:
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def matlab_file(packed: bool, **arrays: np.ndarray) -> bytes:
    """Write arrays of bytes as a MATLAB file of version 5."""

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    parts = []
    for name, array in arrays.items():
        flags = element(6, struct.pack("<II", 9, 0))
        sizes = element(5, struct.pack(f"<{array.ndim}i", *array.shape))
        content = flags + sizes + element(1, name.encode()) + element(2, array.astype(np.uint8).tobytes(order="F"))
        whole = element(14, content)
        parts.append(struct.pack("<II", 15, len(pressed := zlib.compress(whole))) + pressed if packed else whole)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(parts)


def write_svhn(path: Path) -> None:
    x = RNG.integers(0, 256, (32, 32, 3, 3))
    path.write_bytes(matlab_file("packed" in path.name, X=x, y=np.array([[1], [10], [3]])))


def write_faces(path: Path) -> None:
    arrays = {"images": RNG.integers(0, 256, (4, 48, 48)), "labs_ex": np.array([[1], [2], [7], [3]])}
    path.write_bytes(matlab_file(True, **arrays, folds=np.tile([[0], [1], [2], [3]], (1, 5))))


def write_image(path: Path) -> None:
    Image.fromarray(IMAGES[0]).convert("P" if path.suffix == ".gif" else "L").save(path)


def write_sparse(path: Path) -> None:
    scipy.sparse.save_npz(
        path, scipy.sparse.random(12, 9, 0.2, "csr", random_state=0), compressed="packed" in path.name
    )


WRITERS: dict[str, Callable[[Path], object]] = {
    "x.npy": lambda path: np.save(path, ROWS),
    "bytes.npy": lambda path: np.save(path, IMAGES),
    "x.npz": lambda path: np.savez(path, X=ROWS, y=np.arange(12) % 3),
    "packed.npz": lambda path: np.savez_compressed(path, X=IMAGES, y=np.array(["a", "b"] * 3)),
    "sparse.npz": write_sparse,
    "packed-sparse.npz": write_sparse,
    "t.csv": write_table,
    "t.tsv": write_table,
    "t.csv.gz": write_table,
    "t.parquet": write_parquet,
    "gzip.parquet": write_parquet,
    "i.idx": write_idx,
    "i.idx.gz": write_idx,
    "labels.npy": lambda path: np.save(path, np.array(["a", "b", ""] * 4)),
    "labels-numbers.npy": lambda path: np.save(path, np.arange(12.0) % 3 - 1),
    "labels.csv": lambda path: path.write_text("kind\n" + "cat\n\ndog\n-1\n" * 3),
    "labels.parquet": lambda path: pyarrow.parquet.write_table(pa.table({"y": [1, None, 3] * 4}), path),
    "labels.idx": lambda path: write_idx(path, np.arange(12, dtype=np.uint8) % 3),
    "s.mat": write_svhn,
    "packed-s.mat": write_svhn,
    "f.mat": write_faces,
    **{f"p.{kind}": write_image for kind in ("png", "jpg", "gif", "tif", "bmp", "webp", "pgm", "tga", "pcx", "avif")},
}
"""How to write a small file of every kind."""


@dataclass
class Outcome:
    """What became of damaged files, by kind."""

    files: int = 0
    read: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)


def write_all(folder: Path) -> dict[str, bytes]:
    """Write a file of each kind and return what is in it."""
    found = {}
    for name, write in WRITERS.items():
        write(folder / name)
        found[name] = (folder / name).read_bytes()
        (folder / name).unlink()
    return found


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a file in one to four places: bits, numbers that could be sizes, words, pieces that are missing or twice there."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if not changed:
            break
        place, end = sorted(int(i) for i in rng.integers(0, len(changed) + 1, 2))
        near = min(int(rng.integers(0, 200)), len(changed) - 1) if rng.random() < 0.4 else min(place, len(changed) - 1)
        kind = rng.integers(0, 8)
        if kind == 0:
            changed[near] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            changed[near] = int(rng.integers(0, 256))
        elif kind == 2:
            changed[near : near + 4] = _NUMBERS[int(rng.integers(0, len(_NUMBERS)))]
        elif kind == 3:
            changed[near:near] = _WORDS[int(rng.integers(0, len(_WORDS)))]
        elif kind == 4:
            del changed[place:]
        elif kind == 5:
            del changed[place : min(end, place + 50)]
        elif kind == 6:
            changed[place:place] = changed[place:end]
        else:
            changed[place : place + 16] = rng.bytes(16)
    return bytes(changed)


def read(path: Path) -> None:
    """Read a file by all doors that take it."""
    if path.name.startswith("labels"):
        rows = path.with_name("rows.npy")
        np.save(rows, ROWS)
        load(str(rows), labels=str(path), test=0)
        return
    if path.name.startswith("f"):
        load(str(path), fold=1)
    else:
        load(str(path), test=0)
    read_rows(path, columns=("a", "b", "c") if ".csv" in path.name else ())


def _stop(*_: object) -> None:
    raise TimeoutError(f"read for {SECONDS} s")


def try_file(path: Path, outcome: Outcome) -> None:
    """Read one damaged file and note what became of it: read, refused with one line, or something that is wrong."""
    before = signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    outcome.files += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", InputWarning)
            read(path)
        outcome.read += 1
    except InputError as error:
        outcome.refused += 1
        if "\n" in str(error) or not str(error).isprintable() or "read for" in str(error) or len(str(error)) > 2000:
            outcome.wrong.append(f"{path.name}: {str(error)[:300]!r}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome.wrong.append(f"{path.name}: {type(error).__name__}: {str(error)[:300]}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def campaign(folder: Path, files: int, seed: int) -> dict[str, Outcome]:
    """Damage files of all kinds in turn and read them; those that went wrong stay in the folder."""
    rng = np.random.default_rng(seed)
    whole = write_all(folder)
    outcomes = {name: Outcome() for name in whole}
    for number in range(files):
        name = list(whole)[number % len(whole)]
        path = folder / name
        path.write_bytes(damage(whole[name], rng))
        wrong = len(outcomes[name].wrong)
        try_file(path, outcomes[name])
        if len(outcomes[name].wrong) > wrong:
            path.rename(folder / f"wrong-{number}-{name}")
    return outcomes
