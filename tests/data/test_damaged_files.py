"""Damaged files of every kind are read or refused with one line: no traceback, no hang, no memory that they do not hold."""

import resource

import pytest
from damage import WRITERS, campaign, read, write_all

from aae.data.reading import free_memory

FILES = 1600


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.filterwarnings("ignore::aae.errors.InputWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_whole_files_are_read(tmp_path, name):
    WRITERS[name](tmp_path / name)
    read(tmp_path / name)


def test_damaged_files_are_read_or_refused(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = campaign(tmp_path, FILES, seed=1)
    assert [line for outcome in outcomes.values() for line in outcome.wrong] == []
    assert sum(outcome.files for outcome in outcomes.values()) == FILES
    for name, outcome in outcomes.items():
        assert outcome.refused > 0, name
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 700, f"{grown:.0f} MB"
    assert free_memory() > 0


def test_seeds_decide_the_damage(tmp_path):
    assert write_all(tmp_path).keys() == WRITERS.keys()
