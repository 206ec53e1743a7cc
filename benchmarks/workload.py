"""The one synthetic mesh that everything is timed on.

Per service: one ServiceEntry (60 % DNS, 30 % STATIC with 3-8 endpoints over 3 regions x 2 zones, 10 % NONE; 5 % wildcard
hosts; 40 % with addresses); 30 % have a VirtualService (3 routes) and a DestinationRule (2 subsets, locality failover,
outlier detection, connection pool). 10,000 services are 16,000 objects, 9.46 MB of YAML and 28,003 clusters.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

PORTS = (80, 443)
_REGIONS = ("us-west", "us-east", "eu-west")
_KINDS = ("NONE", "DNS", "DNS", "STATIC", "DNS", "STATIC", "DNS", "STATIC", "DNS", "DNS")
_API = "apiVersion: networking.istio.io/v1\n"


def host(number: int) -> str:
    """The host that service `number` declares; 5 % are wildcards."""
    name = f"svc-{number}.team-{number % 97}.example.com"
    return f"*.{name}" if number % 20 == 7 else name


def asked(number: int) -> str:
    """A name that a request to service `number` carries."""
    return host(number).replace("*", "any")


def resolution(number: int) -> str:
    return "NONE" if number % 20 == 7 else _KINDS[(number + 1) % 10]


def service_entry(number: int) -> str:
    """One ServiceEntry as YAML."""
    kind = resolution(number)
    high, low = (number >> 8) & 255, number & 255
    addresses = f"  addresses:\n  - 10.{(number >> 16) & 255}.{high}.{low}\n" if number % 5 < 2 else ""
    endpoints = "".join(_endpoint(number, k) for k in range(3 + number % 6)) if kind == "STATIC" else ""
    return (
        f"{_API}kind: ServiceEntry\nmetadata:\n  name: svc-{number}\n  namespace: ns-{number % 50}\nspec:\n"
        f'  hosts:\n  - "{host(number)}"\n{addresses}'
        "  ports:\n  - number: 80\n    name: http\n    protocol: HTTP\n  - number: 443\n    name: https\n    protocol: TLS\n"
        f"  location: MESH_EXTERNAL\n  resolution: {kind}\n" + ("  endpoints:\n" + endpoints if endpoints else "")
    )


def _endpoint(number: int, k: int, octet: int = 100) -> str:
    region = _REGIONS[k % 3]
    return (
        f"  - address: 10.{octet + k}.{(number >> 8) & 255}.{number & 255}\n    locality: {region}/{region}-{'ab'[k % 2]}\n"
        f"    weight: {1 + k}\n    labels:\n      version: v{1 + k % 2}\n"
    )


def virtual_service(number: int, timeout: str = "10s") -> str:
    """One VirtualService as YAML; timeout: of its last rule."""
    name = host(number)

    def to(subset: str, weight: int = 0) -> str:
        share = f"      weight: {weight}\n" if weight else ""
        return (
            f"    - destination:\n        host: {name}\n        port:\n          number: 80\n"
            f"        subset: {subset}\n{share}"
        )

    return (
        f"{_API}kind: VirtualService\nmetadata:\n  name: svc-{number}\n  namespace: ns-{number % 50}\nspec:\n"
        f'  hosts:\n  - "{name}"\n  http:\n'
        f"  - match:\n    - uri:\n        prefix: /api/v{number % 3}\n      method:\n        exact: GET\n    route:\n{to('v1')}"
        "    timeout: 5s\n    retries:\n      attempts: 3\n      perTryTimeout: 1s\n      retryOn: 5xx,reset\n"
        f"  - match:\n    - headers:\n        x-user-region:\n          exact: eu\n    route:\n"
        f"{to('v2', 80)}{to('v1', 20)}"
        f"  - route:\n{to('v1')}    timeout: {timeout}\n"
    )


def destination_rule(number: int) -> str:
    """One DestinationRule as YAML."""
    return (
        f"{_API}kind: DestinationRule\nmetadata:\n  name: svc-{number}\n  namespace: ns-{number % 50}\nspec:\n"
        f'  host: "{host(number)}"\n  trafficPolicy:\n    loadBalancer:\n      simple: ROUND_ROBIN\n'
        "      localityLbSetting:\n        failover:\n        - from: us-west\n          to: us-east\n"
        "    connectionPool:\n      tcp:\n        maxConnections: 100\n        connectTimeout: 2s\n"
        "    outlierDetection:\n      consecutive5xxErrors: 5\n      interval: 10s\n      baseEjectionTime: 30s\n"
        "      maxEjectionPercent: 50\n"
        "  subsets:\n  - name: v1\n    labels:\n      version: v1\n  - name: v2\n    labels:\n      version: v2\n"
    )


def documents(services: int) -> Iterator[str]:
    """All documents of a mesh."""
    for number in range(services):
        yield service_entry(number)
        if number % 10 in (2, 3, 4) and number % 20 != 7:
            yield virtual_service(number)
            yield destination_rule(number)


def text(services: int) -> str:
    """The whole mesh as one YAML file."""
    return "---\n".join(documents(services)) + "---\n"


def queries(services: int, seed: int = 1) -> list[tuple[str, int]]:
    """Every host once at each port, shuffled: the cold set. Its strings are fresh, so nobody has hashed them yet."""
    found = [(asked(number), port) for number in range(services) for port in PORTS]
    random.Random(seed).shuffle(found)
    return [(str(name.encode(), "ascii"), port) for name, port in found]


def hot(services: int, seed: int = 1) -> list[tuple[str, int]]:
    """A thousand queries that are asked again and again."""
    return queries(services, seed)[:1000]
