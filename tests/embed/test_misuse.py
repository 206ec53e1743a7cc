"""What a program may do wrong is told, what it does right adds up, and nothing is left behind in memory."""

from __future__ import annotations

import threading
from types import ModuleType

import pytest
from tests.core.units import published, web
from tests.embed.conftest import Build, run

from roadstead import Registry, core

GUIDE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1, ports: {http: 8080}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a.example.com
  trafficPolicy:
    connectionPool: {tcp: {connectTimeout: 3s}}
    tls: {mode: SIMPLE, sni: s.example.com, subjectAltNames: [n.example.com]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.example.com]
  http:
  - timeout: 7s
    retries: {attempts: 4, retryOn: 5xx, perTryTimeout: 2s}
    route: [{destination: {host: a.example.com}}]
"""


@pytest.mark.parametrize("sanitized", [False, True], ids=["plain", "sanitized"])
def test_misuse_in_c(program: Build, sanitized: bool) -> None:
    run(*program("misuse.c", sanitized=sanitized))


def decide(asker: object, host: bytes = b"a.example.com", port: int = 80) -> dict[str, object]:
    answer = asker.decide(False, host, port, None, None, None, None, None, None, 0, 1, [], 1)  # type: ignore[attr-defined]
    assert isinstance(answer, dict)
    return answer


def test_what_a_registry_says(asking: ModuleType) -> None:
    registry = Registry.from_text(GUIDE, backend="native")
    asker = asking.Asking(registry)
    answer = decide(asker)
    assert (answer["cluster"], answer["picks"]) == ("outbound|80||a.example.com", ["10.0.0.1:8080"])
    assert answer["timeout"] == 7.0
    assert asker.retries() == (4, "5xx", 2.0)
    assert asker.tls() == ("SIMPLE", "s.example.com", ["n.example.com"], 3.0)
    assert asker.lease(0, 503) == "10.0.0.1:8080"
    cluster = registry.cluster("outbound|80||a.example.com")
    assert cluster is not None
    assert cluster.endpoint_stats()[0]["rq_error"] == 1
    # The engine stays when the registry goes.
    del registry, cluster
    assert decide(asker)["kind"] == "forward"


@pytest.mark.parametrize("wrong", [None, 3, object(), core])
def test_other_objects_are_refused(asking: ModuleType, wrong: object) -> None:
    with pytest.raises(asking.Refused, match="expected a Registry, a View or an Engine of the native engine"):
        asking.Asking(wrong)


def test_the_fallback_is_refused(asking: ModuleType) -> None:
    with pytest.raises(asking.Refused, match="native engine"):
        asking.Asking(Registry(backend="fallback"))


def test_python_engines_are_changed_by_their_registry(asking: ModuleType) -> None:
    asker = asking.Asking(Registry(backend="native"))
    with pytest.raises(asking.Refused, match="changed by its registry"):
        asker.load(b"{}")


def test_bad_text_is_refused(asking: ModuleType) -> None:
    asker = asking.Asking(Registry(backend="native"))
    with pytest.raises(asking.Refused, match=r"request\.host is not UTF-8"):
        decide(asker, b"\xff")


def test_threads_ask_at_once_while_the_registry_changes(asking: ModuleType) -> None:
    engine = published(core.engine("native"), web("a.test", endpoints=("10.0.0.1:80", "10.0.0.2:80")))
    taken: list[float] = []
    threads = [
        threading.Thread(target=lambda: taken.append(asking.hammer(engine, b"a.test", 80, 20_000))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        builder = engine.builder()
        builder.put(web("a.test", endpoints=("10.0.0.1:80",)))
        engine.publish(builder)
    assert len(taken) == 3
