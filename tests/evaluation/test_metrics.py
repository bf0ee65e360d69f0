"""The table of metrics."""

import json
from pathlib import Path

import pytest

from aae import recipes
from aae.evaluation.metrics import METRICS, describe

RESULTS = Path(__file__).parents[2] / "results"


def recorded():
    names = set()
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        names |= {*result["metrics"], *result["paper"]}
    return sorted(names)


@pytest.mark.parametrize("name", recorded())
def test_every_recorded_metric_is_described(name):
    metric = describe(name)
    assert metric.title
    assert metric.explanation
    assert metric.unit == ("%" if "percent" in name else "nats" if name.endswith(("_nats", "nll")) else "")


def test_the_numbers_of_the_paper_are_of_known_metrics():
    for recipe in recipes.names():
        for name in recipes.read(recipe).paper:
            assert describe(name).explanation, (recipe, name)


def test_a_split_and_a_suffix_show_in_the_title():
    assert describe("test_error_percent").heading == "test error, %"
    assert describe("validation_clusters_in_use").title == "validation clusters in use"
    assert describe("validation_error_percent_epoch_1").title == "validation error after epoch 1"
    assert describe("energy_distance_baseline").number(0.00123) == "0.001"


def test_any_other_name_is_its_own_title():
    metric = describe("gradient_penalty_loss")
    assert (metric.heading, metric.direction) == ("gradient penalty loss", "none")
    assert metric.number(0.000012345) == "1.234e-05"


def test_errors_are_better_when_lower_and_accuracies_when_higher():
    for name, metric in METRICS.items():
        if "error_percent" in name or name.endswith(("_loss", "_distance")):
            assert metric.direction == "lower", name
        if "accuracy" in name and not metric.logged and "linear_probe" not in name and name != "style_linear_probe":
            assert metric.direction == "higher", name
