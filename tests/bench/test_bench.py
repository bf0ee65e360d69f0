"""The benchmark of one training step: its count of operations by hand, and that its numbers fit together."""

import json
import math

import pytest
import torch
from helpers import small_networks
from rich.console import Console

from aae import recipes
from aae.bench import step as benches
from aae.bench.matmuls import Recorder
from aae.bench.step import bench, table
from aae.cli import run as command
from aae.errors import InputError, InputWarning

BATCH, INPUTS, CODE = 6, 64, 2
SMALL = [
    "data.source=digits",
    "data.validation=0",
    f"training.batch_size={BATCH}",
    "training.precision=fp32",
    "model.encoder.hidden=[7, 5]",
    "model.decoder.hidden=[3]",
    "model.discriminator.hidden=[9, 4]",
]
ENCODER = [INPUTS * 7, 7 * 5, 5 * CODE]  # weights of each layer
DECODER = [CODE * 3, 3 * INPUTS]
DISCRIMINATOR = [CODE * 9, 9 * 4, 4 * 1]


def forward(weights):
    """Multiplications of one row on the way forward."""
    return sum(weights)


def backward(weights, *, inputs, own=True):
    """The same on the way back: for the weights if `own`, and for the inputs of all layers, the first only if `inputs`."""
    return own * sum(weights) + sum(weights[0 if inputs else 1 :])


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(benches, "STREAM", 1000)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gflop(*overrides, name="figure2a"):
    return bench(recipes.read(name, [*SMALL, *overrides]), "cpu", steps=1, rounds=1)["gflop_per_step"]


def test_operations_of_an_adversarial_autoencoder_by_hand():
    whole = ENCODER + DECODER
    reconstruction = BATCH * (forward(whole) + backward(whole, inputs=False))
    # prior samples and codes: two rows each; the codes need no gradient here
    discriminator = BATCH * forward(ENCODER)
    discriminator += 2 * BATCH * (forward(DISCRIMINATOR) + backward(DISCRIMINATOR, inputs=False))
    # through the discriminator, whose weights stay, into the encoder that has run already
    generator = BATCH * (forward(DISCRIMINATOR) + backward(DISCRIMINATOR, inputs=True, own=False))
    generator += BATCH * backward(ENCODER, inputs=False)
    assert gflop() == pytest.approx(2e-9 * (reconstruction + discriminator + generator), rel=1e-12)


def test_operations_do_not_depend_on_the_precision():
    assert gflop("training.precision=bf16") == pytest.approx(gflop(), rel=1e-12)


def test_operations_of_a_convolution_and_its_gradients():
    rows = torch.zeros(2, 3, 8, 8, requires_grad=True)
    kernel = torch.zeros(5, 3, 3, 3, requires_grad=True)
    with Recorder() as recorder:
        torch.nn.functional.conv2d(rows, kernel).sum().backward()
    once = 2 * (2 * 6 * 6) * 5 * (3 * 3 * 3)
    assert [matmul.flops for matmul in recorder.matmuls] == [once, 2 * once]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_report_fits_together(precision):
    found = bench(recipes.read("figure2a", [*SMALL, f"training.precision={precision}"]), "cpu", steps=3, rounds=2)
    assert json.loads(json.dumps(found)) == found
    assert 0 < found["fraction_of_matmul_roofline"] <= 1.5
    assert found["fraction_of_matmul_roofline"] == pytest.approx(
        found["gflop_per_second"] / found["matmul_gflop_per_second"]
    )
    assert found["roofline_ms"] == pytest.approx(found["matmul_ms"] + found["update_ms"])
    assert found["samples_per_second"] == pytest.approx(1000 * BATCH / found["step_ms"])
    assert sum(p["count"] * p["gflop"] for p in found["matmuls"]) == pytest.approx(found["gflop_per_step"])
    assert found["steps_per_epoch"] == 1438 // BATCH
    assert found["schedule_seconds"] == pytest.approx(found["step_ms"] / 1000 * found["epochs"] * (1438 // BATCH))


def test_moment_matching_is_passed_over():
    warm = ["training.moment_matching_epochs=3", "training.batch_size=20", *SMALL]
    found, plain = (bench(recipes.read("table3-16-digits", w), "cpu", steps=1, rounds=1) for w in (warm, warm[1:]))
    assert {"discriminator", "generator"} <= set(found["phases"])
    for key in ("phases", "gflop_per_step", "moved_mb", "parameters"):
        assert found[key] == plain[key], key


def test_moved_bytes_by_hand():
    biases = {"encoder": 7 + 5 + CODE, "decoder": 3 + INPUTS, "discriminator": 9 + 4 + 1}
    encoder, decoder = sum(ENCODER) + biases["encoder"], sum(DECODER) + biases["decoder"]
    updated = (encoder + decoder) + (sum(DISCRIMINATOR) + biases["discriminator"]) + encoder
    found = bench(recipes.read("figure2a", SMALL), "cpu", steps=1, rounds=1)
    assert found["parameters"] == updated
    # read gradient, weight, momentum; write weight, momentum: 4 bytes each
    assert found["moved_mb"] == pytest.approx(5 * 4 * updated / 1e6)


def test_epochs_shorter_than_the_measurement():
    found = bench(recipes.read("figure2a", [*SMALL, "training.batch_size=700"]), "cpu", steps=5, rounds=2)
    assert found["steps_per_epoch"] == 2
    assert 0 < found["fraction_of_matmul_roofline"] <= 1.5


def test_matmuls_run_on_memory_that_is_shared_as_in_the_step():
    weight, rows = torch.randn(4, 3), torch.randn(5, 3)
    with Recorder() as recorder:
        (rows @ weight.t()) @ weight
    memory = {}
    calls = [matmul.repeat(memory, benches.Noise(0), compiled=False) for matmul in recorder.matmuls]
    first, second = (call() for call in calls)
    # one buffer each for rows, weight, and the matmul that is written by the first call and read by the second
    assert len(memory) == 4
    torch.testing.assert_close(second, calls[1]())
    other_weight = next(t for t in memory.values() if t.numel() == weight.numel()).view(4, 3)
    torch.testing.assert_close(second, first @ other_weight)


def test_the_roofline_of_a_compiled_step_is_of_the_matmuls_that_it_takes(monkeypatch):
    with Recorder() as recorder:
        torch.randn(5, 3) @ torch.randn(3, 4)
    (matmul,) = recorder.matmuls
    taken = []
    monkeypatch.setattr(
        "aae.bench.matmuls.faster", lambda function, operands: taken.append(function) or torch.ops.aae.mm
    )
    memory = {}
    results = [matmul.repeat(memory, benches.Noise(0), compiled)() for compiled in (False, True)]
    torch.testing.assert_close(*results)
    assert taken == [torch.ops.aten.mm.default]


def test_table_shows_every_recipe():
    found = bench(recipes.read("figure2a", SMALL), "cpu", steps=1, rounds=1)
    console = Console(record=True, width=120)
    console.print(table([found, {**found, "recipe": "other"}]))
    text = console.export_text()
    assert "figure2a" in text
    assert "other" in text
    assert f"{found['fraction_of_matmul_roofline']:.1%}" in text


@pytest.mark.parametrize("option", ["steps", "rounds"])
def test_no_measurement_of_nothing(option):
    with pytest.raises(InputError, match=f"{option} is 0; expected 1 or larger"):
        bench(recipes.read("figure2a", SMALL), "cpu", **{option: 0})


@pytest.mark.parametrize(("target", "reached", "status"), [("60", True, 0), ("0", False, 3)])
def test_time_to_a_validation_error_and_a_status_of_its_own_where_it_is_not_reached(target, reached, status, capsys):
    words = ["demo", *(word for one in [*small_networks(), "training.epochs=12"] for word in ("--set", one))]
    words += ["--set", "training.classification.learning_rate=0.05"]
    assert command(["bench", *words, "--time-to", f"validation_error_percent={target}", "--json"]) == status
    printed = capsys.readouterr()
    (found,) = json.loads(printed.out)
    last = "" if reached else printed.err.splitlines()[-1]
    missed = f"aae: validation error, % of 0 was not reached; demo: {found['best']:.2f} at best in 12 epochs"
    assert last == ("" if reached else missed)
    assert (found["reached"], found["best"] <= 60) == (reached, True)
    assert found["epochs"] < 12 if reached else found["epochs"] == 12
    assert 0 < found["minutes"] < 1
    assert 0 < found["core_minutes"] < 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "--time-to", "validation_error_percent"], "expected METRIC=VALUE"),
        (["demo", "--time-to", "validation_error_percent=low"], "expected METRIC=VALUE"),
        (["demo", "--time-to", "nmi=0.5"], "unknown metric of demo 'nmi'"),
        (
            ["demo", "map", "--set", "data.source=digits", "--time-to", "validation_error_percent=5"],
            "recipe map: has no metrics of validation rows",
        ),
        (["demo", "parzen"], "demo parzen: parzen is no recipe; expected it alone, or recipes alone"),
        (["parzen", "--time-to", "nmi=0.5"], "a Parzen window is not trained; expected recipes"),
    ],
)
def test_a_time_to_what_is_not_measured_is_bad_input(words, message, capsys):
    assert command(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_tables_of_columns_by_kind_are_measured_as_they_are_trained(tmp_path):
    lines = ["a,b,c", *(f"{'' if k % 7 == 0 else k},{k % 5},{'xyz'[k % 3]}" for k in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    recipe = recipes.read("anomalies", [f"data.source={tmp_path / 't.csv'}", "data.missing=mask", *SMALL[1:]])
    with pytest.warns(InputWarning, match="read as categories: 'c'"):
        trainer = benches.make_trainer(recipe, torch.device("cpu"))
    assert trainer.data.rows.shape[1] == 5  # two numbers and three categories
    assert all(math.isfinite(loss) for loss in trainer.run_epoch().values())
