"""Tables made from result files."""

from pathlib import Path

import pytest

from aae import recipes
from aae.errors import InputError
from aae.reproduction import reproduce, results, tables
from aae.reproduction.results import over_seeds, with_std

ROOT = Path(__file__).parents[2]


def result(recipe, epochs, error, *, data="mnist", seeds=1, seconds=60.0):
    values = [error] * seeds
    return {
        "recipe": recipe,
        "title": recipe,
        "epochs": epochs,
        "seeds": list(range(seeds)),
        "data": data,
        "device": "AMD EPYC, 1 threads",
        "paper": {"test_error_percent": 1.9},
        "metrics": results.summarize([{"test_error_percent": value} for value in values]),
        "wall_seconds": [seconds] * seeds,
    }


@pytest.mark.parametrize("name", ["README.md", "REPRODUCTION.md"])
def test_the_tables_in_a_document_are_those_of_the_results(name):
    document = (ROOT / name).read_text()
    assert tables.renew(document, ROOT / "results") == document


def test_no_results_are_no_reason_to_empty_a_document(tmp_path):
    with pytest.raises(InputError, match="results: no such folder"):
        tables.renew("<!-- errors:begin -->\nsomething\n<!-- errors:end -->", tmp_path / "results")


def test_of_runs_that_differ_in_length_the_longest_is_shown_for_each_data_set():
    found = [result("table2-mnist-100", epochs, error) for epochs, error in ((50, 3.0), (9, 8.0))]
    shown = tables.TABLES["errors"].markdown([*found, result("table2-mnist-100", 7, 5.0, data="digits")])
    rows = [line.split(" | ") for line in shown.splitlines()[2:]]
    assert [(row[2], row[5]) for row in rows] == [("5.00", "7"), ("3.00", "50")]


def test_the_summary_has_the_paper_its_model_and_ours_in_a_line():
    theirs = result("table2-mnist-100", 50, 3.2)
    ours = result("table2-mnist-100-consistent", 40, 1.3, seeds=2) | {"cpu_seconds": [300.0, 420.0], "paper": {}}
    (row,) = tables.summary([theirs, result("table2-mnist-100", 9, 8.0), ours, ours | {"data": "digits"}]).splitlines()[
        2:
    ]
    cells = ["MNIST, 100 labels: test error, %", "1.90", "3.20", "50", "1.30 ± 0.00", "40", "6.0"]
    assert row == f"| {' | '.join(cells)} | `table2-mnist-100-consistent` |"
    assert tables.summary([theirs]) == "Not measured yet."


def test_minutes_of_processors_are_shown_where_they_were_measured():
    timed = result("table2-mnist-100", 40, 1.4) | {"cpu_seconds": [300.0, None, 420.0]}
    shown = tables.TABLES["errors"].markdown([timed, result("table2-mnist-1000", 40, 1.2)]).splitlines()
    column = shown[0].split(" | ").index("core-minutes a seed")
    assert [line.split(" | ")[column] for line in shown[2:]] == ["6.0", ""]
    gpu = timed | {"device": "NVIDIA H200", "wall_seconds": [24.0, 36.0, 30.0], "seeds": [0, 1, 2]}
    (row,) = tables.TABLES["errors"].markdown([gpu, timed]).splitlines()[2:]
    assert row.split(" | ")[column] == "0.5 (H200)"


def test_the_short_profile_lists_what_has_its_length_seeds_and_data():
    name = "table2-mnist-100"
    recipe, seeds = reproduce.plan(name, "short")
    epochs = recipe.training.epochs
    other = "table2-nn-100"
    assert reproduce.plan(other, "short")[1] == 3
    shown = tables.short_profile(
        [
            result(name, epochs, 4.0, seconds=120.0),
            result(name, epochs + 1, 5.0),
            result(name, epochs, 6.0, seeds=seeds + 1),
            result(name, epochs, 7.0, data="digits"),
            result(other, recipes.read(other).training.epochs, 20.0, seeds=3, seconds=180.0),
        ]
    )
    assert shown.splitlines()[2:] == [
        f"| `{name}` | test error, % | 1.90 | 4.00 | {epochs} | 1 | 2 |",
        f"| `{other}` | test error, % | 25.80 | 20.00 ± 0.00 | 1000 | 3 | 9 |",
        "| total |  |  |  |  |  | 11 |",
    ]


def test_folds_stand_beside_each_other():
    folds = [{"log_likelihood_nats": 100.0 + k} for k in range(5)]
    found = {"recipe": "table1-tfd", "samples": 10_000, "log_likelihood_nats": 102.0, "standard_error_nats": 0.71}
    found |= {"epochs": 30, "data": "faces", "folds": folds}
    assert tables.of_folds([found]).splitlines()[2] == (
        "| `table1-tfd` | 10,000 | 100.0 | 101.0 | 102.0 | 103.0 | 104.0 | 102.0 | 0.7 | 30 | faces |"
    )
    assert tables.many_samples([found]) == tables.of_folds([]) == "Not measured yet."


def test_rows_to_be_compared_are_no_longer_than_asked():
    found = [result("table2-mnist-100", epochs, error) for epochs, error in ((50, 3.0), (9, 8.0))]
    shown = tables.ResultTable("table2-.*", ("test_error_percent",), epochs=20).markdown(found)
    assert [line.split(" | ")[2] for line in shown.splitlines()[2:]] == ["8.00"]


@pytest.mark.parametrize(
    ("values", "digits", "written"),
    [
        ([6.1, 6.182], None, "6.141 ± 0.058"),
        ([5000.4, 5003.1], None, "5002 ± 2"),
        ([0.5], None, "0.5000"),
        ([97.1, 97.3], 1, "97.2 ± 0.1"),
    ],
)
def test_a_deviation_has_as_many_places_as_its_mean(values, digits, written):
    assert with_std(over_seeds(values), digits) == written


def test_what_is_written_into_a_table_stays_in_its_column():
    assert tables.markdown(["data"], [["a|b.csv"]]).splitlines()[-1] == r"| a\|b.csv |"
