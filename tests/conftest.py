"""Both engines run every test that asks for one. `ROADSTEAD_TEST_ENGINES` says which are expected (default: both)."""

from __future__ import annotations

import os
from types import ModuleType

import pytest

from roadstead import core

ENGINES = tuple(os.environ.get("ROADSTEAD_TEST_ENGINES", "native,fallback").split(","))


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """The name of an engine under test. One that is expected and missing fails the test: it is never skipped."""
    name = str(request.param)
    try:
        core.engine(name)
    except ImportError as error:
        pytest.fail(f"the {name} engine is under test and cannot be imported: {error}")
    return name


@pytest.fixture
def engine(engine_name: str) -> ModuleType:
    """The module of an engine under test; `_core.pyi` is its contract."""
    return core.engine(engine_name)
