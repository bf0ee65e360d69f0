import signal

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Keep tiny matrices on one core: faster, and the same bits wherever the tests run."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _signals_as_in_a_terminal():
    """Undo what a background job (Ctrl-C ignored) and ``nohup`` (SIGHUP ignored) hand down, here and in processes below."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
