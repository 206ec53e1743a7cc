"""How decisions spread over endpoints, clusters and mirrors: many copies of one recorded request, and its hash keys."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from roadstead import Registry
from roadstead.errors import NoHealthyEndpoint

from .replay import Recorded, decided, reached

_SLOW = 0.5


def spread(registry: Registry, case: Recorded, distribution: Recorded) -> dict[str, Counter[str]]:
    """Counts of `n` decisions one after another, by the names of the recording."""
    draws = random.Random(7)
    found: dict[str, Counter[str]] = {
        "counts": Counter(),
        "clusters": Counter(),
        "mirrors": Counter(),
        "status": Counter(),
        "slow": Counter(),
    }
    with unhealthy(registry, distribution.get("unhealthy", ())):
        for _ in range(distribution["n"]):
            decision = decided(registry, distribution["request"], draws.getrandbits(64))
            if decision.cluster is not None:
                found["clusters"][decision.cluster_name] += 1
            delay, status, grpc = decision.fault or (0.0, 0, -1)
            # The recording counted what took longer than this.
            if delay > _SLOW and distribution.get("parallel"):
                found["slow"]["slow"] += 1
            if decision.kind in ("forward", "passthrough") and not status and grpc < 0:
                try:
                    found["counts"][reached(decision.pick(), case["dns"])] += 1
                except NoHealthyEndpoint:
                    found["status"]["503"] += 1
                else:
                    found["status"]["200"] += 1
                found["mirrors"].update(name for name in decision.mirrors if registry.cluster(name) is not None)
            else:
                found["status"][str(status or decision.status or 200)] += 1
    return found


@contextmanager
def unhealthy(registry: Registry, addresses: list[str]) -> Iterator[None]:
    """These addresses are unhealthy in every cluster for a while."""
    marked = [
        (registry.endpoints(cluster.name), endpoint.address, endpoint.port)
        for cluster in registry.clusters()
        if addresses and cluster is not None
        for endpoint in cluster.endpoints
        if endpoint.address in addresses
    ]
    for door, address, port in marked:
        door.set_health(address, port, "unhealthy")
    yield
    for door, address, port in marked:
        door.set_health(address, port, "unknown")


def is_far(recorded: Counter[str], ours: Counter[str], total: int) -> bool:
    """Whether two counts of as many trials are further apart than five standard deviations."""
    for name in recorded | ours:
        one, other = recorded[name], ours[name]
        share = max(one, other, 1) / (total + 1)
        if abs(one - other) > 5 * (2 * total * share * (1 - share)) ** 0.5 + 2:
            return True
    return False


def hash_table(registry: Registry, case: Recorded, table: Recorded) -> list[tuple[str, str, str]]:
    """Keys whose endpoint differs: (key, recorded, ours)."""
    wrong = []
    for key, endpoint in table["keys"]:
        found = reached(decided(registry, _with_key(table, key), 0).pick(), case["dns"])
        if found != endpoint:
            wrong.append((key, endpoint, found))
    return wrong


def _with_key(table: Recorded, key: str) -> Recorded:
    request = dict(table["request"])
    name, headers = table["name"], list(request.get("headers", ()))
    if table["kind"] == "header":
        if name.lower() not in (":authority", "host"):
            headers.append([name, key])
    elif table["kind"] == "cookie":
        headers.append(["cookie", f"{name}={key}"])
    elif table["kind"] == "query_parameter":
        request["path"] += ("&" if "?" in request["path"] else "?") + f"{name}={key}"
    else:
        request["src"] = key
    request["headers"] = headers
    return request
