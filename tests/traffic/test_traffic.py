"""Every recorded request, distribution and hash table of a real Envoy, decided alike by both engines."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from .recorded import CASES, Recorded, recorded, registry_of
from .replay import differences, is_decided, outcome
from .spread import hash_table, is_far, spread

DEVIATIONS = {
    "refused by Envoy": "Envoy refuses a whole route table for one bad route (case 71), and a DYNAMIC_DNS cluster that speaks "
    "HTTP/2 without TLS (case 23); here what is good in them serves.",
    "not ASCII": "Envoy's inspector does not take a request line with raw bytes beyond ASCII for HTTP and passes it on; who "
    "calls `route` has a request.",
    "format strings": "Values of headers with Envoy's commands (%REQ(x)%) are handed out as written: they name facts of a "
    "proxy's connections.",
    "Location of httpsRedirect": "A gateway's redirect to https leaves out the port 80 that the Host names; Envoy keeps it.",
}


def deviation(case: str, request: Recorded, found: dict[str, tuple[object, object]]) -> str:
    """Which of the deviations a difference is, "" for none."""
    nacked = recorded(case)["nacks"]
    if (
        nacked
        and "details" in request["expect"]
        and request["expect"]["details"] in ("cluster_not_found", "route_not_found")
    ):
        return "refused by Envoy"
    if nacked == [] and case.endswith("~accepted") and set(found) == {"route_index"}:
        return "refused by Envoy"
    if not request.get("path", "/").isascii():
        return "not ASCII"
    if set(found) == {"added"} and any("%" in str(value) for value in dict(found["added"][1]).values()):  # type: ignore[call-overload]
        return "format strings"
    if set(found) == {"location"} and request["id"].startswith("0.0.0.0_80/") and ":80" in request["host"]:
        return "Location of httpsRedirect"
    return ""


@pytest.mark.parametrize("case", CASES)
def test_requests(engine_name: str, case: str) -> None:
    given = recorded(case)
    registry = registry_of(given, engine_name)
    wrong = {}
    for request in given["requests"]:
        if is_decided(request["expect"]):
            found = differences(request, outcome(registry, request, given["dns"]))
            if found and not deviation(case, request, found):
                wrong[request["id"]] = found
    assert wrong == {}


@pytest.mark.parametrize("case", [case for case in CASES if recorded(case)["distributions"]])
def test_distributions(engine_name: str, case: str) -> None:
    given = recorded(case)
    registry = registry_of(given, engine_name)
    wrong = {}
    for distribution in given["distributions"]:
        # Side by side, requests wait for each other at limits: that is the loop, not the decision.
        if not distribution.get("parallel"):
            found = far(given, distribution, spread(registry, given, distribution))
            if found:
                wrong[distribution["what"], distribution.get("phase")] = found
    assert wrong == {}


def far(given: Recorded, distribution: Recorded, ours: dict[str, Counter[str]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in ("counts", "clusters", "status", "mirrors"):
        if name == "status" and distribution["request"]["kind"] != "http":
            continue
        counted = Counter(distribution.get(name, {}))
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
    spreads = sum(len(case["distributions"]) for case in cases)
    tables = sum(len(case["hash"]) for case in cases)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{requests} recorded requests, {spreads} distributions and {tables} hash tables of Envoy agree, in each engine\n"
        )
    assert (len(cases), len(DEVIATIONS)) == (98, 4)
    assert requests > 8000
