from __future__ import annotations

import click
import pytest

from roadstead.cli.curl import parse


@pytest.mark.parametrize(
    ("text", "url", "method", "headers"),
    [
        ("curl https://a.example.com/x", "https://a.example.com/x", "GET", []),
        ("https://a.example.com", "https://a.example.com", "GET", []),
        ("curl a.example.com/x", "http://a.example.com/x", "GET", []),
        ("curl -H 'x-user-region: eu' https://a", "https://a", "GET", [("x-user-region", "eu")]),
        ("curl -Hx:1 --header 'y: 2' https://a", "https://a", "GET", [("x", "1"), ("y", "2")]),
        ("curl -H 'Host: b.example.com' http://10.0.0.1/", "http://10.0.0.1/", "GET", [("Host", "b.example.com")]),
        ("curl -H 'Accept:' -H 'Empty;' http://a", "http://a", "GET", [("Empty", "")]),
        ("curl -X POST http://a", "http://a", "POST", []),
        ("curl -XDELETE http://a", "http://a", "DELETE", []),
        ("curl --request=put http://a", "http://a", "PUT", []),
        ("curl -d a=1 -d b=2 http://a", "http://a", "POST", []),
        ("curl -G -d a=1 -d b=2 http://a/s", "http://a/s?a=1&b=2", "GET", []),
        ("curl -I http://a", "http://a", "HEAD", []),
        ("curl -skL -o /dev/null --max-time 5 -w '%{http_code}' http://a", "http://a", "GET", []),
        (
            "curl --json '{}' http://a",
            "http://a",
            "POST",
            [("Content-Type", "application/json"), ("Accept", "application/json")],
        ),
        (
            "curl -A probe -e http://r -b k=v http://a",
            "http://a",
            "GET",
            [("User-Agent", "probe"), ("Referer", "http://r"), ("Cookie", "k=v")],
        ),
        ("curl -u user:pw http://a", "http://a", "GET", [("Authorization", "Basic dXNlcjpwdw==")]),
        ("curl --url http://a --compressed", "http://a", "GET", []),
        ("curl \\\n  -H 'a: b' \\\n  http://a", "http://a", "GET", [("a", "b")]),
        # Chrome and Firefox, "Copy as cURL (bash)": ANSI-C quoting where plain quotes cannot hold the text.
        (
            "curl 'https://a/x?q=1' -H $'end-user: \\u5c0f\\x41\\'s\\041' -b 'k=\"v\"; l=1' --data-raw $'{\"a\":\"it\\'s\\n\"}' --compressed",
            "https://a/x?q=1",
            "POST",
            [("end-user", "小A's!"), ("Cookie", 'k="v"; l=1')],
        ),
        # The same for cmd.
        (
            'curl ^"https://a/?x=1^&y=2^" ^\r\n  -H ^"a: b^" ^\n  --compressed',
            "https://a/?x=1&y=2",
            "GET",
            [("a", "b")],
        ),
        # Postman.
        (
            "curl --location --request PUT 'https://a/' \\\n--header 'a: b' \\\n--data '{\n  \"a\": 1\n}'",
            "https://a/",
            "PUT",
            [("a", "b")],
        ),
        # As it stands in documents, with what follows.
        ("$ curl -s http://a/x | jq .", "http://a/x", "GET", []),
        ("curl http://a/x >out.json", "http://a/x", "GET", []),
        ("curl 'http://a/x?a=b|c' -H 'p: $5'", "http://a/x?a=b|c", "GET", [("p", "$5")]),
        ("curl -H 'n: #1' http://a/#top", "http://a/#top", "GET", [("n", "#1")]),
    ],
)
def test_parse(text: str, url: str, method: str, headers: list[tuple[str, str]]) -> None:
    assert parse(text) == (url, method, tuple(headers))


@pytest.mark.parametrize("text", ["curl", "curl http://a http://b", "curl -X", "curl 'http://a", "curl -& http://a"])
def test_what_cannot_be_understood_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse(text)
