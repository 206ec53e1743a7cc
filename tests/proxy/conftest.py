"""Servers for every test of the proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.clients.servers import Servers, servers


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them
