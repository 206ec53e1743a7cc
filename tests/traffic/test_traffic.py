"""Every recorded request, distribution and hash table of a real Envoy, decided alike by both engines."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from .policies import unexplained
from .recorded import CASES, Recorded, recorded, registry_of
from .replay import decided, differences, draws, expected, is_decided, outcome
from .spread import hash_table, is_far, spread

# Differences that are known and why: name, reason.
DEVIATIONS: dict[str, str] = {}
# What Envoy refused in the recording: a cluster, and a route table.
REFUSALS = {
    "23-dynamic-dns": "cluster 'outbound|8080||*.dyn.example.net' config rejected",
    "71-vs-redirect-direct": "Filesystem config update rejected",
}

Differences = dict[str, tuple[object, object]]


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
                if not found:
                    break
            else:
                wrong[request["id"]] = found
    assert wrong == {}


def test_what_envoy_refuses_is_refused() -> None:
    """Nothing else was refused in the recordings; the requests of these say what comes of it."""
    refused = {case: recorded(case)["nacks"] for case in CASES if recorded(case)["nacks"]}
    assert refused.keys() == REFUSALS.keys()
    for case, text in REFUSALS.items():
        assert text in refused[case][0]


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
    assert (len(cases), len(DEVIATIONS)) == (98, 0)
    assert requests > 8000
    assert malformed == 167
