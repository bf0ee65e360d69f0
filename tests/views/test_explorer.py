import base64
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aae.errors import InputError
from aae.noise import Noise
from aae.recipes.build_model import build_model
from aae.recipes.model_settings import ModelSettings
from aae.scaling import Scaling, choose_scaling
from aae.views.page import Explorer, explorer
from aae.views.view import View

CHROMIUM = os.environ.get("AAE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
DIGITS = tuple("0123456789")


def make_view(
    shape: tuple[int, ...],
    classes: int = 10,
    rows: np.ndarray | None = None,
    network: nn.Module | None = None,
    **model,
) -> View:
    """Create a view of an untrained model, whose decoder has random statistics in its batch normalization."""
    generator = np.random.default_rng(0)
    settings = ModelSettings.model_validate(
        {
            "output": "sigmoid",
            "init": "he",
            "encoder": {"hidden": [20]},
            "decoder": {"hidden": [30, 20]},
            "discriminator": {"hidden": [5]},
            "style": {"dim": 2, "prior": {"kind": "gaussian"}},
        }
        | model
    )
    built = build_model(settings, shape, classes, Noise(0, 0))
    if network is not None:
        built.decoder, built._decoder_takes_noise = network, False
    for module in built.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    built.eval()
    images = len(shape) > 1
    if rows is None:
        rows = generator.integers(0, 256, (60, *shape)).astype(np.uint8)
    scaling = Scaling(torch.tensor(0.0), torch.tensor(1 / 255)) if images else choose_scaling(rows)
    dim = built.latent("style").prior.dim
    heads = None if built.cluster_heads is None else built.cluster_heads.weight.detach().numpy()
    return View(
        title="Untrained <model>",
        model=built,
        scaling=scaling,
        rows=rows,
        points=generator.normal(size=(len(rows), dim)).astype(np.float32),
        labels=np.arange(len(rows)) % classes - (np.arange(len(rows)) == 3),
        class_names=DIGITS[:classes],
        predicted=np.arange(len(rows)) % classes if built.classifies else None,
        category_names=DIGITS[:classes] if built.classifies else (),
        prior=None if heads is not None else generator.normal(size=(50, dim)).astype(np.float32),
        heads=heads,
        image_shape=shape if images else (),
        image_range=(0.0, 255.0),
    )


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open a page from the file system, with the network off; whatever the page complains about fails the test."""
    context, complaints = browser.new_context(offline=True, viewport={"width": 1200, "height": 800}), []

    def open_page(page: Explorer):
        path = page.save(tmp_path / "page.html")
        tab = context.new_page()
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: request.url.startswith("http") and complaints.append(request.url))
        tab.goto(path.as_uri())
        tab.evaluate("explorer.ready")
        return tab

    yield open_page
    context.close()
    assert not complaints


def torch_decodes(view: View, code: list[float], label: int | None = None) -> np.ndarray:
    """Decode one code (dim,) by torch, to pixels in [0, 1] or values of columns."""
    model, z = view.model, torch.tensor([code], dtype=torch.float32)
    with torch.no_grad():
        if model.cluster_heads is not None:
            row = model.decode({"label": torch.zeros(1, len(model.cluster_heads.weight)), "style": z})
        elif model.decoder_classes is not None:
            row = model.decode({"style": z}, torch.tensor([label]))
        elif model.classifies:
            row = model.decode({"label": model.label_head.label_codes(torch.tensor([label])), "style": z})
        else:
            row = model.decode({"style": z})
        stored = view.scaling.inverse(row).numpy()
    return view.images(stored).ravel() if view.image_shape else stored.ravel()


def drawn(tab, canvas: str = "decoded") -> np.ndarray:
    """Read the pixels of a canvas, in [0, 1]: (height, width, 3)."""
    width, height, data = tab.evaluate(
        f"""() => {{ const c = document.getElementById("{canvas}");
        const bytes = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        return [c.width, c.height, btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""))]; }}"""
    )
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3] / 255


def move(tab, x: float, y: float, click: bool = False) -> dict:
    """Move the pointer to a point of the plane and return the state of the page."""
    box = tab.locator("#plane").bounding_box()
    px, py = tab.evaluate(f"explorer.pixel({x}, {y})")
    tab.mouse.move(box["x"] + px, box["y"] + py)
    if click:
        tab.mouse.down()
        tab.mouse.up()
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return tab.evaluate("explorer.state()")


def test_the_pointer_decodes_what_is_under_it(show):
    view = make_view((8, 8))
    tab = show(explorer(view))
    state = move(tab, 0.7, -0.4)
    assert state["code"] == pytest.approx([0.7, -0.4], abs=0.01)
    wanted = torch_decodes(view, state["code"])
    assert np.ptp(wanted) > 0.2
    np.testing.assert_allclose(state["values"], wanted, atol=1e-2)
    np.testing.assert_allclose(drawn(tab)[..., 0].ravel(), wanted, atol=1e-2)
    far = np.square(view.points - state["code"]).sum(axis=1)
    assert state["near"] == far.argmin()
    np.testing.assert_allclose(drawn(tab, "nearest")[..., 1], view.rows[state["near"]] / 255, atol=1e-6)
    label = "no label" if view.labels[state["near"]] < 0 else f"label {view.labels[state['near']]}"
    assert tab.locator("#which").inner_text() == f"{state['near']}, {label}"
    assert tab.title() == "Untrained <model>"
    assert np.median(tab.evaluate("explorer.times")) < 50


def test_a_click_holds_the_point_and_a_drag_moves_it(show):
    tab = show(explorer(make_view((8, 8))))
    held = move(tab, 0.5, 0.5, click=True)
    assert held["held"]
    assert move(tab, -0.5, 0.2)["code"] == held["code"]
    tab.mouse.down()
    dragged = move(tab, 0.1, 0.9)
    tab.mouse.up()
    assert dragged["code"] == pytest.approx([0.1, 0.9], abs=0.01)
    tab.evaluate("explorer.ready")
    assert not move(tab, 0.1, 0.9, click=True)["held"]


def test_labels_sliders_and_principal_axes_reach_the_decoder(show):
    view = make_view(
        (8, 8),
        label={"categories": 10},
        style={"dim": 4, "prior": {"kind": "gaussian"}},
        decoder={"hidden": [30, 20], "batch_norm": "all"},
    )
    tab = show(explorer(view))
    move(tab, 0.4, 0.3, click=True)
    tab.locator("#label").fill("7")
    tab.locator("#slider-3").fill("0.5")
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    state = tab.evaluate("explorer.state()")
    assert state["sliders"] == [2, 3]
    assert state["code"] == pytest.approx([0.4, 0.3, 0, 0.5], abs=0.03)
    assert tab.locator("#label-name").inner_text() == "7"
    np.testing.assert_allclose(state["values"], torch_decodes(view, state["code"], 7), atol=1e-2)

    tab.locator("#basis").select_option("principal")
    turned = tab.evaluate("explorer.state()")
    assert turned["code"] == pytest.approx(state["code"], abs=1e-4)
    np.testing.assert_allclose(turned["values"], state["values"], atol=1e-4)
    tab.locator("#visit").click()
    there = tab.evaluate("explorer.state()")
    assert there["code"] == pytest.approx(view.points[there["near"]].tolist(), abs=1e-4)
    wanted = view.labels[there["near"]] if view.labels[there["near"]] >= 0 else view.predicted[there["near"]]
    assert there["labelIndex"] == wanted
    tab.locator("#horizontal").select_option("2")
    moved = tab.evaluate("explorer.moveTo(0.3, -0.2) || explorer.state()")
    mean = view.points.mean(axis=0)
    axes = np.linalg.eigh(np.cov((view.points - mean).T))[1][:, ::-1].T
    found = np.abs(axes @ (moved["code"] - mean))
    assert found[[2, 1]] == pytest.approx([0.3, 0.2], abs=1e-3)


def test_a_walk_goes_from_one_point_to_another(show):
    view = make_view((8, 8), decoder_sees_label=True, style={"dim": 2, "prior": {"kind": "gaussian"}})
    tab = show(explorer(view))
    move(tab, -1, 0, click=True)
    tab.locator("#set-a").click()
    move(tab, -1, 0, click=True)
    move(tab, 1, 1, click=True)
    tab.locator("#set-b").click()
    tab.locator("#step").fill("0.25")
    tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    state = tab.evaluate("explorer.state()")
    assert state["code"] == pytest.approx([-0.5, 0.25], abs=0.02)
    np.testing.assert_allclose(state["values"], torch_decodes(view, state["code"], 0), atol=1e-2)
    assert drawn(tab, "strip").shape == (8, 9 * 9 - 1, 3)


def test_colours_and_themes_change(show):
    tab = show(explorer(make_view((8, 8), label={"categories": 10})))
    assert [option.inner_text() for option in tab.locator("#colour option").all()] == [
        "label",
        "predicted label",
        "right or wrong",
    ]
    tab.locator("#colour").select_option("2")
    assert tab.locator("#legend button").all_inner_texts() == ["right", "wrong", "no label"]
    assert tab.locator("#legend span").all_inner_texts() == ["prior"]
    tab.locator("#legend button").first.click()
    assert tab.evaluate("explorer.state().near") == 3  # the one row that is not hidden
    light = drawn(tab, "scatter")[5, 5].mean()
    tab.locator("#theme").click()
    assert drawn(tab, "scatter")[5, 5].mean() < 0.3 < light


def test_a_code_of_one_dimension_is_a_line_and_a_table_has_bars(show):
    generator = np.random.default_rng(1)
    rows = np.stack([generator.normal(5, 2, 60), np.exp(3 * generator.normal(size=60)), np.ones(60)], axis=1)
    view = make_view((3,), 3, rows, output="linear", style={"dim": 1, "prior": {"kind": "gaussian"}})
    assert view.scaling.bent is not None
    tab = show(explorer(view))
    state = move(tab, 0.6, -1)
    assert state["code"] == pytest.approx([0.6], abs=0.01)
    np.testing.assert_allclose(state["values"], torch_decodes(view, state["code"]), rtol=1e-2)
    assert tab.locator("#chart").is_visible()
    assert not tab.locator("#decoded").is_visible()
    assert not tab.locator("#axes").is_visible()


def test_convolutions_run_in_the_page(show):
    view = make_view(
        (9, 7, 3),
        encoder={"channels": [4, 6], "hidden": [10]},
        decoder={"channels": [6, 4], "hidden": [10], "batch_norm": "hidden", "activation": "leaky_relu"},
    )
    page = explorer(view)
    assert page.live
    tab = show(page)
    state = move(tab, 0.3, 0.8)
    wanted = torch_decodes(view, state["code"])
    np.testing.assert_allclose(drawn(tab).ravel(), wanted, atol=1e-2)


def test_a_page_within_another_has_the_height_that_it_needs(browser):
    tab = browser.new_page(viewport={"width": 700, "height": 500})
    tab.set_content(explorer(make_view((8, 8)))._repr_html_())
    frame = tab.frames[1]
    frame.evaluate("explorer.ready")
    frame.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    height = tab.locator("iframe").bounding_box()["height"]
    assert height == pytest.approx(frame.evaluate("document.body.offsetHeight"), abs=1)
    assert 400 < height < 760
    tab.close()


def test_cluster_heads_are_shown_and_the_plane_is_that_of_the_representation(show):
    view = make_view((8, 8), label={"categories": 10}, cluster_heads={"margin": 2.0})
    tab = show(explorer(view))
    state = move(tab, 0.5, 0.1)
    np.testing.assert_allclose(state["values"], torch_decodes(view, state["code"]), atol=1e-2)
    assert not tab.locator("#label-control").is_visible()


def test_a_decoder_of_ones_own_is_shown_on_a_grid(show):
    view = make_view((8, 8), network=nn.Sequential(nn.Linear(2, 20), nn.SiLU(), nn.Linear(20, 64)))
    page = explorer(view)
    assert not page.live
    tab = show(page)
    state = move(tab, 0.2, 0.3)
    np.testing.assert_allclose(state["values"], torch_decodes(view, state["code"]), atol=0.1)
    assert "grid" in tab.locator("#summary").inner_text()


def test_many_rows_make_a_small_page():
    view = make_view((8, 8), rows=np.zeros((3000, 8, 8), np.uint8))
    page = explorer(view, rows=1000)
    assert page.rows == 1000
    assert "1000 of 3000 rows" in page.html
    assert "1000 rows" in repr(page)
    assert page._repr_html_().startswith("<iframe")


def test_what_cannot_be_shown_or_written_is_said(tmp_path):
    view = make_view((8, 8))
    with pytest.raises(InputError, match="rows is 0; expected 1 to 100000"):
        explorer(view, rows=0)
    with pytest.raises(InputError, match="there are no rows to explore"):
        explorer(view.take(np.arange(0)))
    page = explorer(view)
    with pytest.raises(InputError, match=r"page.pdf: found the ending '.pdf', expected '.html'"):
        page.save(tmp_path / "page.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/page.html: cannot be written"):
        page.save(tmp_path / "file" / "page.html")


def test_the_script_is_sound(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    script = Path(__file__).parents[2] / "src/aae/views/explorer.js"
    assert subprocess.run([node, "--check", script], check=False).returncode == 0
