"""Fixtures every room's tests share."""

from collections.abc import Iterator

import pytest

from torchgeo_ext import registry


@pytest.fixture(autouse=True)
def _only_our_own_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens to be installed on this machine must not change a test."""
    monkeypatch.setenv('TORCHGEO_EXT_PLUGINS', '')


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """Forget plugins and names before and after."""
    registry.clear()
    yield
    registry.clear()
