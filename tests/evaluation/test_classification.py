"""Classification measures on predictors whose scores are known."""

import math

import numpy as np
import pytest
import torch

from aae.errors import InputError
from aae.evaluation import classification_report, confusion, error_percent, expected_calibration_error


def test_error_percent_leaves_unlabelled_rows_out():
    assert error_percent([0, 1, 2, 2, -1], torch.tensor([0, 1, 2, 0, 2])) == pytest.approx(25)


def test_confusion_has_true_labels_in_rows():
    assert confusion([0, 0, 1, -1], [0, 2, 1, 1], 3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_calibration_of_a_constant_predictor():
    labels = np.repeat([0, 1], [60, 40])
    for confidence in (0.6, 0.9, 1.0):
        given = np.tile([confidence, 1 - confidence], (100, 1))
        assert expected_calibration_error(labels, given) == pytest.approx(100 * (confidence - 0.6))


def test_calibration_does_not_cancel_between_bins():
    # Sure and right half of the time (gap 0.5), unsure and always right (gap 0.4): on the average no 5 points off
    labels = [0, 1, 0, 0]
    given = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.4], [0.6, 0.4]]
    assert expected_calibration_error(labels, given) == pytest.approx(45)
    assert expected_calibration_error(labels, given, bins=1) == pytest.approx(5)


def test_report_of_a_uniform_predictor():
    report = classification_report([0, 1, 2, 3, -1], torch.full((5, 4), 0.25))
    assert report["nll"] == pytest.approx(math.log(4))
    assert report["error_percent"] == pytest.approx(75)
    assert report["ece_percent"] == pytest.approx(0)
    assert report["confusion"] == [[1, 0, 0, 0]] * 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_report_takes_low_precision_softmax_outputs(dtype):
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    exact = classification_report(torch.arange(50) % 10, logits.double().softmax(1))
    rough = classification_report(torch.arange(50) % 10, logits.softmax(1).to(dtype))
    assert rough["nll"] == pytest.approx(exact["nll"], rel=0.01)


def test_wrong_input_is_an_input_error():
    with pytest.raises(InputError, match="found -1 in all 2 rows"):
        error_percent([-1, -1], [0, 1])
    with pytest.raises(InputError, match="labels 3, predicted 2"):
        error_percent([0, 1, 1], [0, 1])
    with pytest.raises(InputError, match="sum to 1"):
        classification_report([0, 1], [[2.0, -1.0], [0.0, 5.0]])
    with pytest.raises(InputError, match="found 0 to 2, expected 0 to 1"):
        classification_report([0, 2], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(InputError, match="whole number"):
        error_percent([0.5, 1.0], [0, 1])
