"""The same tests on both servers. `ROADSTEAD_TEST_KUBERNETES` says on which: "small" (the default) is the one of this
folder, "real" is API machinery that has to be installed (`machinery.py`)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.sources.kubernetes.cluster import Cluster, Small, small
from tests.sources.kubernetes.machinery import Real

SERVERS = tuple(os.environ.get("ROADSTEAD_TEST_KUBERNETES", "small").split(","))


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    made = Real(tmp_path_factory.mktemp("machinery"))
    with made.running():
        yield made


@pytest.fixture(params=SERVERS)
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """An empty cluster that knows our kinds."""
    if request.param == "small":
        async with small() as one:
            yield one
        return
    made: Real = request.getfixturevalue("real")
    yield made
    await made.leave()


@pytest.fixture
async def little() -> AsyncIterator[Small]:
    """The small server, whose answers can be told."""
    async with small() as one:
        yield one


@pytest.fixture(autouse=True)
def no_other_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine knows of clusters and proxies."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
