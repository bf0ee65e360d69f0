"""Sharing a run and loading it again, as a folder and through the Hugging Face Hub."""

import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from unittest import mock

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from helpers import small_networks
from safetensors.torch import load_file

import aae
from aae.cli import run as command_line
from aae.data import load
from aae.errors import InputError, InputWarning
from aae.runs import hub
from aae.runs.evaluate import evaluate
from aae.runs.recipe import read_recipe
from aae.runs.train import train

SMALL = [
    "training.epochs=1",
    "model.encoder.hidden=[8]",
    "model.decoder.hidden=[8]",
    "model.discriminator.hidden=[8]",
]
RUNS = {
    "demo": ("demo", None, []),
    "plain": ("figure2a-digits", None, ["data.labels=200", "model.style.label_informed=true"]),
    "heads": ("figure11a-digits", None, []),
    "gan": ("table1-mnist-gan", "digits", []),
    "network": ("table2-nn-100", "digits", []),
    "own": ("demo", "secret place/mine.csv", ["data.label_column=kind", "data.labels=all", "training.batch_size=10"]),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of each kind, as `name`, and shared, as `shared-name`; one of them is measured."""
    folder, before = tmp_path_factory.mktemp("sharing"), Path.cwd()
    os.chdir(folder)
    try:
        Path("secret place").mkdir()
        rng = np.random.default_rng(0)
        lines = [f"{a:.3f},{b:.3f},{'cat' if a > b else 'dog'}" for a, b in 9 * rng.random((60, 2))]
        Path("secret place/mine.csv").write_text("\n".join(["a,b,kind", *lines]))
        for name, (recipe, data, settings) in RUNS.items():
            run = train(read_recipe(recipe, [*SMALL, *settings], data), run=name, device="cpu")
            if name == "demo":
                evaluate(run)
            aae.save_pretrained(run, f"shared-{name}")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)


def rows_for(run):
    return np.random.default_rng(1).random((7, *run.shape), dtype=np.float32)


# --- there and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_shared_run_gives_the_same_bits(name, monkeypatch):
    def never(*_, **__):
        raise AssertionError("something was unpickled")

    for room, function in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(room, function, never)
    own, shared = aae.load(name, "cpu"), aae.from_pretrained(f"shared-{name}", "cpu")
    rows = rows_for(own)
    assert shared.class_names == own.class_names
    assert shared.recipe.model == own.recipe.model
    assert shared.recipe.training == own.recipe.training
    if own.model.classifies:
        assert np.array_equal(shared.predict_proba(rows), own.predict_proba(rows))
    if name != "network":
        assert np.array_equal(shared.sample(5, random_state=2), own.sample(5, random_state=2))
    if name not in ("network", "gan"):
        for latent, codes in own.encode(rows, seed=3).items():
            assert np.array_equal(shared.encode(rows, seed=3)[latent], codes)
        assert np.array_equal(shared.embed(rows), own.embed(rows))
        assert np.array_equal(shared.reconstruct(rows), own.reconstruct(rows))


def test_load_takes_a_shared_folder_and_so_does_the_command_line(tmp_path, capsys):
    own, shared = aae.load("demo", "cpu"), aae.load("shared-demo", "cpu")
    rows = rows_for(own)
    assert np.array_equal(shared.predict_proba(rows), own.predict_proba(rows))
    np.save(tmp_path / "rows.npy", rows)
    for folder in ("demo", "shared-demo"):
        output = str(tmp_path / f"{folder}.npz")
        assert command_line(["predict", folder, str(tmp_path / "rows.npy"), "-o", output, "--device", "cpu"]) == 0
    with np.load(tmp_path / "demo.npz") as a, np.load(tmp_path / "shared-demo.npz") as b:
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files)
    assert np.array_equal(aae.Run.load("shared-demo").predict_proba(rows), own.predict_proba(rows))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match=r"config\.json: model_type is 'bert'; expected 'adversarial-autoencoder'"):
        aae.load(tmp_path)


def test_what_is_changed_in_memory_is_what_is_shared(tmp_path):
    run = aae.load("network", "cpu")
    with torch.no_grad():
        run.model.head.layer.linear.bias += 1
    aae.save_pretrained(run, tmp_path / "changed")
    before, after = (load_file(f"{folder}/model.safetensors") for folder in ("network", tmp_path / "changed"))
    different = [name for name in before if not torch.equal(before[name], after[name])]
    assert different == ["model.head.layer.linear.bias"]


def test_a_shared_run_is_measured_as_its_own(tmp_path):
    shutil.copytree("shared-demo", tmp_path / "copy")
    report = evaluate(aae.from_pretrained(tmp_path / "copy", "cpu"))
    own = json.loads(Path("demo/evaluation.json").read_text())
    assert report["metrics"] == {k: v for k, v in own["metrics"].items() if k != "validation_error_percent_epoch_1"}


def test_sharing_what_was_shared_changes_nothing(tmp_path):
    aae.save_pretrained(aae.from_pretrained("shared-demo", "cpu"), tmp_path / "shared-demo")
    for file in Path("shared-demo").iterdir():
        assert (tmp_path / "shared-demo" / file.name).read_bytes() == file.read_bytes(), file.name
    assert len(list((tmp_path / "shared-demo").iterdir())) == 4


def test_nothing_tells_where_the_data_was(place):
    files = list(Path("shared-own").iterdir())
    assert sorted(file.name for file in files) == ["README.md", "config.json", "model.safetensors"]
    text = b"".join(file.read_bytes() for file in files)
    assert b"mine.csv" in text
    assert b"secret" not in text
    assert place.name.encode() not in text


def test_arguments_of_custom_modules_tell_no_folder_either(tmp_path):
    run = aae.load("plain", "cpu")
    encoder = run.recipe.model.encoder.model_copy(
        update={"arguments": {"weights": "/home/secret/w.pt", "more": ["C:\\secret\\x", "a/b", 1]}}
    )
    recipe = run.recipe.model_copy(update={"model": run.recipe.model.model_copy(update={"encoder": encoder})})
    plain = hub._without_folders(recipe.model_dump(mode="json", exclude_none=True))
    assert plain["model"]["encoder"]["arguments"] == {"weights": "w.pt", "more": ["x", "a/b", 1]}


def test_an_empty_folder_is_filled_where_it_stands(tmp_path, monkeypatch):
    run = aae.load("plain", "cpu")
    monkeypatch.chdir(tmp_path)
    aae.save_pretrained(run, ".")
    assert sorted(file.name for file in Path().iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert f'from_pretrained("{tmp_path.name}")' in Path("README.md").read_text()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aae.runs.hub.write_text", full)
    with pytest.raises(InputError, match=r"new: cannot write the folder \(No space left on device\)"):
        aae.save_pretrained(aae.load("demo", "cpu"), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


# --- the model card ----------------------------------------------------------------------------------------------------


def card(folder):
    """Read a model card: its front matter and its text."""
    _, front, text = Path(folder, "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def test_the_card_has_the_numbers_of_the_evaluation():
    _, text = card("shared-demo")
    report = json.loads(Path("demo/evaluation.json").read_text())
    assert f"On {report['rows']} test rows, after 1 epoch:" in text
    for name, value in report["metrics"].items():
        assert f"| {name} | {value:.4g} |  |" in text
    assert "This run was not measured." in card("shared-plain")[1]


def test_the_card_shows_names_as_they_are(tmp_path):
    names = ["$a_b$", "<b>x</b>", "back`tick"]
    numbers = np.random.default_rng(0).normal(size=(2, 40))
    table = pd.DataFrame({names[0]: numbers[0], names[1]: ["u", "v"] * 20, names[2]: numbers[1]})
    table.to_csv(tmp_path / "rows.csv", index=False)
    settings = [*small_networks(), "training.epochs=1"]
    with pytest.warns(InputWarning, match="read as categories"):
        train(read_recipe("cluster", settings, str(tmp_path / "rows.csv")), run=tmp_path / "run")
    aae.save_pretrained(aae.load(tmp_path / "run", "cpu"), tmp_path / "shared")
    text = card(tmp_path / "shared")[1]
    assert "columns `$a_b$` (numerical), `<b>x</b>` (categorical), `` back`tick `` (numerical)" in text


def test_the_card_puts_the_number_of_the_paper_beside_ours(tmp_path):
    shutil.copytree("network", tmp_path / "network")
    report = {"rows": 9, "split": "validation", "epochs": 1, "metrics": {"error": 12.345}, "paper": {"error": 25.8}}
    (tmp_path / "network/evaluation.json").write_text(json.dumps(report))
    aae.save_pretrained(aae.load(tmp_path / "network", "cpu"), tmp_path / "shared")
    assert "On 9 validation rows, after 1 epoch:" in card(tmp_path / "shared")[1]
    assert "| error | 12.35 | 25.8 |" in card(tmp_path / "shared")[1]


def test_the_front_matter_of_the_card(tmp_path):
    tags = ["adversarial-autoencoder", "demo"]
    assert card("shared-demo")[0] == {"library_name": "adversarial-autoencoder", "tags": tags}
    aae.save_pretrained(aae.load("demo", "cpu"), tmp_path / "licensed", license="cc-by-4.0")
    assert card(tmp_path / "licensed")[0]["license"] == "cc-by-4.0"


@pytest.mark.parametrize(("name", "shape"), [("demo", (5, 10)), ("plain", (5, 2)), ("gan", (64, 8, 8))])
def test_the_lines_of_the_card_work(name, shape):
    code = card(f"shared-{name}")[1].split("```")[1].removeprefix("python\n")
    *lines, last = code.strip().splitlines()
    assert len(lines) == 2
    known = {"rows": load("digits").test.rows[:5]}
    exec("\n".join(lines), known)
    assert eval(last, known).shape == shape


def test_the_card_of_a_table_by_kind_names_its_columns(tmp_path):
    rows = pd.DataFrame({"age": np.arange(60.0), "cell": ["T", "B", "NK"] * 20})
    with pytest.warns(InputWarning, match="read as categories: 'cell'"):
        run = aae.train("anomalies", data=rows, run=tmp_path / "run", model__encoder__hidden=[8], training__epochs=1)
    aae.save_pretrained(run, tmp_path / "shared")
    text = (tmp_path / "shared/README.md").read_text()
    assert "# rows as stored: a data frame with the columns age (numerical), cell (categorical)\n" in text


# --- bad input ---------------------------------------------------------------------------------------------------------


def configure(**changes):
    """Make a change of the configuration; None takes a key away."""

    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        config = {key: value for key, value in (config | changes).items() if value is not None}
        (folder / "config.json").write_text(json.dumps(config))

    return change


def edit(old, new):
    return lambda folder: (folder / "config.json").write_text((folder / "config.json").read_text().replace(old, new))


def without(name):
    return lambda folder: (folder / name).unlink()


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])


def swap(folder):
    shutil.copy("shared-plain/model.safetensors", folder)


DAMAGES = {
    "no config": (without("config.json"), r"copy: not a shared run \(it has no config\.json\)"),
    "no weights": (without("model.safetensors"), r"model\.safetensors: no such file; expected the weights"),
    "torn config": (write("config.json", b"{"), r"config\.json: not valid JSON"),
    "config of bytes": (write("config.json", b"\xff"), r"config\.json: not text in UTF-8"),
    "config of a list": (write("config.json", b"[]"), r"config\.json: found a list, expected a JSON object"),
    "another model": (
        write("config.json", b'{"architectures": [], "model_type": "bert"}'),
        r"config\.json: model_type is 'bert'; expected 'adversarial-autoencoder'",
    ),
    "empty config": (write("config.json", b"{}"), r"config\.json: key 'model_type' is missing"),
    "unknown key": (configure(shap=[8, 8]), r"config\.json: unknown key 'shap'; did you mean 'shape'\?"),
    "misspelled key": (
        configure(epochs=None, epoch=1),
        r"config\.json: unknown key 'epoch'; did you mean 'epochs'\?",
    ),
    "missing key": (configure(class_names=None), r"config\.json: key 'class_names' is missing"),
    "no recipe": (configure(recipe=None), r"config\.json: key 'recipe' is missing"),
    "shape of words": (configure(shape=["wide"]), r"config\.json: shape\.0 is 'wide'; expected a valid integer"),
    "rows of halves": (
        configure(rows="float16"),
        r"config\.json: rows is 'float16'; expected 'uint8', 'float32' or 'float64'",
    ),
    "recipe with an unknown key": (
        edit('"batch_size"', '"batchsize"'),
        r"config\.json: recipe: unknown key 'training\.batchsize'; did you mean 'batch_size'\?",
    ),
    "deep config": (write("config.json", b'{"recipe":' + b"[" * 100_000), r"config\.json: not valid JSON"),
    "another shape": (
        configure(shape=[9, 8]),
        r"model\.safetensors: weights do not fit the model: .* is \(64,\); expected \(72,\)",
    ),
    "torn weights": (truncate, r"model\.safetensors: not a readable safetensors file"),
    "weights of another": (swap, r"model\.safetensors: weights do not fit the model"),
    "pickle as weights": (
        write("model.safetensors", pickle.dumps({"weights": 1})),
        r"model\.safetensors: not a readable safetensors file",
    ),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder(tmp_path, damage, expected):
    shutil.copytree("shared-demo", tmp_path / "copy")
    damage(tmp_path / "copy")
    with pytest.raises(InputError, match=expected) as raised:
        aae.from_pretrained(tmp_path / "copy", "cpu")
    assert "\n" not in str(raised.value)


TARGETS = {
    "shared-demo": r"shared-demo: already exists; expected a new or an empty folder",
    "secret place/mine.csv": r"mine\.csv: cannot write the folder \(Not a directory\)",
    "secret place/mine.csv/below": r"below: cannot write the folder \((Not a directory|File exists)\)",
}


@pytest.mark.parametrize(("target", "expected"), TARGETS.items(), ids=TARGETS)
def test_a_bad_target(target, expected, place):
    before = sorted(place.rglob("*"))
    with pytest.raises(InputError, match=expected):
        aae.save_pretrained(aae.load("demo", "cpu"), target)
    assert sorted(place.rglob("*")) == before


def test_metadata_that_are_missing_in_the_run(tmp_path):
    run = aae.load("demo", "cpu")
    run.metadata = {key: value for key, value in run.metadata.items() if key != "epochs"}
    with pytest.raises(InputError, match=r"run\.json: key 'epochs' is missing"):
        aae.save_pretrained(run, tmp_path / "new")


# --- the hub -----------------------------------------------------------------------------------------------------------


def test_a_repository_is_read_from_the_cache(tmp_path, monkeypatch):
    commit, repository = "0" * 40, tmp_path / "models--someone--demo"
    shutil.copytree("shared-demo", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    run = aae.from_pretrained("someone/demo", "cpu")
    assert run.recipe == aae.load("demo", "cpu").recipe
    with pytest.raises(InputError, match=r"^someone/else: no such folder; the Hugging Face Hub refuses or cannot be"):
        aae.from_pretrained("someone/else", "cpu")


def test_a_run_is_pushed(monkeypatch):
    api = mock.create_autospec(huggingface_hub.HfApi)
    sent, removed = {}, []

    def upload(*, folder_path, delete_patterns, **_):
        sent.clear()
        removed.append(delete_patterns)
        sent.update({file.name: file.read_bytes() for file in Path(folder_path).iterdir()})
        return "https://somewhere/commit/1"

    api.return_value.upload_folder.side_effect = upload
    monkeypatch.setattr(huggingface_hub, "HfApi", api)
    run = aae.load("demo", "cpu")
    assert aae.push_to_hub(run, "someone/demo", license="mit", token="t") == "https://somewhere/commit/1"
    api.assert_called_once_with(token="t")
    api.return_value.create_repo.assert_called_once_with("someone/demo", private=None, exist_ok=True)
    for name in ("config.json", "model.safetensors", "evaluation.json"):
        assert sent.pop(name) == Path("shared-demo", name).read_bytes()
    assert b'from_pretrained("someone/demo")' in sent["README.md"]
    assert sent.keys() == {"README.md"}
    aae.push_to_hub(aae.load("heads", "cpu"), "someone/demo")
    assert "evaluation.json" not in sent  # and of the run that was there before nothing stays
    assert removed == [["anomaly_score.safetensors"], ["evaluation.json", "anomaly_score.safetensors"]]


def test_a_hub_that_refuses(monkeypatch):
    refused = mock.Mock(side_effect=huggingface_hub.errors.LocalTokenNotFoundError("Token is\nrequired"))
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refused)
    with pytest.raises(InputError, match=r"^me/demo: the Hugging Face Hub refuses .* \(Token is required\)$"):
        aae.push_to_hub(aae.load("demo", "cpu"), "me/demo")


def test_without_the_extra_folders_work_and_the_hub_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    run = aae.from_pretrained("shared-demo", "cpu")
    needs = r"the Hugging Face Hub needs the extra 'hub'; expected: pip install 'adversarial-autoencoder\[hub\]'$"
    with pytest.raises(InputError, match=rf"^someone/demo: no such folder; {needs}"):
        aae.from_pretrained("someone/demo", "cpu")
    with pytest.raises(InputError, match=rf"^someone/demo: {needs}"):
        aae.push_to_hub(run, "someone/demo")


def test_what_is_neither_folder_nor_repository():
    with pytest.raises(InputError, match=r"^/no/such/place: no such folder; expected a shared run, or a repository"):
        aae.from_pretrained("/no/such/place", "cpu")
