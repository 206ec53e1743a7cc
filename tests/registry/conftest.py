from __future__ import annotations

import pytest

from roadstead.registry import made


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays compiled after it was read."""
    monkeypatch.setattr(made, "RECENT", 0)
