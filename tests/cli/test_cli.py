"""The command as people run it: a process each, its output and exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from roadstead.cli.route import Report

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
    file = GUIDE / "11-cdn.yaml"
    rules, subset = "VirtualService/default/cdn-service/spec/http", "DestinationRule/default/cdn-service/spec/subsets"
    steps, _, warnings = done.stdout.partition("\n\nhost")[2].partition("\n\n")
    assert steps.splitlines() == [
        "      cdn.example.com: the name itself",
        f"          {file}:1:1  ServiceEntry/default/cdn-service",
        'rule      http[0].match[0] not taken: header x-user-region "us" does not match',
        f"          {file}:40:7  {rules}/0/match/0",
        "rule      http[1].match[0] taken",
        f"          {file}:48:7  {rules}/1/match/0",
        "cluster   outbound|443|eu-region|cdn.example.com, STRICT_DNS",
        f"          {file}:1:1  ServiceEntry/default/cdn-service",
        "subset    eu-region: region=eu",
        f"          {file}:70:5  {subset}/1",
        "locality  priority 0 (100 %): eu",
    ]
    told = [line.split(" ")[:2] for line in warnings.splitlines()]
    assert told == [
        [f"{file}:{place}:", f"warning[{code}]"]
        for place, code in (("15:3", "EXT-1"), ("19:7", "EXT-6"), ("39:3", "EXT-9"))
    ]


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


SHOP = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example.com]
  exportTo: [".", front]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example.com]
  http:
  - name: 下单  # orders
    match: [{method: {exact: POST}}]
    fault: {delay: {fixedDelay: 2s, percentage: {value: 100}}}
    route: [{destination: {host: cart.example.com, port: {number: 80}}}]
  - corsPolicy: {allowOrigins: [{exact: https://a.example.com}, {prefix: https://b.}], allowMethods: [GET]}
    route:
    - {destination: {host: cart.example.com, port: {number: 80}}, weight: 90}
    - {destination: {host: canary.example.com}, weight: 10}
"""


@pytest.mark.parametrize(
    ("words", "code", "said", "unsaid"),
    [
        (["http://cart.example.com/"], 0, ["http[0].match[0] (下单) not taken: method \"POST\" does not match"], ["EXT-9"]),
        (["http://cart.example.com/"], 0, ["90 of 100: outbound|80||cart.example.com (by the draw, 0)"], ["StringMatch"]),
        (["http://cart.example.com/", "--draw", "90"], 69, ["10 of 100: outbound|80||canary.example.com"], []),
        (["http://cart.example.com/"], 0, ["allow_origins=[exact:https://a.example.com,prefix:https://b.]"], ["h2_upgrade"]),
        (["https://cart.example.com/"], 0, ["warning[EXT-9]"], []),
        (["http://cart.example.com/", "-X", "post"], 0, ["(下单) taken", "delay 2 s"], ["weight"]),
        (["http://crat.example.com/"], 0, ["crat.example.com: no ServiceEntry", "did you mean cart.example.com?"], []),
        (["http://nothing.test/"], 0, ["nothing.test: no ServiceEntry"], ["hint", "did you mean"]),
        (["http://cart.example.com:81/"], 0, ["cart.example.com: the name itself", "ServiceEntry/shop/cart", "only 80, 443"], []),
        (["http://cart.example.com/", "--from-namespace", "else"], 0, ["not visible from namespace else", "<stdin>:2  ServiceEntry/shop/cart"], ["did you"]),
        (["http://[::1]/"], 0, ["GET http://[::1]:80/"], []),
    ],
)  # fmt: skip
def test_route_says_what_people_ask_next(words: list[str], code: int, said: list[str], unsaid: list[str]) -> None:
    namespace = [] if "--from-namespace" in words else ["--from-namespace", "front"]
    done = run("route", "-f", "-", *words, *namespace, stdin=SHOP)
    assert done.returncode == code, done.stdout + done.stderr
    assert [text for text in said if text not in done.stdout] == []
    assert [text for text in unsaid if text in done.stdout] == []


def test_warnings_are_those_of_the_resources_that_decide() -> None:
    report = answer("route", "-f", str(GUIDE), CDN)
    assert [(one["code"], one["line"]) for one in report["warnings"]] == [  # type: ignore[index,attr-defined]
        ("EXT-1", 15), ("EXT-6", 19), ("EXT-9", 39),
    ]  # fmt: skip
    assert "warnings" not in answer("route", "-f", str(GUIDE), "http://unknown.example.org/")


def test_json_has_the_fields_that_are_documented() -> None:
    told = set(re.findall(r"^\| `(\w+)`", (GUIDE.parents[1] / "docs" / "shell.md").read_text(encoding="utf-8"), re.M))
    assert told == {*Report.__struct_fields__}


def test_no_resources_are_told(tmp_path: Path) -> None:
    done = run("route", "-f", str(tmp_path), "http://a.example.com/")
    assert (done.returncode, done.stderr) == (0, f"no resources in {tmp_path}: every host is unknown\n")


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
        (["route", "-f", str(GUIDE), "http://a.example.com/", "--source-ip", "me"], 64, "not an IP address"),
        (
            ["route", "-f", str(GUIDE), "http://a.example.com/", "--locality", "a/b/c/d"],
            64,
            "expected REGION/ZONE/SUBZONE",
        ),
        (["rout"], 64, "Did you mean 'route'?"),
        (["get", "-f", str(GUIDE), "se", "-o", "jsonpath={.items[*"], 64, "do not match"),
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
        (["se/external-service", "-o=jsonpath={.spec.resolution}"], "DNS\n"),
        (["dr", "cdn-service", "--no-headers"], "default   cdn-service   cdn.example.com\n"),
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
    bare = run()
    assert (bare.returncode, "Usage: " in bare.stdout) == (64, True)
    forms = run(_ROADSTEAD_COMPLETE="bash_complete", COMP_WORDS="roadstead get se -o ", COMP_CWORD="4")
    assert [line.partition(",")[2] for line in forms.stdout.splitlines()] == [
        "table", "wide", "name", "json", "yaml", "jsonpath=",
    ]  # fmt: skip
    completed = run(_ROADSTEAD_COMPLETE="bash_complete", COMP_WORDS="roadstead ro", COMP_CWORD="1")
    assert completed.stdout == "plain,route\n"
    assert "Usage: roadstead " in bare.stdout


def test_bench_measures_the_users_own_hosts(engine_name: str) -> None:
    report = answer("bench", "-f", str(GUIDE), "--engine", engine_name, "--seconds", "0.05")
    assert report["engine"] == engine_name
    results = report["results"]
    assert isinstance(results, list)
    assert [one["what"] for one in results] == ["dict look-up", "find", "route", "route + pick"]


@pytest.mark.parametrize("words", [("route", CDN), ("get", "se"), ("validate",), ("get", "se", "-o", "json")])
def test_a_full_disk_is_told(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "roadstead.cli", *words, "-f", GUIDE],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (74, "Error: No space left on device")


def test_tables_stay_aligned_with_wide_characters() -> None:
    text = "\n---\n".join(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
        f"metadata: {{name: {name}, labels: {{}}}}\nspec: {{address: 10.0.0.1, locality: {place}}}"
        for name, place in (("a", "华东/上海"), ("b", "eu"))
    )
    lines = run("get", "-f", "-", "we", "-o", "wide", stdin=text).stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["default", "a", "10.0.0.1", "华东/上海"], ["default", "b", "10.0.0.1", "eu"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "code", "said"),
    [("utf-16", 65, "PowerShell's > may have written UTF-16"), ("utf-8-sig", 0, "2 resources kept; no findings")],
)
def test_files_of_windows(tmp_path: Path, encoding: str, code: int, said: str) -> None:
    path = tmp_path / "mesh.yaml"
    text = (GUIDE / "06-httpbin.yaml").read_text(encoding="utf-8").replace("HTTPS", "HTTP")
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    done = run("validate", "-f", str(path))
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
