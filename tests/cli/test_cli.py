"""The command as people run it: a process each, its output and exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

GUIDE = Path(__file__).parents[2] / "python" / "examples" / "guide"


def run(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "ROADSTEAD_CONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "roadstead.cli", *words],
        input=stdin, capture_output=True, text=True, check=False, env=kept | environment,
    )  # fmt: skip


def answer(*words: str, **environment: str) -> dict[str, object]:
    done = run(*words, "-o", "json", **environment)
    assert done.returncode == 0, done.stderr
    decoded = json.loads(done.stdout)
    assert isinstance(decoded, dict)
    return decoded


CDN = "https://cdn.example.com/logo.png"


def test_route_shows_each_step_with_its_place(engine_name: str) -> None:
    done = run("route", "-f", str(GUIDE), "--engine", engine_name, CDN, "-H", "x-user-region: eu")
    assert done.returncode == 0
    assert "→ forward  cdn-eu.example.com:443" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    places = {line[0]: line[-1] for line in lines if line and line[-1].startswith(str(GUIDE))}
    file = GUIDE / "11-cdn.yaml"
    assert places == {"host": f"{file}:1:1", "rule": f"{file}:48:7", "cluster": f"{file}:1:1", "subset": f"{file}:70:5"}
    assert 'rule 0 not taken: header x-user-region "us" does not match' in done.stdout


def test_route_as_json_and_yaml_say_the_same(engine_name: str) -> None:
    words = ("route", "-f", str(GUIDE), "--engine", engine_name, "http://httpbin.org/get")
    report = answer(*words)
    assert report == yaml.safe_load(run(*words, "-o", "yaml").stdout)
    assert (report["kind"], report["cluster"], report["timeout"]) == ("forward", "outbound|80||httpbin.org", 10.0)
    assert report["endpoint"] == "httpbin.org:80"
    assert report["retry"]["attempts"] == 3  # type: ignore[index]


def test_route_takes_a_pasted_curl_command() -> None:
    pasted = answer("route", "-f", str(GUIDE), "--curl", f"curl -sS -H 'x-user-region: eu' {CDN}")
    assert pasted["endpoint"] == "cdn-eu.example.com:443"
    posted = answer("route", "-f", str(GUIDE), "--curl", "curl -d amount=5 https://api.stripe.com/v1/charges")
    assert posted["request"]["method"] == "POST"  # type: ignore[index]


def test_route_counts_picks_and_takes_connections() -> None:
    report = answer(
        "route", "-f", str(GUIDE), "tcp://240.0.0.1:3306", "--picks", "200", "--from-namespace", "production"
    )
    assert set(report["endpoints"]) == {  # type: ignore[call-overload]
        "192.168.1.100:3306 us-west/us-west-1a",
        "192.168.1.101:3306 us-west/us-west-1b",
    }
    assert sum(report["endpoints"].values()) == 200  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["route", "-f", str(GUIDE), "http://legacy.internal.com:8080/other"], 69, "not_found 404 NR"),
        (["route", "-f", str(GUIDE), "--dialect", "extended", "http://unknown.example.org/"], 0, "passthrough"),
        (["route", "-f", str(GUIDE)], 64, "give a URL"),
        (["route", "-f", str(GUIDE), "ftp://a.example.com/"], 64, "expected http://"),
        (["route", "-f", str(GUIDE), "tcp://240.0.0.1"], 64, "needs a port"),
        (["route", "http://a.example.com/"], 64, "no configuration"),
        (["route", "-f", "/nowhere.yaml", "http://a.example.com/"], 66, "no such file"),
        (["route", "-f", str(GUIDE), "http://a.example.com/", "-H", "nonsense"], 64, "expected 'NAME: VALUE'"),
        (["get", "-f", str(GUIDE), "nonsense"], 64, "no kind 'nonsense'"),
        (["get", "-f", str(GUIDE), "se", "absent"], 66, "not found"),
        (["get", "-f", str(GUIDE), "se", "-o", "xml"], 64, "-o xml"),
        (["nonsense"], 64, "No such command"),
    ],
)
def test_exit_codes(words: list[str], code: int, said: str) -> None:
    done = run(*words)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


def test_configuration_comes_from_the_environment_and_standard_input() -> None:
    assert answer("route", CDN, ROADSTEAD_CONFIG=str(GUIDE))["kind"] == "forward"
    two = os.pathsep.join([str(GUIDE / "01-minimal.yaml"), str(GUIDE / "11-cdn.yaml")])
    assert answer("route", CDN, ROADSTEAD_CONFIG=two)["kind"] == "forward"
    done = run("get", "-f", "-", "se", "-o", "name", stdin=(GUIDE / "11-cdn.yaml").read_text(encoding="utf-8"))
    assert done.stdout == "serviceentry.networking.istio.io/cdn-service\n"


def test_the_client_decides_what_is_near() -> None:
    text = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1, locality: eu/a}, {address: 10.0.0.2, locality: us/a}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a.example.com, trafficPolicy: {outlierDetection: {}}}
"""
    for locality, expected in (("eu/a", "10.0.0.1:80"), ("us/a", "10.0.0.2:80")):
        done = run("route", "-f", "-", "http://a.example.com/", "--locality", locality, "-o", "json", stdin=text)
        assert json.loads(done.stdout)["endpoint"] == expected


def test_get_prints_what_kubectl_prints() -> None:
    listed = run("get", "-f", str(GUIDE / "02-production-database.yaml"), "serviceentry", "-A", "-o", "wide").stdout
    header, row = (line.split() for line in listed.splitlines())
    assert header == ["NAMESPACE", "NAME", "HOSTS", "LOCATION", "RESOLUTION", "PORTS", "ADDRESSES", "ENDPOINTS", "AGE"]
    assert row == [
        "production",
        "external-database",
        "[database.example.com]",
        "MESH_EXTERNAL",
        "DNS",
        "[3306/TCP,3307/TLS]",
        "[240.0.0.1]",
        "2",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["serviceentry", "external-service", "-o", "jsonpath={.spec.resolution}"], "DNS\n"),
        (["se", "external-database", "-n", "production", "-o", "jsonpath={.spec.addresses}"], '["240.0.0.1"]\n'),
        (["se", "-n", "production", "-o", "jsonpath={.items[*].metadata.name}"], "external-database\n"),
        (["vs,dr", "-o", "name", "httpbin-external"], "virtualservice.networking.istio.io/httpbin-external\n"),
    ],
)
def test_get_forms(words: list[str], expected: str) -> None:
    done = run("get", "-f", str(GUIDE), *words)
    assert (done.returncode, done.stdout) == (0, expected)


def test_get_gives_back_documents_that_load_again() -> None:
    text = run("get", "-f", str(GUIDE / "11-cdn.yaml"), "all", "-o", "yaml").stdout
    again = run("get", "-f", "-", "all", "-o", "yaml", stdin=text)
    assert again.stdout == text
    assert [item["kind"] for item in yaml.safe_load(text)["items"]] == [
        "ServiceEntry",
        "VirtualService",
        "DestinationRule",
    ]


BAD = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bad}
spec:
  hosts: [a.example.com]
  ports: [{number: eighty, name: http, protcol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: good}
spec:
  hosts: [b.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_validate_tells_every_error_with_its_place(form: str) -> None:
    done = run("validate", "-f", "-", "-o", form, stdin=BAD)
    assert done.returncode == 79
    if form == "table":
        assert ":7:20: error" in done.stdout
        assert "spec.ports[0].number" in done.stdout
        assert "protocol" in done.stdout
        assert "1 resource kept; 2 errors" in done.stderr
    else:
        findings = json.loads(done.stdout) if form == "json" else yaml.safe_load(done.stdout)
        assert [(one["line"], one["path"]) for one in findings] == [
            (7, "spec.ports[0].number"),
            (7, "spec.ports[0].protcol"),
        ]


def test_validate_thresholds_and_unreadable_input() -> None:
    assert run("validate", "-f", str(GUIDE)).returncode == 0
    assert run("validate", "-f", str(GUIDE), "--fail-on", "warning").returncode == 79
    assert run("validate", "-f", "-", "--fail-on", "never", stdin=BAD).returncode == 0
    assert run("validate", "-f", "-", stdin="a: [unclosed\n").returncode == 65


def test_help_completion_and_version() -> None:
    shown = run("--help").stdout
    for verb in ("bench", "completion", "get", "route", "validate"):
        assert verb in shown
    assert "\x1b" not in shown
    assert "_ROADSTEAD_COMPLETE" in run("completion", "bash").stdout
    assert run("--version").stdout.startswith("roadstead ")
    completed = run(_ROADSTEAD_COMPLETE="bash_complete", COMP_WORDS="roadstead ro", COMP_CWORD="1")
    assert "route" in completed.stdout


def test_bench_measures_the_users_own_hosts(engine_name: str) -> None:
    report = answer("bench", "-f", str(GUIDE), "--engine", engine_name, "--seconds", "0.05")
    assert report["engine"] == engine_name
    results = report["results"]
    assert isinstance(results, list)
    assert [one["what"] for one in results] == ["dict look-up", "find", "route", "route + pick"]
