"""Networks and priors of one's own, named in a recipe as `module:attribute`: trained, resumed, loaded, and refused."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import aae
from aae import recipes
from aae.cli import run as command_line
from aae.errors import InputError
from aae.files import read_tensors, write_tensors
from aae.noise import Noise
from aae.recipes.build_model import build_model, build_phases
from aae.runs import likelihood
from aae.runs.evaluate import evaluate
from aae.runs.recipe import read_recipe
from aae.runs.seeds import train_seeds
from aae.runs.train import train

MYNET = '''
"""Parts for images, and some that do not fit."""
import math
from pathlib import Path

import torch
from torch import nn

from aae.priors import Prior

Path("imported").touch()  # what a test can see
WIDTH = 8


class Encoder(nn.Module):
    def __init__(self, shape, channels=4):
        super().__init__()
        self.convolution = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        nn.init.constant_(self.convolution.bias, 0.25)
        self.shape = shape
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return self.dropout(torch.relu(self.convolution(x.unflatten(1, (1, *self.shape))))).flatten(1)


def decoder(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))


class Discriminator(nn.Sequential):
    def __init__(self, inputs):
        super().__init__(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, 1))


class Noisy(nn.Linear):
    def __init__(self, inputs):
        super().__init__(inputs, 3)

    def forward(self, x, noise):
        return super().forward(x if noise is None else x + noise.normal(*x.shape))


def ring(n, radius=2.0):
    angle = 2 * math.pi * torch.rand(n)
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def corners(n, labels=None, noise=None):
    where = noise.integers(10, n) if labels is None else torch.where(labels < 0, 0, labels)
    return torch.stack([where.float(), 0.01 * noise.normal(n)], dim=1)


class Corner(Prior):
    has_density = True

    def __init__(self, dim, side=1.0):
        super().__init__(dim)
        self.side = side

    def _sample(self, n, labels, noise):
        return self.side * noise.uniform(n, self.dim)


def wide(n):
    return torch.zeros(n, 3)


def listed(n):
    return [[0.0, 0.0]] * n


def narrow(inputs):
    return nn.Linear(inputs, 60)


def flat(inputs):
    return nn.Flatten(0)


def nothing():
    return 3


def broken(inputs):
    raise RuntimeError("no luck\\nat all")


def other(inputs):
    return nn.Linear(inputs + 1, 5)
'''
RECIPE = """
extends = "figure2a-digits"
title = "Convolutions and a ring"
[model]
encoder = { module = "mynet:Encoder", arguments = { channels = 3 }, input_noise = 0.1 }
decoder = { module = "mynet:decoder" }
discriminator = { module = "mynet:Discriminator" }
[model.style]
dim = 2
prior = { kind = "custom", module = "mynet:ring", arguments = { radius = 1.5 } }
[training]
epochs = 2
"""


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    """Stand in a folder with the module and the recipe, and forget the module afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    Path("mynet.py").write_text(MYNET)
    Path("mine.toml").write_text(RECIPE)
    yield
    sys.modules.pop("mynet", None)


def built(*overrides, recipe="mine.toml", shape=(8, 8), classes=10, seed=0):
    return build_model(read_recipe(recipe, overrides).model, shape, classes, Noise(seed))


# --- what it draws -----------------------------------------------------------------------------------------------------


def test_a_sampler_that_draws_from_torch_itself_draws_the_same_for_the_same_seed():
    run = train("mine.toml", run="first", device="cpu")
    draw = likelihood.sampler(run)
    torch.manual_seed(3)
    first = draw(0, 5)
    assert torch.equal(draw(0, 5), first)
    assert not torch.equal(draw(5, 10), first)
    prior = run.model.latent("style").prior
    one, other, again = (prior.sample(4, None, Noise(seed)) for seed in (0, 1, 0))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_measuring_on_validation_rows_changes_no_weight():
    every, last = (
        train(read_recipe("mine.toml", [f"training.validate_every={n}"]), run=f"every-{n}", device="cpu")
        for n in (1, 2)
    )
    assert len([m for m in every.folder.read_metrics() if "validation_reconstruction" in m]) == 2
    for name, tensor in every.model.state_dict().items():
        assert torch.equal(tensor, last.model.state_dict()[name]), name


def test_seeds_whose_prior_draws_from_torch_itself_are_trained_in_turn(capfd):
    recipe = read_recipe("mine.toml", ["model.encoder={}", "model.decoder={}", "model.discriminator={}"])
    together = train_seeds(recipe, 2, run="together", device="cpu", batched=True)
    assert "note: mine: the seeds are trained one after another, not together: a module of the model draws from a" in (
        capfd.readouterr().err
    )
    alone = train_seeds(recipe, 2, run="alone", device="cpu", batched=False)
    for one, other in zip(together, alone, strict=True):
        for name, tensor in one.model.state_dict().items():
            assert torch.equal(tensor, other.model.state_dict()[name]), name


# --- training and using ------------------------------------------------------------------------------------------------


def test_a_run_is_made_of_the_parts_that_the_recipe_names():
    run = train("mine.toml", run="first", device="cpu")
    mynet = sys.modules["mynet"]
    assert isinstance(run.model.encoder, mynet.Encoder)
    assert run.model.encoder.convolution.out_channels == 3  # from arguments
    assert isinstance(run.model.latent("style").discriminator, mynet.Discriminator)
    assert run.model.latent("style").posterior.layer.linear.in_features == 3 * 4 * 4
    np.testing.assert_allclose(np.linalg.norm(run.sample_prior(50), axis=1), 1.5, rtol=1e-5)
    losses = [metrics["reconstruction_loss"] for metrics in run.folder.read_metrics()]
    assert losses[1] < losses[0]
    assert run.reconstruct(np.zeros((3, 8, 8), np.float32)).shape == (3, 8, 8)


def test_a_resumed_run_ends_with_the_same_bits():
    straight = train("mine.toml", run="straight", device="cpu")
    train(read_recipe("mine.toml", ["training.epochs=1"]), run="halved", device="cpu")
    train("mine.toml", run="halved", device="cpu", resume=True)
    expected, found = (load_file(f"{name}/model.safetensors") for name in ("straight", "halved"))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)  # dropout of torch and ring included
    other = read_recipe("mine.toml", ["model.style.prior.arguments.radius=3"])
    with pytest.raises(
        InputError, match=r"another recipe; model\.style\.prior\.arguments\.radius is 3, the run has 1\.5"
    ):
        train(other, run="halved", device="cpu", resume=True)
    resumed = aae.load("halved", "cpu", trust_modules=True)
    assert np.array_equal(straight.sample(4, random_state=0), resumed.sample(4, random_state=0))


def test_networks_of_ones_own_keep_their_weights_and_follow_the_seed():
    first, again, other = built(), built(), built(seed=1)
    assert (first.encoder.convolution.bias == 0.25).all()  # others start from 0
    assert torch.equal(first.encoder.convolution.weight, again.encoder.convolution.weight)
    assert torch.equal(first.decoder[0].weight, again.decoder[0].weight)
    assert not torch.equal(first.encoder.convolution.weight, other.encoder.convolution.weight)
    head = first.latent("style").posterior.layer.linear
    assert (head.bias == 0).all()
    assert first.training
    assert first.encoder.training


def test_a_weight_with_two_names_is_saved_under_both(tmp_path):
    tied, other = torch.ones(2, 3), torch.zeros(2)
    write_tensors(tmp_path / "x.safetensors", {"a": tied, "b": other, "c": tied})
    assert {name: tensor.tolist() for name, tensor in read_tensors(tmp_path / "x.safetensors").items()} == {
        "a": tied.tolist(),
        "b": other.tolist(),
        "c": tied.tolist(),
    }


def test_the_other_weights_are_those_of_a_run_without_custom_modules():
    plain = read_recipe("figure2a-digits", ["model.discriminator.hidden=[16]"])
    mixed = read_recipe("figure2a-digits", ["model.discriminator.module=mynet:Discriminator"])
    a, b = (build_model(recipe.model, (8, 8), 10, Noise(0)) for recipe in (plain, mixed))
    assert a.encoder.state_dict().keys() == b.encoder.state_dict().keys()
    spreads = [model.encoder.layers[0].linear.weight.std().item() for model in (a, b)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.05)


def test_custom_modules_from_the_session_itself(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "halves", lambda n: torch.full((n, 2), 0.5), raising=False)
    model = built("model.style.prior.module=__main__:halves")
    assert model.sample_codes(3)["style"].tolist() == [[0.5, 0.5]] * 3


def test_every_method_takes_own_networks():
    semi = built("model.discriminator.module=mynet:Discriminator", recipe="demo")
    widths = {name: semi.latent(name).discriminator[0].in_features for name in semi.latents}
    assert widths == {"label": 10, "style": semi.latent("style").prior.dim}
    network = built("model.encoder.module=mynet:Encoder", recipe="demo-supervised")
    assert network.label_logits(torch.zeros(2, 64)).shape == (2, 10)
    gan = built(
        "model.decoder.module=mynet:decoder",
        "model.discriminator.module=mynet:Discriminator",
        recipe="table1-mnist-gan",
    )
    assert gan.discriminate(gan.sample(3)).shape == (3,)
    assert (gan.generator[0].bias != 0).any()
    universal = built("model.encoder.module=mynet:Noisy", "model.style.posterior=universal")
    assert universal.encoder.in_features == 64 + 10  # the noise of the posterior comes in beside the row
    assert universal.encode(torch.zeros(2, 64), Noise(0))["style"].std() > 0


def test_priors_of_ones_own():
    corner = built(
        "model.style.prior.module=mynet:Corner", "model.style.prior.arguments={ side = 0.5 }", "model.style.dim=3"
    )
    codes = corner.sample_codes(200, noise=Noise(0))["style"]
    assert codes.shape == (200, 3)
    assert 0.45 < codes.max() < 0.5
    informed = built("model.style.prior.module=mynet:corners", "model.style.label_informed=true")
    labels = torch.arange(10)
    assert informed.sample_codes(10, labels, Noise(0))["style"][:, 0].tolist() == list(range(10))
    assert informed.latent("style").discriminator[0].in_features == 2 + 11
    with pytest.raises(
        InputError, match=r"cannot be sampled per label; .* expects a sampler with a parameter 'labels'"
    ):
        built("model.style.label_informed=true")


# --- trust -------------------------------------------------------------------------------------------------------------


def aae_command(*words):
    """Run commands, one after another, in a process of their own that has imported nothing and looks in no folder of itself."""
    code = "import sys; from aae.cli import run; sys.exit(max(run(words.split()) for words in sys.argv[1:]))"
    return subprocess.run([sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=False)


def test_loading_imports_nothing_unless_told_to(capsys):
    run = train("mine.toml", run="first", device="cpu")
    aae.save_pretrained(run, "shared")
    del sys.modules["mynet"]
    Path("imported").unlink()
    rows = np.random.default_rng(0).random((5, 8, 8)).astype(np.float32)
    np.save("rows.npy", rows)
    message = (
        "loading this run imports mynet:Encoder and mynet:decoder and mynet:Discriminator and mynet:ring; if you trust these "
        "modules, say so with --trust-modules, or trust_modules=True in Python"
    )
    for load in (aae.load, aae.Run.load):
        with pytest.raises(InputError, match=f"first: {message}"):
            load("first")
    for load in (aae.load, aae.from_pretrained):
        with pytest.raises(InputError, match=f"shared: {message}"):
            load("shared")
    capsys.readouterr()
    for words in (["evaluate", "first"], ["encode", "first", "rows.npy", "-o", "codes.npy"], ["figure", "first"]):
        assert command_line(words) == 2
        assert capsys.readouterr().err == f"aae: first: {message}\n"
    assert "mynet" not in sys.modules
    assert not Path("imported").exists()

    codes = run.encode(rows)["style"]
    for load, folder in ((aae.load, "first"), (aae.load, "shared"), (aae.from_pretrained, "shared")):
        assert np.array_equal(load(folder, "cpu", trust_modules=True).encode(rows)["style"], codes)
    assert Path("imported").exists()
    card = Path("shared/README.md").read_text()
    assert 'aae.from_pretrained("shared", trust_modules=True)' in card
    assert "- Needs: `mynet:Encoder`, `mynet:decoder`, `mynet:Discriminator`, `mynet:ring`, which are not part" in card


def test_the_command_line_finds_modules_in_the_current_folder():
    np.save("rows.npy", np.ones((3, 8, 8), np.float32))
    train_short = "train mine.toml --run first --set training.epochs=1 --device cpu"
    resume = "train mine.toml --run first --resume --device cpu"
    encode = "encode first rows.npy -o codes.npy --trust-modules --device cpu"
    for words in ((train_short, resume), (encode,)):
        done = aae_command(*words)
        assert done.returncode == 0, done.stderr
    assert np.load("codes.npy").shape == (3, 2)
    report = evaluate(aae.load("first", "cpu", trust_modules=True))
    assert report["epochs"] == 2
    assert math.isfinite(report["metrics"]["energy_distance"])


# --- what does not fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("encoder.module=mynet", r"model\.encoder\.module is 'mynet'; expected 'module:attribute', such as 'mynet:Encoder'"),
        ("encoder.module=my-net:Encoder", r"is 'my-net:Encoder'; expected 'module:attribute'"),
        ("encoder.module=nonet:Encoder", r"found no module 'nonet', expected one where Python looks or in the current folder"),
        ("encoder.module=mynet.sub:Encoder", r"found no module 'mynet.sub'"),
        ("encoder.module=mynet:Encodr", r"module mynet has no 'Encodr'; did you mean 'Encoder'\?"),
        ("encoder.module=mynet:WIDTH", r"is 'mynet:WIDTH', which is a int; expected a class or a function"),
        ("encoder.module=mynet:nothing", r"mynet:nothing returned a int; expected a torch.nn.Module"),
        ("encoder.module=mynet:broken", r"mynet:broken\(inputs\) failed \(RuntimeError: no luck at all\)"),
        ("encoder.module=mynet:flat", r"mynet:flat returned shape \(128,\) for a batch .*; expected shape \(2, features\)"),
        ("encoder.module=mynet:other", r"mynet:other fails on a batch of shape \(2, 64\) \(RuntimeError: "),
        ("encoder.arguments.wide=3", r"\(shape, channels, wide\) failed \(TypeError: .*'wide'.*have parameters inputs, shape"),
        ("decoder.module=mynet:narrow", r"decoder\.module: mynet:narrow returned shape \(2, 60\) .* expected shape \(2, 64\)"),
        ("discriminator.module=mynet:narrow", r"returned shape \(2, 60\) for a batch of shape \(2, 2\); expected shape \(2, 1\)"),
        ("encoder.repeats=2", r"model\.encoder has both module and repeats; a network of your own gets what it"),
        ("encoder.hidden=[5]", r"model\.encoder has both module and hidden; a network of your own gets what it"),
        ("style.prior.module=mynet:wide", r"mynet:wide cannot be sampled \(sampler returned shape \(2, 3\); expected \(2, 2\)\)"),
        ("style.prior.module=mynet:listed", r"sampler returned a list; expected a tensor of shape \(2, 2\)"),
        ("style.prior.module=mynet:rings", r"module mynet has no 'rings'; did you mean 'ring'\?"),
        ("style.prior.arguments.width=3", r"mynet:ring cannot be sampled \(TypeError: .*'width'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_clear_line(override, message):
    with pytest.raises(InputError, match=message) as caught:
        built(f"model.{override}")
    assert "\n" not in str(caught.value)


def test_a_module_that_does_not_import_is_one_clear_line():
    Path("torn.py").write_text("import nosuchthing\n")
    with pytest.raises(
        InputError, match=r"importing torn failed \(ModuleNotFoundError: No module named 'nosuchthing'\)"
    ):
        built("model.encoder.module=torn:Encoder")
    Path("odd.py").write_text("def f(:\n")
    with pytest.raises(InputError, match=r"importing odd failed \(SyntaxError: "):
        built("model.encoder.module=odd:f")


def test_arguments_need_a_module_and_a_vae_a_density():
    with pytest.raises(InputError, match=r"model\.encoder has arguments \{'a': 1\}, but no module that takes them"):
        read_recipe("figure2a-digits", ["model.encoder.arguments={ a = 1 }"])
    one = read_recipe("figure2c-digits", ["model.style.prior={ kind = 'custom', module = 'mynet:ring' }"])
    model = build_model(one.model, (8, 8), 0, Noise(0))
    with pytest.raises(
        InputError, match=r"a VAE needs a prior with a density larger than 0 everywhere; found FromSampler"
    ):
        build_phases(one, model)


# --- recipes -----------------------------------------------------------------------------------------------------------


def test_another_module_replaces_the_keys_of_the_first():
    recipe = read_recipe("demo", ["model.encoder.module=mynet:Encoder"])  # demo has hidden layers of its own
    assert recipe.model.encoder.module == "mynet:Encoder"
    assert recipe.model.encoder.input_noise == 0
    prior = read_recipe("mine.toml", ["model.style.prior.module=mynet:corners"]).model.style.prior
    assert prior.model_dump() == {"kind": "custom", "module": "mynet:corners", "arguments": {}}
    Path("yours.toml").write_text('extends = "mine.toml"\nmodel.encoder.module = "mynet:Noisy"\n')
    assert recipes.read("yours.toml").model.encoder.arguments == {}
    Path("same.toml").write_text('extends = "mine.toml"\nmodel.encoder.arguments.channels = 5\n')
    assert recipes.read("same.toml").model.encoder.arguments == {"channels": 5}


def test_a_recipe_with_custom_modules_survives_writing_and_reading_it_imports_nothing():
    recipe = recipes.read("mine.toml")
    Path("copy.toml").write_text(recipes.dump(recipe))
    assert recipes.read("copy.toml") == recipe
    assert not Path("imported").exists()
