"""The rivals of Table 1 that are sampled by Markov chains: their losses and steps term by term, and samples on digits."""

import itertools

import pytest
import torch
from torch.autograd.functional import jacobian

from aae.baselines.cae import StackedContractiveAutoencoder, contraction, contractive_phases
from aae.baselines.chain import MarkovChain, layer_epochs
from aae.baselines.dbn import DeepBeliefNetwork, contrastive_phases
from aae.baselines.gsn import GenerativeStochasticNetwork, walkback_phases
from aae.errors import InputError
from aae.evaluation.parzen import parzen_log_likelihood
from aae.networks import initialize
from aae.noise import Noise
from aae.runs.likelihood import sampler
from aae.runs.recipe import read_recipe
from aae.runs.train import train
from aae.scaling import Scaling
from aae.training.data import TrainingData
from aae.training.phases import Batch

IDENTITY = Scaling(torch.tensor(0.0), torch.tensor(1.0))
TINY = ["training.precision=fp32", "training.validate_every=500", "training.checkpoint_every=500", "training.epochs=60"]
TINY += ["model.encoder.hidden=[100,100]", "training.batch_size=50", "model.chain.burn_in=50"]


def made(kind, *widths, **more):
    """A model whose biases are not 0 either."""
    model = kind(widths, **more)
    initialize(model, Noise(0, 1), "he")
    for k, bias in enumerate([*model.down, *(layer.bias for layer in model.up)]):
        bias.data = 0.3 * Noise(k, 2).normal(len(bias))
    return model


def batch(n=7, inputs=4):
    return Batch(Noise(0, 3).uniform(n, inputs), Noise(0, 4))


# --- chains ---


class Counter(MarkovChain):
    """A chain whose samples say where it began and how many steps it has made."""

    def begin(self, rows, noise):
        return (rows, torch.zeros(len(rows), 1))

    def advance(self, state, noise):
        return (state[0], state[1] + 1)

    def rows(self, state):
        return torch.cat([state[0][:, :1], state[1]], 1)


def test_chains_begin_at_training_rows_and_give_samples_at_their_distance():
    model = Counter([3, 2], chains=4, burn_in=10, thinning=3)
    rows = torch.arange(1000.0)[:, None].repeat(1, 3)
    model.keep_starts(TrainingData(2 * rows, Scaling(torch.tensor(0.0), torch.tensor(0.5))))
    found = model.sample(10, noise=Noise(0))
    assert found[:, 1].tolist() == [10] * 4 + [13] * 4 + [16] * 2
    assert found[:4, 0].tolist() == [0, 10, 20, 30]  # 100 of 1000 rows, from the first to the last
    assert float(model.starts[-1, 0]) == 999
    assert len(Counter([3, 2], chains=500).sample(120)) == 120  # more chains than rows to begin with
    with pytest.raises(InputError, match="knows no labels"):
        model.sample(1, torch.tensor([1]))
    with pytest.raises(InputError, match="thinning are 1, 0 and 0; expected at least 1, 0 and 1"):
        Counter([3, 2], chains=1, burn_in=0, thinning=0)


def test_layers_share_the_epochs():
    assert layer_epochs(3, 2, 9) == [(0, 2), (2, 4), (4, None)]
    assert layer_epochs(1, 5, 1) == [(0, None)]
    with pytest.raises(InputError, match=r"epochs are 4, pretraining .* is 2; .* more than 4 epochs for 3 layers"):
        layer_epochs(3, 2, 4)


# --- deep belief network ---


def test_free_energy_is_that_of_all_hidden_units():
    model, visible = made(DeepBeliefNetwork, 4, 3), batch().rows
    (layer,), (bias,) = model.up, model.down
    hidden = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    energy = -(visible @ bias)[:, None] - hidden @ layer.bias - (visible @ layer.weight.T) @ hidden.T
    torch.testing.assert_close(model.free_energy(0, visible), -torch.logsumexp(-energy, 1))


@pytest.mark.parametrize("steps", [1, 3])
def test_gradients_are_those_of_contrastive_divergence(steps):
    model = made(DeepBeliefNetwork, 4, 5, 3)
    lower, upper = contrastive_phases(model, 2, 5, gibbs_steps=steps)
    assert [(phase.start, phase.stop) for phase in (lower, upper)] == [(0, 2), (2, None)]
    for k, (phase, count) in enumerate([(lower, 1), (upper, steps)]):
        given, noise = batch(), Noise(0, 4)
        data = model.infer(given.rows, k)
        found = data
        for _ in range(count):
            found = model.gibbs(k, found, noise)
        h, h_found = (torch.sigmoid(model.upward(k, v)) for v in (data, found))
        gradients = torch.autograd.grad(phase.loss(given), phase.parameters)
        weight = (h_found.T @ found - h.T @ data) / 7
        for got, expected in zip(gradients, (weight, (h_found - h).mean(0), (found - data).mean(0)), strict=True):
            torch.testing.assert_close(got, expected)
    with pytest.raises(InputError, match="gibbs_steps is 0"):
        contrastive_phases(model, 1, 2, 0)


def test_gibbs_sampling_draws_the_hidden_units_and_goes_down_by_expected_values():
    model = made(DeepBeliefNetwork, 4, 5, 3)
    visible = Noise(0, 5).uniform(1, 5).repeat(20000, 1)
    p = torch.sigmoid(model.upward(1, visible[:1]))
    hidden = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    shares = (hidden * p + (1 - hidden) * (1 - p)).prod(1)
    expected = shares @ torch.sigmoid(model.downward(1, hidden))
    torch.testing.assert_close(model.gibbs(1, visible, Noise(0)).mean(0), expected, atol=0.01, rtol=0)
    torch.testing.assert_close(model.rows((visible,)), torch.sigmoid(model.downward(0, visible)))


# --- contractive autoencoder ---


def test_contraction_is_the_squared_norm_of_the_jacobian():
    model, rows = made(StackedContractiveAutoencoder, 4, 5, 3), batch().rows
    units = model.layers(rows, 1)[-1]
    norms = [jacobian(lambda x: torch.sigmoid(model.upward(0, x)), row).square().sum() for row in rows]
    torch.testing.assert_close(contraction(units, model.up[0].weight), torch.stack(norms).mean())


def test_a_step_moves_the_codes_by_noise_that_the_jacobian_shapes():
    model, rows = made(StackedContractiveAutoencoder, 4, 5, 3, walk_noise=0.7), batch().rows
    units, drawn = model.layers(rows), Noise(0, 6).normal(7, 3)
    jacobians = torch.stack([jacobian(lambda x: model.layers(x)[-1], row) for row in rows])
    moves = (jacobians @ jacobians.mT @ (0.7 * drawn)[:, :, None])[:, :, 0]
    torch.testing.assert_close(model.project(units, 0.7 * drawn), moves)
    torch.testing.assert_close(model.advance((rows,), Noise(0, 6))[0], model.decode(units[-1] + moves))


def test_each_autoencoder_lowers_its_error_and_its_contraction_alone():
    model, given = made(StackedContractiveAutoencoder, 4, 5, 3), batch()
    phases = contractive_phases(model, 0.2, 1, 3)
    found = phases[1].loss(given)
    below, units = model.layers(given.rows)[1:]
    r = torch.sigmoid(units @ model.up[1].weight + model.down[1])
    error = -(below * r.log() + (1 - below) * (1 - r).log()).sum(1).mean()
    torch.testing.assert_close(found, error + 0.2 * contraction(units, model.up[1].weight))
    owned = [set(phase.parameters) for phase in phases]
    assert owned[0].isdisjoint(owned[1])
    assert owned[0] | owned[1] == set(model.parameters())
    with pytest.raises(InputError, match="penalty is -1"):
        contractive_phases(model, -1, 1, 3)
    with pytest.raises(InputError, match="walk_noise is -1"):
        made(StackedContractiveAutoencoder, 4, 3, walk_noise=-1)


# --- generative stochastic network ---


def test_salt_and_pepper_at_even_odds():
    model = made(GenerativeStochasticNetwork, 4, 5, salt_and_pepper=0.4)
    found = model.corrupt(torch.full((200, 500), 0.5), Noise(0))
    assert [round(float((found == value).float().mean()), 2) for value in (0, 0.5, 1)] == [0.2, 0.6, 0.2]


def test_odd_layers_are_updated_first_and_see_both_neighbours():
    model = made(GenerativeStochasticNetwork, 4, 5, 3, hidden_noise=0.5)
    rows, below, above = Noise(0, 1).uniform(7, 4), Noise(0, 2).normal(7, 5), Noise(0, 3).normal(7, 3)
    logits, (first, second) = model.walk(rows, [below, above], Noise(0, 4))
    w, v = (layer.weight for layer in model.up)
    noise = Noise(0, 4)
    h = torch.tanh(rows @ w.T + model.up[0].bias + above @ v)
    torch.testing.assert_close(first, h)
    torch.testing.assert_close(logits, h @ w + model.down[0])
    before, after = noise.normal(7, 3), noise.normal(7, 3)
    torch.testing.assert_close(second, torch.tanh(h @ v.T + model.up[1].bias + 0.5 * before) + 0.5 * after)
    assert len(model.down) == 1
    with pytest.raises(InputError, match=r"hidden_noise are 2 and 0\.5"):
        made(GenerativeStochasticNetwork, 4, 5, salt_and_pepper=2, hidden_noise=0.5)


def test_walkback_asks_for_the_first_row_at_every_step():
    model, given, noise = made(GenerativeStochasticNetwork, 4, 5, 3), batch(), Noise(0, 4)
    (phase,) = walkback_phases(model, 3)
    found = phase.loss(given)
    x, hidden, errors = given.rows, [torch.zeros(7, 5), torch.zeros(7, 3)], []
    for _ in range(3):
        logits, hidden = model.walk(model.corrupt(x, noise), hidden, noise)
        p = torch.sigmoid(logits)
        errors.append(-(given.rows * p.log() + (1 - given.rows) * (1 - p).log()).sum(1).mean())
        x = (noise.uniform(7, 4) < p).float()
    torch.testing.assert_close(found, sum(errors) / 3)
    with pytest.raises(InputError, match="walkbacks is 0"):
        walkback_phases(model, 0)


# --- on digits ---

FAST = [f"training.layer{k}={{ optimizer = 'adam', learning_rate = 0.005 }}" for k in (1, 2)]


@pytest.mark.parametrize(
    ("name", "changes", "bound"),
    [  # images that are all alike: -7, pixels drawn one by one: -12, training rows: 26.9
        ("dbn", ["training.pretraining=20", "training.batch_size=20"], 14),  # 17.0
        (  # 15.0; without contraction -7.6, without noise 5.6
            "cae",
            ["training.pretraining=30", "model.contraction=0.1", "model.walk_noise=1.0", *FAST],
            11,
        ),
        (  # 20.0
            "gsn",
            [
                *("model.walkbacks=3", "model.salt_and_pepper=0.2", "model.encoder.hidden_noise=0.5"),
                "training.walkback.learning_rate=0.005",
            ],
            17,
        ),
    ],
)
def test_samples_of_digits(tmp_path, name, changes, bound):
    recipe = read_recipe(f"table1-mnist-{name}", [*TINY, *changes], "digits")
    run = train(recipe, run=tmp_path / "run", device="cpu")
    data = run.load_data()
    rows = [split.rows.reshape(len(split), -1) for split in (data.validation, data.test)]
    samples = sampler(run)(0, 1000)
    assert torch.equal(samples, sampler(run)(0, 1000))
    found = parzen_log_likelihood(samples, *rows, progress=False)
    assert found.log_likelihood_nats > bound
    assert run.sample(3).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("dbn", ["model.output=linear"], r"model\.output is 'linear'; method 'dbn' expects 'sigmoid'"),
        ("cae", ["model.label.categories=10"], r"method 'cae' has no latents; expected neither"),
        ("gsn", ["model.encoder.hidden=[]"], r"expected model\.encoder\.hidden alone, 1 or more"),
        ("gsn", ["model.contraction=0.3"], r"model\.contraction does not fit method 'gsn'; expected it with: cae"),
        ("vae", ["model.chain.burn_in=3"], r"model\.chain does not fit method 'vae'; expected it with: dbn, cae, gsn"),
        ("vae", ["model.perplexity=3"], r"model\.perplexity does not fit method 'vae'; expected it with: tsne"),
    ],
)
def test_settings_of_others_are_refused(name, changes, message):
    with pytest.raises(InputError, match=message):
        read_recipe(f"table1-mnist-{name}", changes)
