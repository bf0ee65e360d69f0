"""What is imported when: nothing heavy before it is needed."""

import subprocess
import sys

import pytest


def imported(program):
    """Names of the modules that a fresh interpreter has loaded after a program."""
    code = f"{program}\nimport sys\nprint('loaded', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        ("from aae.cli import run; run(['recipes'])", {"torch", "sklearn", "scipy", "matplotlib"}),
        ("from aae.cli import run; run(['recipes', '--json'])", {"torch", "sklearn", "scipy", "matplotlib"}),
        ("from aae.cli import run; run(['--version'])", {"torch", "numpy"}),
        ("from aae.cli import run; run(['train', '--help'])", {"torch", "numpy"}),
        ("import aae.evaluation.metrics", {"torch", "sklearn"}),
        ("import aae; aae.fit", {"sklearn", "scipy", "matplotlib", "pyarrow"}),
        ("import aae; aae.AAE", {"matplotlib", "onnxscript", "tensorboard"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(program, heavy):
    assert imported(program) & heavy == set()


def test_public_modules_have_their_public_names():
    import aae

    for module in (aae, aae.evaluation, aae.recipes):
        for name in module.__all__:
            assert getattr(module, name).__name__ == name or name.startswith("_")
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            module.nothing  # noqa: B018


def test_public_names_are_completed_in_an_interactive_session():
    import aae

    assert set(aae.__all__) <= set(dir(aae))
    assert all(hasattr(aae, name) for name in dir(aae))
