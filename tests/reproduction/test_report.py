"""`aae report`: one page, and tables, about a run or its seeds."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import small_networks

from aae.cli import run as command
from aae.errors import InputError
from aae.reproduction.report import RunReport, report
from aae.runs.recipe import read_recipe
from aae.runs.seeds import load_runs, train_seeds


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    recipe = read_recipe("demo", [*small_networks(), "training.epochs=1"], None)
    train_seeds(recipe, 2, run=folder / "seeds")
    rows = np.random.default_rng(0).normal(size=(30, 2))
    np.savetxt(folder / "table.csv", rows, delimiter=",", header="a,b", comments="")
    alone = ["data.test=0.0", "data.validation=0", "training.epochs=1", "model.output=linear"]
    train_seeds(
        read_recipe("figure2a-digits", [*small_networks(), *alone], str(folder / "table.csv")), 1, run=folder / "table"
    )
    return folder


def test_a_report_is_one_page_and_tables(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert command(["report", "seeds", "--latex", "out/demo.tex", "--csv", "demo.csv"]) == 0
    assert capsys.readouterr().out == "seeds/report.html\nout/demo.tex\ndemo.csv\n"
    page = Path("seeds/report.html").read_text("utf-8")
    for text in (
        "<title>Handwritten digits, five labels per class, with 3 other settings of the model: trained on digits, 1,238 rows",
        "<td>training.epochs</td><td>1</td><td>100</td>",
        "<dt>classes</dt><dd>10: 0, 1, 2",
        "Measured on 359 test rows",
        "<td>test error, %</td>",
        '<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,',
        '<img alt="curves" src="data:image/png;base64,',
        '<img alt="confusion"',
        "Map (of seed 0)",
        "complete settings",
    ):
        assert text in page
    assert "http" not in re.sub('base64,[^"]*', "", page)
    assert r"\mathbf" not in page
    written = list(csv.DictReader(Path("demo.csv").read_text().splitlines()))
    values = [json.loads(Path(f"seeds/seed-{k}/evaluation.json").read_text())["metrics"] for k in (0, 1)]
    assert {row["metric"] for row in written} == values[0].keys()
    first = written[0]
    assert float(first["seed 1"]) == values[1][first["metric"]]
    assert float(first["mean"]) == pytest.approx((values[0][first["metric"]] + values[1][first["metric"]]) / 2)
    table = Path("out/demo.tex").read_text()
    assert r"test error, \% & " in table
    assert r"$\pm$" in table


def test_classes_that_are_never_predicted_or_mostly_mistaken_are_said(runs):
    shutil.copytree(runs / "seeds" / "seed-0", runs / "bad")
    path = runs / "bad" / "evaluation.json"
    found = (
        json.loads(path.read_text()) if path.exists() else {"split": "test", "rows": 359, "epochs": 1, "metrics": {}}
    )
    confusion = np.diag(np.full(10, 30))
    confusion[4, 4], confusion[4, 9] = 0, 30
    confusion[7, 7], confusion[7, 1] = 10, 20
    path.write_text(
        json.dumps({**found, "paper": {}, "metrics": {"test_error_percent": 17.0}, "confusion": confusion.tolist()})
    )
    concerns = report(load_runs(runs / "bad")).concerns()
    assert "class 4 is never predicted; it is 30 of the held-out rows" in concerns
    assert "class 4 is taken for another in 100% of its rows, mostly for 9" in concerns
    assert "class 7 is taken for another in 67% of its rows, mostly for 1" in concerns


def measured(folder, split="test", rows=60, confusion=((30, 0), (0, 30))):
    found = {"split": split, "rows": rows, "epochs": 1, "metrics": {"test_error_percent": 1.0}, "paper": {}}
    (folder / "evaluation.json").write_text(json.dumps({**found, "confusion": confusion}))


def test_a_class_that_one_seed_never_predicts_is_said_of_that_seed(runs):
    shutil.copytree(runs / "seeds", runs / "uneven")
    measured(runs / "uneven/seed-0")
    measured(runs / "uneven/seed-1", confusion=((30, 0), (30, 0)))
    concerns = report(load_runs(runs / "uneven")).concerns()
    assert "seed 1: class 1 is never predicted; it is 30 of the held-out rows" in concerns
    assert not any(text.startswith("seed 0: class") for text in concerns)


def test_seeds_that_were_measured_on_different_rows_are_refused(runs):
    shutil.copytree(runs / "seeds", runs / "mixed")
    measured(runs / "mixed/seed-0", "validation", 36)
    measured(runs / "mixed/seed-1")
    with pytest.raises(InputError, match="mixed/seed-0 was measured on 36 validation rows and "):
        report(load_runs(runs / "mixed"))


def test_settings_are_written_as_they_are(runs, monkeypatch):
    changed = ["data.label_column=$a_b$", "data.columns.count='numerical'", "training.epochs=1"]
    (run,) = load_runs(runs / "seeds" / "seed-0")
    monkeypatch.setattr(run, "recipe", read_recipe("demo", changed))
    settings = report([run]).settings()
    assert {setting[:2] for setting in settings} == {
        ("data.label_column", "$a_b$"),
        ("training.epochs", "1"),
        ("data.columns.count", "numerical"),
    }
    monkeypatch.undo()
    monkeypatch.setattr(RunReport, "settings", lambda _: settings)
    assert "<td>$a_b$</td>" in report([run]).page()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table", "table.csv: has no held-out rows to report on; expected data.test larger than 0"),
        ("seeds --csv demo.txt", "demo.txt: found the ending '.txt', expected '.csv'"),
        ("nothing", "nothing: no such run folder"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line(runs, words, message, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert command(["report", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_evaluate_prints_the_confusion_of_a_classifier(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert command(["evaluate", "seeds"]) == 0
    out = capsys.readouterr().out
    assert "predicted class, in rows of 2 seeds" in out
    lines = [line.split() for line in out.split("true class")[1].splitlines()[1:11]]
    counts = np.array([[0 if cell == "." else int(cell) for cell in line[1:]] for line in lines])
    assert counts.shape == (10, 10)
    assert counts.sum() == 2 * 359
