"""Every recorded request, distribution and hash table of a real Envoy, decided alike by both engines."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from .policies import unexplained
from .recorded import CASES, Recorded, recorded, registry_of
from .replay import decided, differences, draws, expected, is_decided, outcome, split
from .spread import hash_table, is_far, spread

DEVIATIONS = {
    "refused by Envoy": "Envoy refuses a whole route table for one bad route (case 71), and a DYNAMIC_DNS cluster that speaks "
    "HTTP/2 without TLS (case 23); here what is good in them serves.",
    "not ASCII": "Envoy's inspector does not take a request line with raw bytes beyond ASCII for HTTP and passes it on; who "
    "calls `route` has a request.",
    "format strings": "Values of headers with Envoy's commands (%REQ(x)%) are handed out as written: they name facts of a "
    "proxy's connections.",
    "preflight": "Envoy answers a preflight itself and sends no copy; `mirrors` are the route's, and `cors` says that it "
    "answers.",
}
REFUSED_CLUSTERS = {"23-dynamic-dns": "outbound|8080||*.dyn.example.net"}
# The port of a table: all its hosts are refused with it.
REFUSED_TABLES = {"71-vs-redirect-direct": 80}
# Positions of refused routes among the others of their host; here those behind them move up.
REFUSED_ROUTES = {"71-vs-redirect-direct~accepted": (8, 15)}

Differences = dict[str, tuple[object, object]]


def deviation(case: str, request: Recorded, found: Differences) -> str:
    """Which of the deviations a difference is, "" for none."""
    details = request["expect"].get("details")
    cluster = found.get("cluster", (None, None))[1]
    if details == "cluster_not_found" and cluster is not None and cluster == REFUSED_CLUSTERS.get(case):
        return "refused by Envoy"
    if details == "route_not_found" and split(request["dst"])[1] == REFUSED_TABLES.get(case):
        return "refused by Envoy"
    if set(found) == {"route_index"} and case in REFUSED_ROUTES:
        recorded_at, ours = found["route_index"]
        assert isinstance(recorded_at, int)
        if ours == recorded_at - sum(refused < recorded_at for refused in REFUSED_ROUTES[case]):
            return "refused by Envoy"
    if not request.get("path", "/").isascii():
        return "not ASCII"
    if details == "cors_response" and set(found) == {"mirrors"}:
        return "preflight"
    if found and all(name in ("added", "response headers") and _of_formats(*found[name]) for name in found):
        return "format strings"
    return ""


def _of_formats(recorded_lines: object, ours: object) -> bool:
    """Whether all lines that differ have commands in them."""
    assert isinstance(recorded_lines, dict)
    assert isinstance(ours, dict)
    differing = {name for name in recorded_lines | ours if recorded_lines.get(name) != ours.get(name)}
    return all("%" in ours.get(name, "") for name in differing)


@pytest.mark.parametrize("case", CASES)
def test_requests(engine_name: str, case: str) -> None:
    given = recorded(case)
    registry = registry_of(given, engine_name)
    wrong = {}
    for request in given["requests"]:
        if is_decided(request["expect"]):
            found: Differences = {}
            for draw in draws(request["expect"]):
                decision = decided(registry, request, draw)
                answer = outcome(registry, decision, request, given["dns"])
                found = differences(request, answer)
                found |= unexplained(request, expected(request, answer["cluster"]), decision)
                if not found or deviation(case, request, found):
                    break
            else:
                wrong[request["id"]] = found
    assert wrong == {}


def test_every_refusal_is_one_of_envoys() -> None:
    """What is waived was refused in the recording, and nothing else was."""
    refused = {case for case in CASES if recorded(case)["nacks"]}
    assert refused == REFUSED_CLUSTERS.keys() | REFUSED_TABLES.keys()
    for case, name in REFUSED_CLUSTERS.items():
        assert f"cluster '{name}' config rejected" in recorded(case)["nacks"][0]


@pytest.mark.parametrize("case", [case for case in CASES if recorded(case)["distributions"]])
def test_distributions(engine_name: str, case: str) -> None:
    given = recorded(case)
    registry = registry_of(given, engine_name)
    wrong = {}
    for distribution in given["distributions"]:
        found = far(given, distribution, spread(registry, given, distribution))
        if found:
            wrong[distribution["what"], distribution.get("phase")] = found
    assert wrong == {}


def far(given: Recorded, distribution: Recorded, ours: dict[str, Counter[str]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in ("counts", "clusters", "status", "mirrors", "slow"):
        if name == "status" and distribution["request"]["kind"] != "http":
            continue
        recorded_ = distribution.get(name, {})
        counted = Counter(recorded_ if isinstance(recorded_, dict) else {name: recorded_})
        if name == "clusters":
            del counted["-"]
        if name == "mirrors":
            # Recorded with the endpoint that got the copy.
            copies = Counter[str]()
            for text, count in counted.items():
                copies[text.split()[0]] += count
            counted = copies
        # A cookie made for the first request holds for the whole connection.
        made_once = name == "counts" and "RING_HASH" in distribution["what"] and len(counted) == 1
        # Nobody serves sockets in the recording: Envoy tries again elsewhere.
        sockets = any(key.startswith(("/", "@")) for key in ours["counts"])
        if not made_once and not (sockets and name == "counts") and is_far(counted, ours[name], distribution["n"]):
            found[name] = (dict(counted), dict(ours[name]))
    return found


@pytest.mark.parametrize("case", [case for case in CASES if recorded(case)["hash"]])
def test_hash_tables(engine_name: str, case: str) -> None:
    given = recorded(case)
    registry = registry_of(given, engine_name)
    for table in given["hash"]:
        assert len(table["keys"]) == 100
        assert hash_table(registry, given, table) == [], table["what"]


def test_what_was_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """The recordings are all there; how many is printed."""
    cases = [recorded(case) for case in CASES]
    requests = sum(is_decided(one["expect"]) for case in cases for one in case["requests"])
    malformed = sum(not is_decided(one["expect"]) for case in cases for one in case["requests"])
    spreads = [one for case in cases for one in case["distributions"]]
    tables = sum(len(case["hash"]) for case in cases)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{requests} recorded requests, {len(spreads)} distributions and {tables} hash tables of Envoy agree, in each engine\n"
            f"left out: {malformed} requests (malformed, or ended in the client's handshake)\n"
        )
    assert (len(cases), len(DEVIATIONS)) == (98, 4)
    assert requests > 8000
    assert malformed < 170
