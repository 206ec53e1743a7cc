"""How a proxy takes HTTP from its callers."""

from __future__ import annotations

import pytest
from tests.compile.one_client import OneClient

from roadstead.compile.callers import callers_of
from roadstead.mesh import Node
from roadstead.mesh.callers import Callers, Http2Limits, Timeouts

CONFIG = "defaultConfig: {{{}}}".format


def callers(mesh: str = "{}", **node: object) -> Callers:
    return callers_of(OneClient("", mesh=mesh, node=Node(**node)).env)  # type: ignore[arg-type]


def test_without_settings() -> None:
    assert callers() == Callers()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("server: {value: us}", Callers(server="us")),
        ("server: {value: us, disabled: true}", Callers(keeps_server=True)),
        ("requestId: {disabled: true}", Callers(gives_ids=False)),
        ("attemptCount: {disabled: true}", Callers(counts_attempts=False)),
        ("envoyDebugHeaders: {disabled: true}", Callers(tells_of_envoy=False)),
        ("preserveHttp1HeaderCase: true", Callers(keeps_case=True)),
        ("xForwardedHost: {enabled: true}", Callers(forwards_host=True)),
        ("xForwardedPort: {enabled: true}", Callers(forwards_port=True)),
    ],
)
def test_headers(headers: str, expected: Callers) -> None:
    assert callers(CONFIG(f"proxyHeaders: {{{headers}}}")) == expected


def test_the_nodes_own_settings_stand_for_all_of_the_meshs() -> None:
    mesh = CONFIG("proxyHeaders: {requestId: {disabled: true}}")
    own = {"PROXY_CONFIG": '{"proxyHeaders": {"attemptCount": {"disabled": true}}}'}
    assert callers(mesh, metadata=own) == Callers(counts_attempts=False)
    with pytest.raises(ValueError, match="node metadata PROXY_CONFIG: "):
        callers(mesh, metadata={"PROXY_CONFIG": '{"proxyHeaders": 1}'})


def test_what_stands_in_front_concerns_routers() -> None:
    mesh = CONFIG("gatewayTopology: {numTrustedProxies: 2, forwardClientCertDetails: SANITIZE, proxyProtocol: {}}")
    assert callers(mesh) == Callers()
    told = Callers(trusted_hops=2, certificate="SANITIZE", proxy_protocol=True)
    assert callers(mesh, type="router") == told


@pytest.mark.parametrize(
    ("metadata", "idle", "http10"),
    [
        ({"IDLE_TIMEOUT": "30s"}, 30.0, False),
        ({"IDLE_TIMEOUT": "30 s"}, None, False),
        ({"HTTP10": "1"}, None, True),
        ({"HTTP10": "true"}, None, False),
    ],
)
def test_metadata(metadata: dict[str, str], idle: float | None, http10: bool) -> None:
    assert callers(metadata=metadata) == Callers(timeouts=Timeouts(idle=idle), accepts_http10=http10)


def test_the_edges_profile_fills_in_on_routers() -> None:
    mesh = CONFIG("connectionSettings: {profile: EDGE, httpIdleTimeout: 1s}")
    assert callers(mesh) == Callers(timeouts=Timeouts(idle=1.0))
    assert callers(mesh, type="router") == Callers(
        merges_slashes=True,
        escaped_slashes="UNESCAPE_AND_REDIRECT",
        underscores="REJECT_REQUEST",
        timeouts=Timeouts(idle=1.0, stream_idle=300.0, request=300.0, request_headers=60.0),
        http2=Http2Limits(100, 65536, 1048576),
        buffer_limit=32768,
    )


def test_buffers_are_limited_on_routers_only() -> None:
    mesh = CONFIG("connectionSettings: {listenerPerConnectionBufferLimitBytes: 7}")
    assert callers(mesh) == Callers()
    assert callers(mesh, type="router") == Callers(buffer_limit=7)
