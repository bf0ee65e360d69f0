"""Everything a person can get wrong at the command line: status 2, one line that helps, and nothing left behind."""

import os
import re
import shlex
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aae.cli import run

SMALL = (
    "--set training.epochs=1 --set model.encoder.hidden=[8] --set model.decoder.hidden=[8] "
    "--set model.discriminator.hidden=[8] --device cpu"
)
TOML = {
    "broken.toml": "title = [",
    "alone.toml": 'title = "no data"',
    "heir.toml": 'extends = "figure2x"',
    "itself.toml": 'extends = "itself.toml"',
    "hen.toml": 'extends = "egg.toml"',
    "egg.toml": 'extends = "hen.toml"',
    "outer.toml": 'extends = "below/inner.toml"',
    "below/inner.toml": 'extends = "../outer.toml"',
    "number.toml": "extends = 3",
    "nested.toml": 'extends = "demo"\n[model.prior]\nkind = "gaussian"',
    "section.toml": 'extends = "demo"\ndata = 3',
    "folder.toml/recipe.toml": 'extends = "../heir.toml"',
    "low.toml": 'extends = "figure2a-digits"\ntraining.epochs = 0',
}
TABLES = {
    "ragged.csv": "a,b\n1,2\n3\n",
    "text.csv": "a,b\n1,2\nthree,4\n",
    "nan.csv": "a,b\n1,2\nnan,4\n",
    "missing.csv": "a,b\n1,2\n,4\n",
    "empty.csv": "",
    "names.csv": "a,b\n",
    "twice.csv": "a,a\n1,2\n",
    "notes.xlsx": "x",
}


def write_files():
    """Write good and bad files into the current folder."""
    for name, text in (TOML | TABLES).items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    Path("latin.toml").write_bytes(b'title = "\xe9"')
    Path("empty.npy").write_bytes(b"")
    rng = np.random.default_rng(0)
    rows = rng.random((60, 4), dtype=np.float32)
    three = np.arange(60) % 3
    np.save("rows.npy", rows)
    np.save("changed.npy", rows)
    np.save("flat.npy", rows[:, 0])
    np.save("few.npy", rows[:5])
    np.savez("three.npz", X=rows, y=three)
    np.savez("far.npz", X=20 * rows - 3, y=three)
    np.savez("alone.npz", X=rows, y=np.zeros(60, int))
    np.savez("signs.npz", X=rows, y=np.where(three, -1, 1))
    np.savez("nobody.npz", X=rows, y=np.full(60, -1))
    np.savez("partly.npz", X=rows, y=np.where(np.arange(60) % 2, three, -1))
    np.savez("halves.npz", X=rows, y=three + 0.5)
    np.savez("below.npz", X=rows, y=three - 2)
    np.savez("short.npz", X=rows, y=three[:50])
    np.savez("keys.npz", data=rows)
    np.savez("rare.npz", X=rows, y=np.where(np.arange(60) == 7, 2, three % 2))
    np.savez("unseen.npz", x_train=rows, y_train=three % 2, x_test=rows, y_test=three)
    images = rng.random((6, 8, 8), dtype=np.float32)
    np.save("images.npy", images)
    np.savez("ninety.npz", X=images, y=np.arange(6) + 90)
    np.savez("some.npz", X=images, y=np.array([0, 1, -1, 3, -1, 5]))
    np.save("holes.npy", np.where(images > 0.9, np.nan, images))
    for folder, heights in (("mixed", (8, 8, 9)), ("grayscale", (8, 8, 8))):
        Path(folder).mkdir()
        for number, height in enumerate(heights):
            Image.fromarray(np.zeros((height, 8), np.uint8)).save(f"{folder}/{number}.png")
    for folder, found in (("idx", 100), ("magic", 640)):
        Path(folder).mkdir()
        header = struct.pack(">IIII", 0x803 if folder == "idx" else 0x1234, 10, 8, 8)
        Path(folder, "train-images-idx3-ubyte").write_bytes(header + bytes(found))
    Path("categories.csv").write_text("size,colour\n" + "1.5,red\n2.5,blue\n" * 30)
    Path("nothing").mkdir()
    Path("clash/demo").mkdir(parents=True)
    Path("clash/demo/notes.txt").write_text("mine")
    Path("torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def train_runs():
    """Train a run of each kind into the current folder, and damage copies of them."""

    def train(words):
        assert run(shlex.split(f"train {words} {SMALL}")) == 0

    train("demo --run runs/demo")
    train("figure2a-digits --run runs/plain")
    train("figure7a --data digits --run runs/seen")
    train("demo-supervised --run runs/network")
    train("figure2a --data rows.npy --run runs/table --set data.validation=0 --set data.test=0")
    train("figure2a --data changed.npy --run runs/changed")
    train("figure2a --data categories.csv --run runs/categories")
    np.save("changed.npy", np.load("rows.npy")[::-1])
    shutil.copytree("runs/table", "runs/labels")
    recipe = Path("runs/labels/recipe.toml")
    recipe.write_text(recipe.read_text().replace("[data]\n", '[data]\nlabels_file = "three.npy"\n'))
    np.save("three.npy", np.arange(60) % 3)
    for name in ("unfinished", "torn", "damaged", "swapped", "bare", "garbled", "without-json"):
        shutil.copytree("runs/demo", f"runs/{name}")
    Path("runs/unfinished/model.safetensors").unlink()
    weights = Path("runs/torn/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-9])
    (checkpoint,) = Path("runs/damaged/checkpoints").glob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    shutil.copy("runs/plain/model.safetensors", "runs/swapped/model.safetensors")
    for folder, seed, epochs, noise in (("twice", 0, 1, 0.1), ("uneven", 1, 3, 0.1), ("mixed", 1, 1, 0.2)):
        for number in (0, 1):
            shutil.copytree("runs/demo", f"runs/{folder}/seed-{number}")
        text = Path("runs/demo/recipe.toml").read_text()
        text = re.sub(r"(?m)^seed = \d+", f"seed = {seed}", re.sub(r"(?m)^epochs = \d+", f"epochs = {epochs}", text))
        text = text.replace("input_noise = 0.1", f"input_noise = {noise}")
        Path(f"runs/{folder}/seed-1/recipe.toml").write_text(text)
    Path("runs/bare/recipe.toml").unlink()
    Path("runs/garbled/run.json").write_text("{")
    Path("runs/without-json/run.json").unlink()
    assert run(["evaluate", "runs/plain", "--device", "cpu"]) == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder full of mistakes."""
    folder, before = tmp_path_factory.mktemp("place"), Path.cwd()
    os.chdir(folder)
    try:
        write_files()
        train_runs()
    finally:
        os.chdir(before)
    return folder


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def check(place, monkeypatch, capfd, words, expected):
    monkeypatch.chdir(place)
    before = contents(place)
    capfd.readouterr()
    status = run(shlex.split(words))
    out, err = capfd.readouterr()
    assert status == 2, err
    assert out == ""
    assert re.fullmatch(f"aae: .*{expected}.*\n", err), err  # a dot matches no newline: exactly one line
    assert contents(place) == before


RECIPES = {
    # the recipe
    "unknown recipe": ("figure2-a", r"unknown recipe 'figure2-a'; did you mean 'figure2a'\?"),
    "unlike any recipe": ("zzz", r"unknown recipe 'zzz'; expected one of: anomalies, classify, .*table2-nn-all"),
    "no such file": ("absent.toml", r"absent\.toml: no such recipe file"),
    "a folder": ("folder.toml", r"folder\.toml: no such recipe file"),
    "not TOML": ("broken.toml", r"recipe broken\.toml: not valid TOML: .*"),
    "not UTF-8": ("latin.toml", r"latin\.toml: not text in UTF-8 \(.* at byte 9\)"),
    "missing key": ("alone.toml", r"recipe alone\.toml: key 'data' is missing"),
    "extends unknown": ("heir.toml", r"unknown recipe 'figure2x'; did you mean 'figure2\w'\?"),
    "extends unknown, from a folder": ("folder.toml/recipe.toml", r"unknown recipe 'figure2x'"),
    "extends itself": ("itself.toml", r"recipe itself\.toml: extends itself through 'itself\.toml'"),
    "extends in a circle": ("hen.toml", r"recipe egg\.toml: extends itself through 'hen\.toml'"),
    "extends in a circle of folders": (
        "outer.toml",
        r"recipe below/inner\.toml: extends itself through 'below/\.\./outer\.toml'",
    ),
    "no source": ("demo --set data.source=", r"data\.source is ''; expected a named data set or a path"),
    "seeds by a key": (
        "demo --set seeds=3",
        r"--set seeds=3: found the seeds of .*; expected --seeds to train several",
    ),
    "extends a number": ("number.toml", r"recipe number\.toml: extends is 3; expected the name of a recipe"),
    "misplaced section": (
        "nested.toml",
        r"nested\.toml: unknown key 'model\.prior'; did you mean 'model\.style\.prior'\?",
    ),
    "section is a number": ("section.toml", r"section\.toml: data is 3; expected a table of keys"),
    "true for a number": (
        "demo --set training.epochs=true",
        r"training has epochs = true; expected a number",
    ),
    "warm start of another method": (
        "figure2c-digits --set training.moment_matching_epochs=1",
        r"training\.moment_matching_epochs is 1; method 'vae' has no such epochs, expected 0",
    ),
    "batches of one row, batch normalization": (
        "table3-16 --data three.npz --set training.batch_size=1",
        r"batch normalization takes 2 rows or more; found training\.batch_size 1 for \d+ training rows",
    ),
    "one training row, batch normalization": (
        "table3-16 --data three.npz --set data.validation=0 --set data.test=0.98",
        r"batch normalization takes 2 rows or more; found training\.batch_size 100 for 1 training rows",
    ),
    "labelled batches of one row, batch normalization": (
        "table2-svhn-1000 --data three.npz --set training.labelled_batch_size=1",
        r"takes 2 labelled rows or more; found training\.labelled_batch_size 1 for \d+ labelled rows",
    ),
    "one class": (
        "demo --data alone.npz",
        r"alone\.npz: all labels are '0'; expected two classes or more$",
    ),
    "labels that mark the other class": (
        "demo --data signs.npz",
        r"signs\.npz: all labels are '1'; expected two classes or more \(-1 is read as no label: of two classes",
    ),
    "bad value in a file": ("low.toml", r"low\.toml: training\.epochs is 0; expected .*greater than or equal to 1"),
}
SETTINGS = {
    # latents that do not fit together
    "heads without labels": ("model.cluster_heads={}", r"model\.cluster_heads need method 'aae', \[model\.label\] and"),
    "heads of another size": (
        "model={cluster_heads = {fixed = 10.0}, label = {categories = 4}, style = {dim = 2, prior = {kind = 'gaussian'}}}",
        r"model\.style\.dim is 2; heads fixed to a multiple of the identity expect 4, one for each category",
    ),
    "negative distance": (
        "model.cluster_heads.margin=-1",
        r"model\.cluster_heads\.margin is -1; .*greater than or equal to 0",
    ),
    "no density": (
        "model={discriminator = {add_log_prior = true}, style = {dim = 2, prior = {kind = 'swiss-roll'}}}",
        r"add_log_prior needs a style with a prior whose density is known everywhere, expected 'gaussian' or",
    ),
    "nothing but a warm start": (
        "training={epochs = 2, moment_matching_epochs = 2}",
        r"training\.moment_matching_epochs is 2; expected less than training\.epochs, 2",
    ),
    "count with a point": (
        "data.validation=1.0",
        r"data\.validation is 1\.0; expected a valid integer or .*less than 1",
    ),
    "negative warm start": (
        "training.moment_matching_epochs=-1",
        r"training\.moment_matching_epochs is -1; .*greater than or equal to 0",
    ),
    # keys
    "unknown section": ("trainin.epochs=3", r"unknown key 'trainin'; did you mean 'training'\?"),
    "a key of another section": ("model.batch_size=3", r"'model\.batch_size'; did you mean 'training\.batch_size'\?$"),
    "a misspelt key of a section": ("batch_sise=3", r"'batch_sise'; did you mean 'training\.batch_size'\?"),
    "unlike any section": ("zzz=3", r"unknown key 'zzz'; expected one of: cost, data, .*training"),
    "unknown key": ("training.batchsize=3", r"unknown key 'training\.batchsize'; did you mean 'batch_size'\?"),
    "name of an estimator": (
        "model.latent_dim=3",
        r"unknown key 'model\.latent_dim'; did you mean 'model\.style\.dim'\?",
    ),
    "hyphen": ("training.batch-size=3", r"unknown key 'training\.batch-size'; did you mean 'batch_size'\?"),
    "unknown key of a network": ("model.encoder.hiden=[3]", r"unknown key 'model\.encoder\.hiden'; .*'hidden'"),
    "unknown key of an optimizer": (
        "training.generator.optimiser=adam",
        r"'training\.generator\.optimiser'; .*'optimizer'",
    ),
    "unknown key of a prior": (
        "model.style.prior.stdd=3",
        r"unknown key 'model\.style\.prior\.stdd'; did you mean 'std'\?",
    ),
    "key of another prior": (
        "model.style.prior.radius=3",
        r"unknown key 'model\.style\.prior\.radius'; expected one of: kind, slices, std$",
    ),
    "no equals sign": ("training.epochs", r"setting 'training\.epochs': expected section\.key=value"),
    "no key": ("=3", r"setting '=3': expected section\.key=value"),
    "key below a value": ("training.epochs.x=3", r"training\.epochs\.x = 3: 'epochs' is a value, not a section"),
    # values
    "out of range": ("training.epochs=0", r"training\.epochs is 0; expected a value greater than or equal to 1"),
    "not a whole number": ("training.epochs=2.5", r"training\.epochs is 2\.5; expected a valid integer"),
    "a word": ("training.epochs=many", r"training\.epochs is 'many'; expected a valid integer"),
    "not a list": ("model.encoder.hidden=8", r"model\.encoder\.hidden is 8; expected a valid list"),
    "bad item": ("model.encoder.hidden=[8,0]", r"model\.encoder\.hidden\.1 is 0; expected .* or equal to 1"),
    "not a section": ("model.style.prior=gaussian", r"model\.style\.prior is 'gaussian'; expected a table of keys"),
    "no kind": ("model.style.prior={std=1}", r"key 'model\.style\.prior\.kind' is missing"),
    "unknown kind": (
        "model.style.prior.kind=gausian",
        r"model\.style\.prior\.kind is 'gausian'; expected one of: 'gaussian', 'gaussian-mixture', 'swiss-roll'",
    ),
    "negative in a union": ("model.style.prior.std=-1", r"model\.style\.prior\.std is -1; expected .*greater than 0"),
    "word in a union": ("model.style.prior.std=wide", r"model\.style\.prior\.std is 'wide'; expected a valid number"),
    "not finite": (
        'model.style.prior={kind="uniform",high=inf}',
        r"model\.style\.prior\.high is inf; expected a finite number",
    ),
    "empty range": ('model.style.prior={kind="uniform",low=2}', r"uniform prior has low 2\.0 and high 1\.0; expected"),
    "number or word": ("data.labels=some", r"data\.labels is 'some'; expected a valid integer or 'all'"),
    "no labels at all": ("data.labels=0", r"data\.labels is 0; expected .*greater than or equal to 1 or 'all'"),
    "count or share": ("data.validation=1.5", r"data\.validation is 1\.5; expected a valid integer or .*less than 1"),
    "one of few": (
        "training.precision=fp16",
        r"training\.precision is 'fp16'; expected 'auto', 'fp32', 'bf16' or 'tf32'",
    ),
    "activation": (
        "model.decoder.activation=rlu",
        r"model\.decoder\.activation is 'rlu'; expected one of: relu, .*tanh",
    ),
    "negative rate": (
        "training.generator.learning_rate=-1",
        r"training\.generator\.learning_rate is -1; expected .*greater than 0",
    ),
    "negative rate in a schedule": (
        "training.generator.learning_rate={0=-1.0}",
        r"training\.generator\.learning_rate\.0 is -1\.0; expected",
    ),
    "late schedule": (
        "training.generator.learning_rate={1=0.1}",
        r"training\.generator\.learning_rate schedule has epochs \[1\]; expected one learning rate from epoch 0 on",
    ),
    # settings that do not go together
    "mixture in three dimensions": (
        'model.style={dim=3,prior={kind="gaussian-mixture"}}',
        r"model\.style\.dim is 3; a gaussian-mixture prior expects 2",
    ),
    "VAE without a Gaussian": (
        "model.method=vae",
        r"model\.style\.posterior is 'deterministic'; method 'vae' expects 'gaussian'",
    ),
    "VAE with a swiss roll": (
        'model={method="vae",style={dim=2,posterior="gaussian",prior={kind="swiss-roll"}}}',
        r"model\.style\.prior\.kind is 'swiss-roll'; method 'vae' .* expected 'gaussian' or 'gaussian-mixture'",
    ),
    "VAE with a cube": (
        'model={method="vae",style={dim=2,posterior="gaussian",prior={kind="uniform"}}}',
        r"model\.style\.prior\.kind is 'uniform'; method 'vae' .* expected 'gaussian' or 'gaussian-mixture'",
    ),
    "network without a label": ("model.method=network", r"method 'network' needs exactly the latent \[model\.label\]"),
    "label-informed without labels": (
        "model.style.label_informed=true",
        r"data\.labels is not set; this model needs labels, expected a number or 'all'",
    ),
    "tf32 on a processor": (
        "training.precision=tf32",
        r"precision 'tf32' needs a CUDA device; expected auto, fp32 or bf16",
    ),
}
DATA = {
    "misspelt name": ("mnits", "", r"unknown data set 'mnits'; did you mean 'mnist'\?.*no file or folder is called so"),
    "missing path": ("data/rows.csv", "", r"unknown data set 'data/rows\.csv'; expected one of: digits, .*mnist"),
    "short IDX": ("idx", "", r"idx/train-images-idx3-ubyte: found 116 bytes, expected 656 for the sizes \(10, 8, 8\)"),
    "not IDX": ("magic", "", r"magic/train-images-idx3-ubyte: found magic number 0x00001234, expected .*0x00000803"),
    "NaN": ("nan.csv", "", r"nan\.csv: row 1, column 'a' \(counted from 0\): found nan, expected a finite number"),
    "missing cell": (
        "missing.csv",
        "",
        r"missing\.csv: column 'a': found a missing value in row 1 .*, expected a number",
    ),
    "ragged": (
        "ragged.csv",
        "",
        r"ragged\.csv: found .*line 3: Expected 2 columns, got 1.*, expected a table of numbers",
    ),
    "text": ("text.csv", "", r"text\.csv: line 3, column 'a': found 'three', expected a number, with commas"),
    "empty table": ("empty.csv", "", r"empty\.csv: found no columns in its first line, expected their names"),
    "no rows": ("names.csv", "", r"names\.csv: found no rows, expected at least one"),
    "same name": ("twice.csv", "", r"twice\.csv: found 2 columns called 'a', expected each name once"),
    "empty array": ("empty.npy", "", r"empty\.npy: found a file that cannot be read .*, expected a \.npy array"),
    "one dimension": ("flat.npy", "", r"flat\.npy: found 1 dimensions \(60,\), expected \(rows, columns\)"),
    "suffix": ("notes.xlsx", "", r"notes\.xlsx: found the suffix '\.xlsx', expected \.npy, \.npz, \.csv, .*\.parquet"),
    "sizes": ("mixed", "", r"mixed/2\.png: found an image of 8x9 pixels, expected 8x8 pixels like 0\.png"),
    "no images": ("nothing", "", r"nothing: found a folder without images or tables, expected .*\.png"),
    "torn image": ("torn.png", "", r"torn\.png: found a file that cannot be read .*, expected an image"),
    "other keys": ("keys.npz", "", r"keys\.npz: found the keys data; expected x_train, or one of X, x, images, rows"),
    "labels of fractions": ("halves.npz", "", r"halves\.npz.*: label of row 0 .*: found 0\.5, expected a whole number"),
    "labels below": ("below.npz", "", r"below\.npz.*: found -2, expected a class number, or -1 for unlabelled"),
    "labels too few": (
        "short.npz",
        "",
        r"short\.npz.*: found labels of shape \(50,\), expected one for each of 60 rows",
    ),
    "unknown column": ("text.csv", "data.label_column=c", r"text\.csv: unknown column 'c'; expected one of: a, b"),
    "column of an array": (
        "three.npz",
        "data.label_column=c",
        r"label_column: found .* for .*three\.npz, expected it only",
    ),
    "no label file": (
        "rows.npy",
        "data.labels_file=no.csv",
        r"labels: found no file 'no\.csv', expected \.npy, \.csv, ",
    ),
    "all held out": (
        "rows.npy",
        "data.validation=500",
        r"validation: found 500 of 48 rows \(rows\.npy\), expected to leave",
    ),
    "outside of a sigmoid": (
        "far.npz",
        "data.scaling=none",
        r"data\.scaling is 'none' and leaves values outside \[0, 1\], .*'sigmoid'.*; expected .*'minmax' or .*'linear'",
    ),
    "standardized for a sigmoid": ("far.npz", "data.scaling=standardize", r"data\.scaling is 'standardize' and leaves"),
    "no labels": ("rows.npy", "data.labels=9", r"rows\.npy: no row has a label; data\.labels 9 expects some"),
    "only unlabelled": ("nobody.npz", "data.labels=9", r"nobody\.npz: no row has a label; data\.labels 9 expects some"),
    "fewer labels than classes": ("three.npz", "data.labels=2", r"data\.labels: found 2, .*; expected at least 3"),
    "more labels than rows": (
        "three.npz",
        "data.labels=99",
        r"data\.labels: found 99, expected at most the 41 that have",
    ),
    "rare class": ("rare.npz", "data.labels=6", r"data\.labels: found 1 of class 2, expected at least 2"),
    "class only in the test rows": (
        "unseen.npz",
        "data.labels=all",
        r"unseen\.npz: no training row has the label '2'; expected some of every class \(\d+ that have it",
    ),
    "more classes than categories": (
        "three.npz",
        "data.labels=all --set model.label.categories=2",
        r"model\.label\.categories is 2; the data has 3 classes, expected at least as many",
    ),
    "probabilities of other categories": (
        "three.npz",
        "data.labels=all --set model.label.probabilities=[0.5,0.5]",
        r"model\.label\.probabilities are 2; expected 3, one for each category",
    ),
    "clusters of no number": (
        "rows.npy",
        "model.label={}",
        r"the data has no labels; expected labels, or model\.label\.categories for the clusters",
    ),
    "fewer components than classes": (
        "three.npz",
        'data.labels=all --set model.style.label_informed=true --set model.style.prior={kind="gaussian-mixture",components=2}',
        r"model\.style\.prior\.components is 2; expected one for each of 3 classes",
    ),
    "label-informed on no labels": (
        "rows.npy",
        "data.labels=all --set model.style.label_informed=true",
        r"rows\.npy: no row has a label; data\.labels 'all' expects some",
    ),
    "decoder on no labels": ("rows.npy", "model.decoder_sees_label=true", r"data\.labels is not set; this model needs"),
    "decoder on some labels": (
        "partly.npz",
        "data.labels=all --set model.decoder_sees_label=true",
        r"partly\.npz: 21 training rows have no label; a decoder that sees the label .* expects a label for every row",
    ),
    "decoder on a subset": (
        "three.npz",
        "data.labels=9 --set model.decoder_sees_label=true",
        r"data\.labels is 9; a decoder that sees the label \(section 4\) expects 'all'",
    ),
}
COMMANDS = {
    # where a run goes
    "setting of a Parzen window": (
        "bench parzen --set training.epochs=3",
        r"--set training\.epochs=3: a Parzen window has no recipe; expected none",
    ),
    "existing run": (
        f"train demo --run runs/demo {SMALL}",
        r"runs/demo: already exists; expected a new run folder, or --resume \(resume=True in Python\) to go on",
    ),
    "existing folder": (f"train demo --run grayscale {SMALL}", r"grayscale: already exists; expected a new run folder"),
    "existing seeds": (
        f"train demo --seeds 2 --run grayscale {SMALL}",
        r"grayscale: already exists; expected a new run folder",
    ),
    "below a file": (
        f"train demo --run text.csv/run {SMALL}",
        r"text\.csv/run: cannot write the run folder \(Not a dir",
    ),
    "seeds below a file": (
        f"train demo --seeds 2 --run text.csv/run {SMALL}",
        r"text\.csv/run.*: cannot write the run folder",
    ),
    # --resume
    "resume one as many": (
        f"train demo --resume --seeds 2 --run runs/demo {SMALL}",
        r"runs/demo: no run of several seeds to go on with; expected folders seed-0, seed-1, \.\.\.",
    ),
    "resume something else": (
        f"train demo --resume --run grayscale {SMALL}",
        r"grayscale: not a run folder \(it has no recipe\.toml\)",
    ),
    "resume another recipe": (
        f"train figure2a-digits --resume --run runs/demo {SMALL}",
        r"runs/demo: cannot resume with another recipe; data\.labels is None, the run has 50",
    ),
    "resume with another network": (
        f"train demo --resume --run runs/demo {SMALL} --set model.encoder.hidden=[9]",
        r"runs/demo: cannot resume with another recipe; model\.encoder\.hidden is \[9\], the run has \[8\]",
    ),
    "resume with another latent": (
        f"train figure2a-digits --resume --run runs/plain {SMALL} --set model.label={{}}",
        r"runs/plain: cannot resume with another recipe; model\.label\.init_scale is 1\.0, the run has None",
    ),
    "resume on another set": (
        f"train demo --resume --run runs/demo --data three.npz {SMALL}",
        r"runs/demo: cannot resume with another recipe; data\.source is '.*three\.npz', the run has 'digits'",
    ),
    "resume on changed data": (
        f"train figure2a --data changed.npy --resume --run runs/changed {SMALL}",
        r"runs/changed: cannot resume on other data; its fingerprint is \w{16}, the run has \w{16}",
    ),
    "resume from a torn checkpoint": (
        f"train demo --resume --run runs/damaged {SMALL} --set training.epochs=2",
        r"runs/damaged/checkpoints/.*\.safetensors: damaged checkpoint; found \d+ bytes, expected \d+",
    ),
    # a run that cannot be used
    "no run": ("evaluate runs/new", r"runs/new: no such run folder"),
    "not a run": ("evaluate grayscale", r"grayscale: not a run folder \(it has no recipe\.toml\)"),
    "runs/ itself": ("figure runs", r"runs: not a run folder \(it has no recipe\.toml\)"),
    "no recipe": ("evaluate runs/bare", r"runs/bare: not a run folder \(it has no recipe\.toml\)"),
    "unfinished": (
        "evaluate runs/unfinished",
        r"runs/unfinished: the run is not finished \(no model.*\); expected one that is",
    ),
    "torn weights": ("evaluate runs/torn", r"runs/torn/model\.safetensors: not a readable safetensors file"),
    "weights of another": (
        "evaluate runs/swapped",
        r"runs/swapped/model\.safetensors: weights do not fit .*; expected .*",
    ),
    "garbled facts": ("evaluate runs/garbled", r"runs/garbled/run\.json: not valid JSON"),
    "no facts": (
        "evaluate runs/without-json",
        r"runs/without-json/run\.json: no such file; expected that of a finished run",
    ),
    # evaluate, figure
    "no test rows": ("evaluate runs/table", r"rows\.npy: has no test split; expected data\.test larger than 0"),
    "no validation rows": ("evaluate runs/table --split validation", r"rows\.npy: has no validation split; expected"),
    "training rows": ("evaluate runs/demo --split train", r"'--split': 'train' is not one of 'test', 'validation'"),
    "record below a file": ("evaluate runs/plain --record text.csv/results", r"text\.csv/results: Not a directory"),
    "figures into a file": ("figure runs/demo -o text.csv", r"text\.csv: cannot make the folder \(File exists\)"),
    # predict, encode, reconstruct
    "no such input": ("encode runs/demo new.npy -o z.npz", r"new\.npy: found no such file or folder, expected \.npy"),
    "other shape": ("encode runs/demo rows.npy -o z.npz", r"rows\.npy: found rows of shape \(4,\), expected \(8, 8\)"),
    "input with holes": (
        "encode runs/demo holes.npy -o z.npz",
        r"holes\.npy: row 0, pixel .*: found nan, expected a finite",
    ),
    "input of bytes": (
        "encode runs/demo grayscale -o z.npz",
        r"grayscale: found images of 8 bits, 0 to 255; the run expects float32",
    ),
    "new class": ("reconstruct runs/seen ninety.npz -o z.npz", r"ninety\.npz: unknown class '90'; did you mean '9'\?"),
    "codes of a network": (
        "encode runs/network images.npy -o z.npz",
        r"runs/network: .* no codes; expected an autoencoder",
    ),
    "two codes in one array": (
        "encode runs/demo images.npy -o z.npy",
        r"z\.npy: found 2 arrays .*, expected one; use",
    ),
    "nothing to predict": (
        "predict runs/plain images.npy -o y.csv",
        r"runs/plain: the run infers no labels; expected",
    ),
    "nothing to predict with": (
        "predict runs/seen images.npy -o y.csv",
        r"runs/seen: the run infers no labels; expected",
    ),
    "reconstruct without labels": (
        "reconstruct runs/seen images.npy -o x.npy",
        r"6 of 6 rows have no label; the decoder of this run sees the label .*, expected one for every row",
    ),
    "reconstruct with some labels": (
        "reconstruct runs/seen some.npz -o x.npy",
        r"2 of 6 rows have no label; .*expected one",
    ),
    # sample
    "unknown label": ("sample runs/demo --label ten -o x.npy", r"label is 'ten'; expected one of: 0, 1, 2, .*9"),
    "label of a table": (
        "sample runs/table --label 3 -o x.npy",
        r"label is '3'; expected .*none, the run knows no labels",
    ),
    "label of a plain model": (
        "sample runs/plain --label 3 -o x.npy",
        r"the model knows no labels, so it cannot sample a",
    ),
    "no rows at all": (
        "sample runs/demo -n 0 -o x.npy",
        r"Invalid value for '-n': .*(greater than or equal to 1|x>=1)",
    ),
    "negative seed": ("sample runs/demo --seed -1 -o x.npy", r"Invalid value for '--seed': .*(equal to 0|x>=0)"),
    # outputs
    "input as output": (
        "encode runs/demo images.npy -o runs/../images.npy",
        r"images\.npy: found the input as the output too; expected another file, as this one would be lost",
    ),
    "end as output": (
        "interpolate runs/demo images.npy --to rows.npy -o rows.npy",
        r"rows\.npy: found the input as the output too; expected another file",
    ),
    "file of the input folder as output": (
        "predict runs/demo grayscale -o runs/../grayscale/0.png",
        r"grayscale/0\.png: found a file of the input folder as the output; expected another, as this one would be lost",
    ),
    "data as output": (
        "score runs/plain images.npy --data rows.npy -o rows.npy",
        r"rows\.npy: found the input as the output too; expected another file",
    ),
    "training data as output": (
        "score runs/changed rows.npy -o changed.npy",
        r"changed\.npy: found the input as the output too; expected another file",
    ),
    "labels of the training data as output": (
        "predict runs/labels rows.npy -o three.npy",
        r"three\.npy: found the input as the output too; expected another file",
    ),
    "covariates of a run without any": (
        "sample runs/demo -n 3 -o x.npy --covariate a=b",
        r"runs/demo: was trained without covariates; expected none",
    ),
    "data as table of a report": (
        "report runs/table --data text.csv --csv text.csv",
        r"text\.csv: found the input as the output too; expected another file",
    ),
    # seeds
    "seed twice": (
        "evaluate runs/twice",
        r"runs/twice: seed-\d and seed-\d have the same training\.seed, 0; expected one run of each seed",
    ),
    "seeds of several lengths": (
        "evaluate runs/uneven",
        r"runs/uneven: seed-0 and seed-1 differ in training\.epochs, 1 and 3; expected seeds of one run",
    ),
    "seeds of several models": (
        "evaluate runs/mixed",
        r"runs/mixed: seed-0 and seed-1 differ in model\.encoder\.input_noise, 0\.1 and 0\.2; expected seeds of one run",
    ),
    "more seeds of another model": (
        f"train demo --resume --seeds 2 --run runs/uneven {SMALL} --set training.seed=5 --set model.encoder.hidden=[9]",
        r"seed-0: cannot resume with another recipe; model\.encoder\.hidden is \[9\], the run has",
    ),
    "images of a table": (
        "sample runs/categories -o x.png",
        r"x\.png: found a sheet of images, and rows of a table; expected a file of a table, such as \.csv",
    ),
    "images of plain columns": ("sample runs/table -o x.png", r"found rows of 4 plain columns, .*; expected shape"),
    "output suffix": (
        "sample runs/demo -o x.jpg",
        r"x\.jpg: found the suffix '\.jpg', expected one of \.png, \.npy, .*, or a folder",
    ),
    "no suffix": (
        "encode runs/demo images.npy -o codes",
        r"codes: found the suffix '', expected one of \.npy, \.npz",
    ),
    "no output folder": (
        "sample runs/demo -o out/x.npy",
        r"out/x\.npy: found no folder 'out' to write to, expected an exist",
    ),
    "no image folder": (
        "sample runs/demo -o out/x.png",
        r"out/x\.png: found no folder 'out' to write to, expected an exist",
    ),
    "output below a file": (
        "sample runs/demo -o text.csv/x.png",
        r"text\.csv/x\.png: found no folder 'text\.csv' to write to",
    ),
    "unknown plot": (
        "figure runs/demo --plot mapp",
        r"unknown plot .mapp.*map",
    ),
    # other commands
    "demo below a file": ("demo --run text.csv", r"text\.csv/demo: cannot write the run folder \(Not a directory\)"),
    "demo over something else": ("demo --run clash", r"clash/demo: already exists; expected a new run folder"),
    "info of nothing": ("data info mnits", r"unknown data set 'mnits'; did you mean 'mnist'\?"),
    "fetch of nothing": ("data fetch mnits", r"unknown data set 'mnits'; did you mean 'mnist'\?"),
    "bench of nothing": ("bench figure8", r"unknown recipe 'figure8'; did you mean '.*'\?"),
    # words
    "empty input": (
        "encode runs/demo '' -o x.npz",
        r"an argument is ''; expected a value, as of a variable that is set",
    ),
    "empty option": ("evaluate runs/demo --data ''", r"--data is ''; expected a value, as of a variable that is set"),
    "empty option after =": ("evaluate runs/demo --data=", r"--data is ''; expected a value, as of a variable"),
    "unknown command": ("trian demo", r"No such command 'trian'\. Did you mean 'train'\?; see aae --help"),
    "unknown data command": ("data lits", r"No such command 'lits'.*; see aae data --help"),
    "no data command": ("data", r"Missing command; see aae data --help"),
    "missing recipe": ("train", r"Missing argument 'RECIPE'; see aae train --help"),
    "missing output": ("encode runs/demo images.npy", r"Missing option '-o' / '--output'; see aae encode --help"),
    "unknown option": ("train demo --epochs 3", r"No such option: --epochs.*; see aae train --help"),
    "unknown device": (
        "train demo --device gpu",
        r"Invalid value for '--device': 'gpu' is not one of 'auto', 'cpu', 'cuda'",
    ),
    "no seeds": ("train demo --seeds 0", r"Invalid value for '--seeds': .*(greater than or equal to 1|x>=1)"),
    "superfluous word": ("recipes demo demo", r"unexpected extra argument.*\(demo\); see aae recipes --help"),
}


def table(cases):
    return [pytest.param(*case, id=name) for name, case in cases.items()]


@pytest.mark.parametrize(("recipe", "expected"), table(RECIPES))
def test_bad_recipe(place, monkeypatch, capfd, recipe, expected):
    check(place, monkeypatch, capfd, f"train {recipe} --run new --device cpu", expected)


@pytest.mark.parametrize(("setting", "expected"), table(SETTINGS))
def test_bad_setting(place, monkeypatch, capfd, setting, expected):
    words = shlex.join(["train", "figure2a-digits", "--run", "new", "--device", "cpu", "--set", setting])
    check(place, monkeypatch, capfd, words, expected)


@pytest.mark.parametrize(("source", "settings", "expected"), table(DATA))
def test_bad_data(place, monkeypatch, capfd, source, settings, expected):
    words = ["train", "figure2a-digits", "--run", "new", "--device", "cpu", "--data", source]
    for setting in settings.split(" --set ") if settings else []:
        words += ["--set", setting]
    check(place, monkeypatch, capfd, shlex.join(words), expected)


@pytest.mark.parametrize(("words", "expected"), table(COMMANDS))
def test_bad_command(place, monkeypatch, capfd, words, expected):
    check(place, monkeypatch, capfd, words, expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("words", ["train demo --run new", "evaluate runs/demo", "sample runs/demo -o x.npy"])
def test_no_such_device(place, monkeypatch, capfd, words):
    expected = r"device 'cuda' is not available on this machine; expected auto or cpu"
    check(place, monkeypatch, capfd, f"{words} --device cuda", expected)
