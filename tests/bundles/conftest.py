"""Fixtures of the bundle tests."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope='session')
def _one_thread() -> Iterator[None]:
    """Networks of a few hundred weights only lose time on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
