"""A curl command as people paste it → the request it makes. Only what decides a route is kept; the rest is accepted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import click

# Options of curl (without dashes) that take a value and do not change where the request goes.
_WITH_VALUE = frozenset(
    [
        "o",
        "output",
        "w",
        "write-out",
        "m",
        "max-time",
        "connect-timeout",
        "retry",
        "retry-delay",
        "retry-max-time",
        "cacert",
        "capath",
        "cert",
        "E",
        "key",
        "key-type",
        "cert-type",
        "pass",
        "x",
        "proxy",
        "U",
        "proxy-user",
        "resolve",
        "connect-to",
        "interface",
        "T",
        "upload-file",
        "c",
        "cookie-jar",
        "D",
        "dump-header",
        "trace",
        "trace-ascii",
        "limit-rate",
        "K",
        "config",
        "F",
        "form",
        "form-string",
        "tls-max",
        "ciphers",
        "dns-servers",
        "local-port",
        "max-redirs",
        "y",
        "Y",
        "speed-limit",
        "speed-time",
        "z",
        "time-cond",
        "unix-socket",
        "abstract-unix-socket",
        "aws-sigv4",
        "oauth2-bearer",
        "rate",
        "stderr",
        "engine",
        "curves",
        "pinnedpubkey",
        "tls13-ciphers",
        "C",
        "continue-at",
        "r",
        "range",
    ]
)
# Short options without a value, which curl lets people write together (-skv).
_FLAGS = frozenset("sSkvLifIGNgqOJR#0123461Zjnpa")
_DATA = frozenset(("d", "data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json"))
_READ = frozenset(("X", "request", "H", "header", "A", "user-agent", "e", "referer", "b", "cookie", "u", "user", "url"))

_CMD = re.compile(r'\^"|\^\r?\n')
_ANSI_C = re.compile(r"(?<![^\s])\$'((?:[^'\\]|\\.)*)'", re.S)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.S)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}


class CurlRequest(NamedTuple):
    """url: as given (http:// where it has no scheme). headers: in order, as curl sends them; Host included if given."""

    url: str
    method: str
    headers: tuple[tuple[str, str], ...]


def parse(text: str) -> CurlRequest:
    """Read a pasted command. click.UsageError says what could not be understood."""
    words = _words(text)
    urls: list[str] = []
    headers: list[tuple[str, str]] = []
    data: list[str] = []
    method, get, head = "", False, False
    for name, value in _options(words):
        if name in ("", "url"):
            urls.append(value)
        elif name in ("X", "request"):
            method = value.upper()
        elif name in ("H", "header"):
            headers.extend(_header(value))
        elif name in _DATA:
            data.append(value)
            if name == "json":
                headers += [("Content-Type", "application/json"), ("Accept", "application/json")]
        elif name in ("G", "get"):
            get = True
        elif name in ("I", "head"):
            head = True
        else:
            headers.extend(_named_header(name, value))
    if len(urls) != 1:
        raise click.UsageError(f"--curl: expected one URL, found {len(urls)}: {' '.join(urls) or 'none'}")
    url = urls[0] if "://" in urls[0] else "http://" + urls[0]
    if get and data:
        url += ("&" if "?" in url else "?") + "&".join(data)
    implied = "HEAD" if head else "POST" if data and not get else "GET"
    return CurlRequest(url, method or implied, tuple(headers))


def _words(text: str) -> list[str]:
    """The command's words after `curl`, as a shell would split them; what stands behind a pipe or > is not curl's."""
    text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    if _CMD.search(text):
        # "Copy as cURL (cmd)": ^ escapes, at a line's end it joins.
        text = re.sub(r"\^(.)", r"\1", re.sub(r"\^\r?\n", " ", text), flags=re.S)
    text = _ANSI_C.sub(lambda found: _unescaped(found[1]), text.strip().removeprefix("$ "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|<>;")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        for word in lexer:
            if word and not word.strip("|<>;"):
                break
            words.append(word)
    except ValueError as error:
        raise click.UsageError(f"--curl: {error}") from None
    if words and words[0].rsplit("/", 1)[-1] in ("curl", "curl.exe"):
        return words[1:]
    return words


def _unescaped(body: str) -> str:
    """What stands in $'…' (ANSI-C quoting, as Chrome and Firefox write it), in plain quotes."""

    def character(found: re.Match[str]) -> str:
        code, digits = found[1][0], found[1][1:]
        if code in "uUx" and digits:
            return chr(int(digits, 16))
        if code.isdecimal():
            return chr(int(found[1], 8))
        return _ESCAPES.get(code, found[1])

    return shlex.quote(_ESCAPE.sub(character, body))


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """(option without dashes, its value); ("", word) for what is no option."""
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from (("", left) for left in rest)
        elif word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            if has_value:
                yield name, value
            elif name in _WITH_VALUE or name in _READ or name in _DATA:
                yield name, _value(rest, word)
            else:
                yield name, ""
        elif word.startswith("-") and len(word) > 1:
            yield from _short(word[1:], rest)
        else:
            yield "", word


def _short(letters: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    for at, letter in enumerate(letters):
        if letter in _WITH_VALUE or letter in _READ or letter in _DATA:
            yield letter, letters[at + 1 :] or _value(rest, f"-{letter}")
            return
        if letter not in _FLAGS:
            raise click.UsageError(f"--curl: unknown option -{letter}")
        yield letter, ""


def _value(rest: Iterator[str], option: str) -> str:
    value = next(rest, None)
    if value is None:
        raise click.UsageError(f"--curl: {option} needs a value")
    return value


def _header(text: str) -> list[tuple[str, str]]:
    name, colon, value = text.partition(":")
    if not colon and text.endswith(";"):
        return [(text[:-1].strip(), "")]
    # curl drops a header that is given without a value.
    return [(name.strip(), value.strip())] if value.strip() else []


def _named_header(name: str, value: str) -> list[tuple[str, str]]:
    if name in ("A", "user-agent"):
        return [("User-Agent", value)]
    if name in ("e", "referer"):
        return [("Referer", value)]
    if name in ("b", "cookie") and "=" in value:
        return [("Cookie", value)]
    if name in ("u", "user"):
        import base64

        return [("Authorization", "Basic " + base64.b64encode(value.encode()).decode())]
    return []
