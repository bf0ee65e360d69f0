"""The user guide speaks of things that exist. Needs nothing that the guide is built with."""

import ast
import functools
import importlib
import inspect
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer

import aae
from aae import recipes
from aae.cli import app
from aae.evaluation.metrics import METRICS
from aae.recipes import Recipe
from aae.reproduction import tables
from aae.reproduction.reproduce import TARGETS
from aae.runs.recipe import read_recipe
from aae.training.diagnostics import DISCRIMINATOR_WINS, LABELS_UNUSED
from aae.training.settings import OptimizerSettings, Settings, TrainingSettings

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("models/*.md"), *DOCS.glob("guide/*.md"), *DOCS.glob("api/*.md")])
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
NAMED = [*PAGES, *EXAMPLES]
FENCE = re.compile(r"^(`{3,})(\S*)([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [body for _, name, _, body in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


def words(page: Path) -> list[str]:
    """What stands in single backticks outside of blocks."""
    text = page.read_text(encoding="utf-8")
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    text = FENCE.sub("", text) if page.suffix == ".md" else comments
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def keys(model: type[Settings] = Recipe, prefix: str = "") -> set[str]:
    """All keys and sections of a recipe, by their full names."""
    found = set()
    for name, field in model.model_fields.items():
        found.add(f"{prefix}{name}")
        for inner in settings_in(field.annotation):
            found |= keys(inner, f"{prefix}{name}.")
    if issubclass(model, TrainingSettings):
        for phase in (name.removesuffix("_loss") for name in METRICS if name.endswith("_loss")):
            found |= {f"{prefix}{phase}", *keys(OptimizerSettings, f"{prefix}{phase}.")}
    return found


def settings_in(annotation: object) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [inner for argument in getattr(annotation, "__args__", ()) for inner in settings_in(argument)]


def python_name_exists(name: str) -> bool:
    """Whether a dotted name can be found from the package on."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ImportError:
            continue
        for part in parts[split:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@functools.cache
def commands() -> dict[str, set[str]]:
    """The options of every `aae` command, by its words."""

    def walk(command: object, path: str) -> dict[str, set[str]]:
        inner = getattr(command, "commands", None)
        if inner:
            return {k: v for name, sub in inner.items() for k, v in walk(sub, f"{path} {name}".strip()).items()}
        options = {o for p in command.params for o in [*p.opts, *p.secondary_opts] if o.startswith("-")}  # type: ignore[attr-defined]
        return {path: options}

    return walk(typer.main.get_command(app), "")


def check_command(line: str) -> None:
    known = commands()
    given = shlex.split(line, comments=True)[1:]
    name = " ".join(given[:2]) if " ".join(given[:2]) in known else given[0]
    assert name in known, line
    given = given[len(name.split()) :]
    for word in given:
        if word.startswith("-") and not re.fullmatch(r"-\d+", word):
            assert word in known[name], f"{line}: {word}"
    if name == "train" and given and not given[0].endswith(".toml") and given[0] != "RECIPE":
        overrides = [given[i + 1] for i, word in enumerate(given) if word == "--set"]
        recipes.read(given[0], overrides)
    if name == "reproduce" and given:
        assert given[0] in {*TARGETS, "all", "TARGET"}, line


def test_there_is_a_guide():
    assert {page.stem for page in DOCS.glob("models/*.md")} == {
        *("basic", "label-informed", "supervised", "semi-supervised", "clustering", "dimensionality-reduction"),
        *("consistency", "baselines"),
    }
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_commands_exist(page):
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip():
                line = re.sub(r"^torchrun --nproc-per-node \d+ -m -- ", "", line)
                assert line.startswith("aae "), line
                check_command(line)
    for word in words(page):
        if word.startswith("aae "):
            check_command(word)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_python_blocks_compile_and_import_what_exists(page):
    for block in blocks(page, "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aae"):
                for alias in node.names:
                    assert python_name_exists(f"{node.module}.{alias.name}"), alias.name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "aae":
                assert hasattr(aae, node.attr), f"aae.{node.attr}"
            if isinstance(node, ast.Call):
                check_parameters(node)


def check_parameters(call: ast.Call) -> None:
    """The parameters given to an estimator by name are parameters of it."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    estimator = getattr(aae, name, None) if name in aae.__all__ else None
    if hasattr(estimator, "_get_param_names"):
        for keyword in call.keywords:
            assert keyword.arg is None or keyword.arg in estimator._get_param_names(), f"{name}({keyword.arg}=...)"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_recipes_shown_can_be_read(page, tmp_path):
    for number, block in enumerate(blocks(page, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block, encoding="utf-8")
        assert tomllib.loads(block)
        recipes.read(path)


@pytest.mark.parametrize("page", NAMED, ids=lambda page: str(page.relative_to(DOCS)))
def test_names_in_backticks_exist(page):
    known_keys = keys()
    sections = {key.split(".")[0] for key in known_keys if "." in key}
    for word in words(page):
        if re.fullmatch(r"(figure|table)\d[\w-]*", word) or word.startswith("demo"):
            assert word in {*recipes.names(), *TARGETS}, word
        plain = re.sub(r"\(.*\)$|=.*$", "", word)
        dotted = plain.split(".")
        if not re.fullmatch(r"[A-Za-z_][\w]*(\.\w+)*", plain) or dotted[-1] in FILES:
            continue
        if dotted[0] == "aae" and len(dotted) > 1:
            assert python_name_exists(plain), word
        elif dotted[0] in aae.__all__ and len(dotted) > 1:
            owner = getattr(aae, dotted[0])
            attributes = {*dir(owner), *re.findall(r"^    (\w+_)\b", owner.__doc__ or "", re.MULTILINE)}
            assert dotted[1] in attributes | LATENT_ATTRIBUTES, word
        elif dotted[0] in sections and len(dotted) > 1 and not plain.startswith(("model.latent", "model.sample")):
            assert plain in known_keys or plain in MODEL_ATTRIBUTES, word


LATENT_ATTRIBUTES = {"prior", "posterior", "discriminator"}  # of `Latent`, set when it is made
MODEL_ATTRIBUTES = {"model.cluster_heads.weight"}  # of the module, not keys of a recipe
FILES = {"csv", "json", "jsonl", "npy", "npz", "parquet", "safetensors", "toml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_internal_links_resolve(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|#", target):
            continue
        path = (page.parent / target.partition("#")[0]).resolve()
        if path.parent == DOCS / "gallery":
            assert path.stem == "index" or (DOCS / "examples" / f"{path.stem}.py").exists(), target
        else:
            assert path.is_file(), target
    for target in re.findall(r"\.\./gallery/images/sphx_glr_(\w+)_\d{3}\.png", page.read_text(encoding="utf-8")):
        assert (DOCS / "examples" / f"{target}.py").exists(), target


def test_every_page_can_be_reached():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.name != "index.md":
            assert str(page.relative_to(DOCS).with_suffix("")) in index, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_tables_of_results_exist(page):
    text = page.read_text(encoding="utf-8")
    for name, recipe_pattern in re.findall(r"^```\{measured\} (\S+)\n(?::recipes: (\S+)\n)?```$", text, re.MULTILINE):
        assert name in tables.TABLES, name
        assert any(re.fullmatch(recipe_pattern or ".*", recipe) for recipe in recipes.names()), recipe_pattern
    assert text.count("```{measured}") == len(re.findall(r"^```\{measured\} \S+\n(?::recipes: \S+\n)?```$", text, re.M))


def test_tables_of_the_benchmark_name_its_tasks():
    text = (DOCS / "guide" / "comparison.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{beside\} estimators\n:task: (.+)\n```$", text, re.MULTILINE)
    assert len(shown) == text.count("```{beside}") == 5
    source = (DOCS.parent / "benchmarks" / "estimators.py").read_text(encoding="utf-8").replace("{clusters}", "10")
    for task in shown:
        assert f'"{task.replace("16", "10")}"' in source, task


def test_signs_of_collapse_are_those_of_the_code():
    text = (DOCS / "guide" / "collapsed.md").read_text(encoding="utf-8")
    assert f"above {DISCRIMINATOR_WINS}" in text
    assert f"below {LABELS_UNUSED}" in text


def test_the_example_in_plain_torch_runs():
    (block,) = (block for block in blocks(DOCS / "guide" / "custom-modules.md", "python") if "aae.fit" in block)
    names: dict[str, object] = {}
    exec(compile(block, "custom-modules.md", "exec"), names)
    new_rows, history = names["new_rows"].cpu(), names["history"]
    assert new_rows.shape == (16, 64)
    assert 0 <= new_rows.min() <= new_rows.max() <= 1
    assert history[1]["reconstruction_loss"] < history[0]["reconstruction_loss"]


def test_the_first_screen_of_the_readme_is_true(capsys):
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```\n\n```\n(.*?)\n```", readme, re.DOTALL).groups()
    assert len(code.strip().splitlines()) < 15
    exec(compile(code, "README.md", "exec"), {})
    found = capsys.readouterr().out.strip()
    share = re.compile(r"^[\d.]+(?=%)")
    assert share.sub("", found) == share.sub("", shown)
    assert abs(float(share.search(found)[0]) - float(share.search(shown)[0])) < 2  # other processors round otherwise


def test_the_example_of_a_recipe_with_custom_modules_runs(tmp_path, monkeypatch):
    page = DOCS / "guide" / "custom-modules.md"
    (module,) = (block for block in blocks(page, "python") if block.startswith("# mynet.py"))
    (recipe,) = blocks(page, "toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    Path("mynet.py").write_text(module, encoding="utf-8")
    Path("images.toml").write_text(recipe, encoding="utf-8")
    run = aae.train(read_recipe("images.toml", ["training.epochs=2"]), run="ring", device="cpu")
    del sys.modules["mynet"]
    losses = [metrics["reconstruction_loss"] for metrics in run.folder.read_metrics()]
    assert losses[1] < losses[0]
    assert [type(part).__name__ for part in (run.model.encoder, run.model.decoder)] == ["Encoder", "Decoder"]
    assert abs(np.linalg.norm(run.sample_prior(500), axis=1).mean() - 2) < 0.02


def test_the_example_of_a_phase_runs_with_fit_and_in_a_recipe(tmp_path, monkeypatch):
    page = DOCS / "guide" / "phases.md"
    module, program = blocks(page, "python")
    (recipe,) = blocks(page, "toml")
    assert len(module.strip().splitlines()) <= 30
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    Path("penalty.py").write_text(module, encoding="utf-8")
    names: dict[str, object] = {}
    exec(compile(module + program, "phases.md", "exec"), names)
    history = names["history"]
    assert abs(history[-1]["discriminator_slope"] - 1) < 0.4  # without it 1.8
    Path("smooth.toml").write_text(recipe, encoding="utf-8")
    run = aae.train(read_recipe("smooth.toml", ["training.epochs=3"]), run="smooth", device="cpu")
    del sys.modules["penalty"]
    assert 0.5 < run.folder.read_metrics()[-1]["discriminator_slope"] < 1.5
    assert recipes.read("smooth/recipe.toml").training.gradient_penalty.learning_rate == 0.001


def test_the_tree_in_contributing_is_that_of_the_package():
    text = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = FENCE.search(text, text.index("## The tree"))[4]
    listed = set(re.findall(r"^  (\w+(?:\.py|/))", tree.partition("tests/")[0], re.MULTILINE))
    package = DOCS.parent / "src" / "aae"
    found = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    found |= {path.name for path in package.glob("*.py")}
    assert listed == found - {"__main__.py", "_version.py"}


def test_versions_agree():
    assert f"version: {aae.__version__}\n" in (DOCS.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {aae.__version__}\n" in (DOCS.parent / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "REPRODUCTION.md"])
def test_links_of_the_repository_resolve(name):
    text = FENCE.sub("", (DOCS.parent / name).read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|#", target):
            assert (DOCS.parent / target.partition("#")[0]).exists(), target


def test_every_logged_metric_is_explained():
    rows = np.random.default_rng(0).random((40, 5))
    labels = np.repeat([0, 1, -1, -1], 10)
    model = aae.AAEEmbedding(epochs=1, hidden_layer_sizes=(8,), discriminator_layer_sizes=(8,), device="cpu")
    logged = set(model.fit(rows, labels).history_[0]) - {"epoch"}
    assert {"repulsion_loss", "classification_loss"} <= logged
    assert all(METRICS[name].explanation for name in logged)
    source = (DOCS.parent / "src" / "aae" / "runs" / "evaluate.py").read_text(encoding="utf-8")
    for name in set(re.findall(r'"validation_([a-z_]+)"', source)) - {"error_percent_epoch_1"}:
        assert METRICS[name].validated, name


def test_every_key_of_a_recipe_is_described():
    page = runpy.run_path(str(DOCS / "_ext" / "recipe_keys.py"))
    described = {
        f"{place}.{key}": text for place, model in page["sections"]() for key, _, _, text in page["keys"](model)
    }
    assert len(described) > 80
    assert not [key for key, text in described.items() if not text and not key.endswith(".kind")]


@pytest.mark.parametrize("name", ["AAEClusterer", "AAEEmbedding", "SemiSupervisedAAE", "SupervisedAAE"])
def test_the_reference_writes_out_every_parameter(name):
    page, estimator = runpy.run_path(str(DOCS / "_ext" / "parameters.py")), getattr(aae, name)
    lines = inspect.getdoc(estimator).splitlines()
    page["process"](None, "class", name, estimator, None, lines)
    assert "As for `AAE`" not in "\n".join(lines)
    written = page["entries"](lines)["Parameters"]
    parameters = inspect.signature(estimator).parameters
    assert set(written) == set(parameters)
    assert f"default={parameters['input_noise'].default}" in written["input_noise"][0]


def test_formulas_keep_their_letters():
    pytest.importorskip("latex2mathml")
    convert = runpy.run_path(str(DOCS / "_ext" / "mathml.py"))["mathml"]
    text = convert(r"\mathbf x \in \mathbb R, \mathcal N", "inline")
    assert 'style="font-weight: bold">x</mi>' in text
    assert "ℝ" in text
    assert "𝒩" in text


def test_reference_lists_every_public_name():
    text = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   ([A-Za-z_.]+)$", text, re.MULTILINE)
    for name in listed:
        assert python_name_exists(f"aae.{name}"), name
    assert set(aae.__all__) <= set(listed)
    assert {f"evaluation.{name}" for name in aae.evaluation.__all__} <= set(listed)
    assert ".. automodule:: aae.losses\n   :members:" in text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_compile_and_name_what_exists(example):
    tree = ast.parse(example.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aae"):
            for alias in node.names:
                assert python_name_exists(f"{node.module}.{alias.name}"), alias.name
        if isinstance(node, ast.Call):
            check_parameters(node)
