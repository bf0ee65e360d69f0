"""`aae explore`: pages of runs, and what it says where there is nothing to explore."""

import numpy as np
import pytest
from helpers import small_networks

from aae.cli import run as command
from aae.runs.recipe import read_recipe
from aae.runs.run import Run
from aae.runs.train import train
from aae.runs.view import title, view


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    quick = [*small_networks(), "training.epochs=1"]
    train(read_recipe("figure2a-digits", quick, None), run=folder / "codes")
    train(
        read_recipe("demo-supervised", ["model.encoder.hidden=[8]", "training.epochs=1"], None), run=folder / "network"
    )
    rows = np.random.default_rng(0).normal(size=(40, 3))
    np.savetxt(folder / "table.csv", rows, delimiter=",", header="a,b,c", comments="")
    overrides = [*quick, "data.test=0.0", "data.validation=0", "model.style.dim=1", "model.output=linear"]
    train(read_recipe("figure2a-digits", overrides, str(folder / "table.csv")), run=folder / "table")
    return folder


def test_a_page_is_written_into_the_run_or_where_one_says(runs, tmp_path, capsys):
    assert command(["explore", str(runs / "codes"), "--rows", "50"]) == 0
    assert capsys.readouterr().out == f"{runs / 'codes' / 'explorer.html'}\n"
    page = (runs / "codes" / "explorer.html").read_text("utf-8")
    assert "50 of 359 rows" in page
    assert command(["explore", str(runs / "table"), "--split", "train", "-o", str(tmp_path / "new" / "page.html")]) == 0
    assert '"columns":["a","b","c"]' in (tmp_path / "new" / "page.html").read_text("utf-8")


def test_titles_say_what_was_trained_on_what(runs):
    small = "with 3 other settings of the model"
    assert (
        title(Run.load(runs / "codes"))
        == f"2-D Gaussian prior, 8x8 digits, {small}: trained on digits, 1,238 rows, 1 epoch"
    )
    named = "figure2a-digits, adversarial autoencoder, with 5 other settings of the model"
    assert title(Run.load(runs / "table")) == f"{named}: trained on table.csv, 40 rows, 1 epoch"


def test_all_rows_can_be_looked_at(runs):
    run = Run.load(runs / "codes")
    assert len(view(run, "all").points) == 1797
    assert run.explore(rows=10).rows == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("network", "network: a supervised network has no codes; expected an autoencoder run"),
        ("table", "table.csv: has no held-out rows; expected some, or split 'train'"),
        ("codes --label 3", "label: found one; what the decoder sees is no label, expected none"),
        ("codes --label eleven", "label is 'eleven'; expected one of: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("codes -o table.csv/x.html", "table.csv/x.html: cannot be written (File exists)"),
        ("codes -o page.png", "page.png: found the ending '.png', expected '.html'"),
    ],
)
def test_what_cannot_be_explored_is_said_in_one_line(runs, words, message, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert command(["explore", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
