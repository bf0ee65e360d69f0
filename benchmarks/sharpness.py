"""What the Parzen window thinks of sharp images: training images of MNIST as samples, as they are, sharper and softer.

    python benchmarks/sharpness.py --output results/benchmarks/sharpness.json

No model is in it. The first 500 validation images choose sigma of the paper's grid, and the 1000 after them are scored.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch
import torch.nn.functional as F

import aae
from aae.device import describe_device
from aae.evaluation.parzen import GRID, parzen_log_likelihood
from aae.recipes.build_data import load_data
from aae.reproduction.results import summarize
from aae.runs.recipe import read_recipe

SAMPLES, CHOOSERS, SCORED = 10_000, 500, 1000
SIGMAS = [sigma for sigma in GRID if 0.12 < sigma < 0.37]  # around what every model of Table 1 is given


def softened(images: torch.Tensor) -> torch.Tensor:
    """Blur flat images (n, 784) with the binomial kernel of 3 x 3 pixels."""
    side = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (side[:, None] * side)[None, None]
    return F.conv2d(images.view(-1, 1, 28, 28), kernel, padding=1).flatten(1)


def main() -> None:
    """Score each kind of samples and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="result file to write")
    arguments = parser.parse_args()
    data = load_data(read_recipe("table1-mnist"))
    assert data.validation is not None
    train, validation = (
        torch.from_numpy(rows.reshape(len(rows), -1).copy()).float() / 255
        for rows in (data.train.rows[:SAMPLES], data.validation.rows[: CHOOSERS + SCORED])
    )
    black_and_white = (train > 0.5).float()
    noise = torch.randn(train.shape, generator=torch.Generator().manual_seed(0))
    found = {}
    for name, samples in {
        "as they are": train,
        "black and white": black_and_white,
        "black and white, blurred": softened(black_and_white),
        "blurred": softened(train),
        "noise of 0.1 on every pixel": (train + 0.1 * noise).clamp(0, 1),
    }.items():
        estimate = parzen_log_likelihood(
            samples, validation[:CHOOSERS], validation[CHOOSERS:], sigmas=SIGMAS, fine=False
        )
        found[name] = summarize(
            [{"parzen_log_likelihood_nats": estimate.log_likelihood_nats, "parzen_sigma": estimate.sigma}]
        )
    report = {
        "data": "mnist",
        "split": "validation",
        "seeds": [0],
        "device": describe_device(torch.device("cpu")),
        "version": aae.__version__,
        "versions": {"torch": torch.__version__},
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "results": {"training images as samples": found},
    }
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
