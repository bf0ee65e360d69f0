"""Files that are written whole or not at all, and what is left of those that were not."""

import errno
import json
import os
import platform

import pytest
import torch

from aae import files
from aae.errors import InputError


def left(folder):
    return sorted(path.name for path in folder.iterdir() if files.PART.fullmatch(path.name))


def part(path, process, host=None):
    """Make what a writer would leave that was killed."""
    name = f".{files._hash(path.name)}.{host or platform.node() or 'localhost'}.{process}.0.part"
    path.with_name(name).write_bytes(b"half")
    return name


def test_what_a_killed_writer_left_is_removed_by_the_next_writer_of_that_file(tmp_path):
    gone, other = 2**22 + 1, tmp_path / "other.json"  # no process has such a number
    part(tmp_path / "a.json", gone)
    kept = [part(tmp_path / "a.json", 1), part(tmp_path / "a.json", gone, "elsewhere"), part(other, gone)]
    files.write_json(tmp_path / "a.json", {"a": 1})
    assert left(tmp_path) == sorted(kept)
    files.remove_leftovers(tmp_path / "a.json", of_any_machine=True)
    assert left(tmp_path) == [kept[2]]
    (tmp_path / ".mine.part").write_text("a user's")
    files.remove_all_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.part", "a.json"]


def test_a_folder_appears_whole_or_not_at_all_and_a_draft_does_not_stay(tmp_path):
    def fail():
        with files.new_folder(tmp_path / "new") as draft:
            (draft / "one").write_text("1")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert list(tmp_path.iterdir()) == []
    with files.new_folder(tmp_path / "new") as draft:
        (draft / "one").write_text("1")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with (
        pytest.raises(InputError, match="already exists; expected a new or an empty folder"),
        files.new_folder(tmp_path / "new"),
    ):
        pass


def test_of_two_that_fill_a_folder_at_once_the_second_is_refused(tmp_path):
    (tmp_path / "new").mkdir()

    def second():
        with files.new_folder(tmp_path / "new") as mine:
            (mine / "two").write_text("2")
            with files.new_folder(tmp_path / "new") as other:
                (other / "one").write_text("1")

    with pytest.raises(InputError, match="already exists; expected a new or an empty folder"):
        second()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "one"]


def test_a_link_is_written_through_and_a_protected_file_stays(tmp_path, monkeypatch):
    real, link = tmp_path / "real.json", tmp_path / "below/link.json"
    real.write_text("0")
    link.parent.mkdir()
    link.symlink_to(real)
    files.write_json(link, 1)
    assert link.is_symlink()
    assert real.read_text() == "1\n"
    assert left(tmp_path) == left(link.parent) == []
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # as it is for root too
    with pytest.raises(PermissionError) as raised:
        files.write_json(link, 2)
    assert raised.value.filename == str(real)
    assert real.read_text() == "1\n"


def test_a_full_disk_is_said_of_the_file_that_was_to_be_written(tmp_path, monkeypatch):
    files.write_json(tmp_path / "a.json", 1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        files.write_json(tmp_path / "a.json", 2)
    assert raised.value.filename == str(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b"9" * 5000, "not valid JSON"),
        (b"\xff", "not text in UTF-8"),
        (b"[]", "found a list, expected a JSON object"),
        (None, "no such file"),
    ],
)
def test_json_that_is_none_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^\S*a\.json: {message}"):
        files.read_object(path)


def test_files_that_are_too_large_or_no_files_are_refused_before_they_are_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(InputError, match="found 1099511627776 bytes; expected at most 67108864"):
        files.read_json(tmp_path / "large")
    os.mkfifo(tmp_path / "pipe")  # which would be waited for
    for read in (files.read_json, files.read_tensors, files.tensor_sizes):
        with pytest.raises(InputError, match=r"^[^(]*pipe: not a plain file"):
            read(tmp_path / "pipe")


def test_numbers_that_are_not_finite_are_neither_written_nor_read(tmp_path):
    with pytest.raises(InputError, match="found a number that is not finite"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()
    with pytest.raises(InputError, match="b holds numbers that are not finite"):
        files.check_finite_tensors({"a": torch.ones(1), "b": torch.tensor([1.0, torch.inf])}, tmp_path / "x")


def test_the_home_of_nobody_is_no_place(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="~nobody-of-this-name/x: no such home directory"):
        files.expand("~nobody-of-this-name/x")
    monkeypatch.chdir(tmp_path)
    assert files.expand("x") == tmp_path / "x"
