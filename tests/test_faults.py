"""The permanent campaign: a sample of `benchmarks/faults.py`, which kills, crowds, starves and damages tiny runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the campaign forks")
def test_nothing_is_lost_by_kills_second_writers_full_disks_and_damaged_files(tmp_path):
    words = ["--seed", "5", "--every", "18", "--writers", "8", "--processes", "1", "--mutations", "60"]
    campaign = [
        sys.executable,
        str(ROOT / "benchmarks" / "faults.py"),
        *words,
        "--output",
        str(tmp_path / "faults.json"),
    ]
    done = subprocess.run(campaign, capture_output=True, text=True, check=False)
    report = json.loads((tmp_path / "faults.json").read_text())
    assert report["failures"] == [], done.stderr
    assert done.returncode == 0
    assert report["kills"] >= 50
    assert {"kill", "tear", "full", "two writers", "SIGKILL", "signal to the command"} < report["faults"].keys()
    assert report["faults"]["mutated files"] == 60 * len(report["kinds_of_files"]) >= 600
    assert report["peak_memory_mib"] < 4000
