"""The golden corpus, asked from C through a serialised snapshot and from Cython through the capsule."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.core import corpus
from tests.core.exchanges import RESETS
from tests.embed.conftest import Build, run

from roadstead import _lowered as low
from roadstead import core
from roadstead.registry.frozen import snapshot_bytes

FILES = sorted(corpus.FOLDER.glob("*.json"))
EACH = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
ROUTE = ("path", "method", "scheme", "source_ip")
TERMS = {"trusted": (True, 1), "replayable": (False, 2), "received": (False, 4), "pending": (True, 8)}
"""ROADSTEAD_TERMS_…: the value that sets the flag."""
ENDS = {"connect_failure": 1, "reset": 2, "timeout": 3}
GRPC = 5


def field(value: object) -> bytes:
    if value is None:
        return b"-1:"
    data = str(value).encode()
    return b"%d:%s" % (len(data), data)


def arguments(asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    ((verb, given),) = asked.items()
    return verb, {"host": given[0], "port": given[1]} if verb == "find" else given


def asked_of(given: dict[str, Any]) -> list[object]:
    """The fields of a request."""
    original = given.get("original_destination") or (None, 0)
    headers = given.get("headers") or []
    lines = list(headers.items()) if isinstance(headers, dict) else headers
    fields = [given["host"], given.get("port"), *[given.get(name) for name in ROUTE], given.get("sni"), *original]
    return [*fields, given.get("draw"), len(lines), *[text for line in lines for text in line]]


def flags_of(terms: dict[str, bool]) -> int:
    return sum(TERMS[name][1] for name, value in terms.items() if value is TERMS[name][0])


def report(written: list[Any]) -> tuple[int, str, int, bool, list[tuple[str, str]]]:
    """(instant, name, its number: a status or the place of a reset's word, whether more is to come, header lines)."""
    now, name, arguments, named = written
    value = arguments[0] if arguments else 0
    lines = arguments[1] if len(arguments) > 1 else {}
    return (
        now,
        name,
        RESETS.index(value) if name == "reset" else value,
        named.get("end_stream") is False,
        list(lines.items()),
    )


def end(how: dict[str, Any]) -> tuple[int, int]:
    """roadstead_end, and the status."""
    if "grpc_status" in how:
        return GRPC, how["grpc_status"]
    return ENDS.get(how.get("error", ""), 0), how.get("status", 0)


def how_of(what: str, how: Any) -> list[object]:
    return {"lease": lambda: list(end(how)), "sweep": list, "health": lambda: list(how)}[what]()


def question(asked: dict[str, Any]) -> bytes:
    """As corpus.c reads it."""
    verb, given = arguments(asked)
    fields = [verb, *asked_of(given.get("route", given))]
    if verb == "exchange":
        fields += [flags_of(given.get("terms", {})), len(given["reports"])]
        for now, name, value, more, lines in map(report, given["reports"]):
            fields += [
                now,
                name,
                value,
                "more" if more else None,
                len(lines),
                *[text for line in lines for text in line],
            ]
    if verb == "ejections":
        fields.append(len(given["steps"]))
        for now, what, how in given["steps"]:
            fields += [now, what, *how_of(what, how)]
    return b"".join(field(one) for one in fields)


def units_of(file: dict[str, Any]) -> list[low.Unit]:
    """Some chains of the corpus have a name for a handle."""
    units = [corpus.from_json(low.Unit, one) for one in file["units"]]
    return [unit._replace(chains=tuple([chain._replace(handle=None) for chain in unit.chains])) for unit in units]


def frozen(file: dict[str, Any]) -> bytes:
    return snapshot_bytes(units_of(file), lambda _: None, outbound=file["outbound"])


@EACH
@pytest.mark.parametrize("sanitized", [False, True], ids=["plain", "sanitized"])
def test_from_c(path: Path, sanitized: bool, program: Build, tmp_path: Path) -> None:
    file = json.loads(path.read_text())
    assert file["seed"] == 0
    snapshot = tmp_path / "snapshot"
    snapshot.write_bytes(frozen(file))
    asked = b"".join(question(case["asked"]) for case in file["cases"])
    told = run(*program("corpus.c", sanitized=sanitized), snapshot, stdin=asked)
    assert [json.loads(line) for line in told.splitlines()] == [case["answer"] for case in file["cases"]]


@EACH
def test_from_cython(path: Path, asking: ModuleType) -> None:
    file = json.loads(path.read_text())
    asker = asking.Asking(corpus.engine_of(core.engine("native"), file))
    for case in file["cases"]:
        assert from_cython(asker, case["asked"]) == case["answer"], case["asked"]


def from_cython(asker: Any, asked: dict[str, Any]) -> Any:
    verb, given = arguments(asked)
    if verb == "find":
        return asker.find(given["host"].encode(), given["port"])
    if verb == "ejections":
        steps = [(now, what, how_of(what, how)) for now, what, how in given["steps"]]
        return asker.ejected(given["route"]["host"].encode(), given["route"]["port"], steps)
    request = given.get("route", given)
    if verb == "exchange":
        decide(asker, False, request, 0)
        reports = [
            (*known, [(key.encode(), value.encode()) for key, value in lines])
            for *known, lines in map(report, given["reports"])
        ]
        return asker.carried(flags_of(given.get("terms", {})), reports)
    answer = decide(asker, verb == "connect", request, corpus.PICKS)
    assert answer.pop("timeout") == -1.0
    return answer


def decide(asker: Any, connection: bool, given: dict[str, Any], picks: int) -> Any:
    fields = iter(asked_of(given))
    host, port, *texts, original, original_port, draw, count = [next(fields) for _ in range(11)]
    lines = [text.encode() for text in fields if isinstance(text, str)]
    assert len(lines) == 2 * int(str(count))
    encoded = [text.encode() if isinstance(text, str) else None for text in (host, *texts, original)]
    path, method, scheme, source_ip, sni = encoded[1:6]
    return asker.decide(
        connection, encoded[0], port or 0, path, method, scheme, source_ip, sni, encoded[6], original_port or 0, draw or 0,
        list(zip(lines[::2], lines[1::2], strict=True)), picks,
    )  # fmt: skip


def test_a_snapshot_is_the_corpus_in_its_own_form() -> None:
    for path in FILES:
        file = json.loads(path.read_text())
        made = json.loads(frozen(file))
        assert made.pop("units") == corpus.to_json(units_of(file))
        head = {"format": 1, "outbound": file["outbound"], "egress_cluster": "", "paths": low.NORMALIZE}
        assert made == head | {"passthrough": None, "dynamic": None}
