import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Keep tiny matrices on one core: faster, and the same bits wherever the tests run."""
    torch.set_num_threads(1)
