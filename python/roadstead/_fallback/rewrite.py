"""What a route does to a request: header operations, path, authority, redirects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from roadstead import _lowered as low
from roadstead._fallback.matching import bare, fold
from roadstead._fallback.regex import Substitution, compile_regex
from roadstead.errors import EngineError

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
PathRewrite: TypeAlias = Callable[[str], str]

OP_WORDS = {low.SET: "set", low.ADD: "add", low.REMOVE: "remove", low.ADD_IF_ABSENT: "add_if_absent"}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def pairs(headers: Headers) -> list[tuple[str, str]]:
    """Headers as a list of lines."""
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def apply(operations: tuple[low.HeaderOp, ...], headers: Headers, keep_empty: bool = False) -> list[tuple[str, str]]:
    """The lines after the operations. SET puts its value where the first line of that name was, or at the end; what has
    an empty value is no operation, but for REMOVE and with keep_empty."""
    lines = pairs(headers)
    for kind, name, value, _ in operations:
        wanted = fold(name)
        if kind == low.REMOVE:
            lines = [line for line in lines if fold(line[0]) != wanted]
        elif not value and not keep_empty:
            continue
        elif kind == low.SET:
            lines = _set(lines, wanted, (name, value))
        elif kind == low.ADD or all(fold(line[0]) != wanted for line in lines):
            lines.append((name, value))
    return lines


def _set(lines: list[tuple[str, str]], wanted: str, line: tuple[str, str]) -> list[tuple[str, str]]:
    kept: list[tuple[str, str]] = []
    placed = False
    for old in lines:
        if fold(old[0]) != wanted:
            kept.append(old)
        elif not placed:
            kept.append(line)
            placed = True
    if not placed:
        kept.append(line)
    return kept


def words(operations: tuple[low.HeaderOp, ...]) -> tuple[tuple[str, str, str], ...]:
    """Operations as the contract shows them."""
    return tuple([(OP_WORDS[kind], name, value) for kind, name, value, _ in operations])


def path_rewrite(route: low.Route) -> PathRewrite | None:
    """How a forwarded path changes; the query stays. None: not at all."""
    if route.regex_rewrite is not None:
        pattern, text = route.regex_rewrite
        regex = compile_regex(pattern)
        substitution = Substitution(text, regex.groups)

        def rewrite(path: str) -> str:
            plain = bare(path)
            return regex.replace_all(plain, substitution) + path[len(plain) :]

        return rewrite
    return None if route.prefix_rewrite is None else _replace_matched(route.match.path, route.prefix_rewrite)


def _replace_matched(match: low.ValueMatch | None, text: str) -> PathRewrite:
    """What the path condition matched is replaced: a prefix, or the whole path."""
    if match is None or match.kind == low.PREFIX:
        length = 1 if match is None else len(match.value)
        return lambda path: text + path[length:]
    return lambda path: text + path[len(bare(path)) :]


def location(route: low.Route, scheme: str, host: str, path: str) -> str:
    """The Location of a redirect (Envoy: newUri)."""
    redirect = route.redirect
    if redirect is None:
        raise EngineError("a redirect route without a redirect")
    new_scheme = redirect.scheme or scheme
    port = f":{redirect.port}" if redirect.port else ""
    new_host = redirect.host or (host if redirect.keep_port else _kept_host(host, scheme, new_scheme, bool(port)))
    if redirect.path:
        query = path.find("?")
        new_path = redirect.path if "?" in redirect.path or query < 0 else redirect.path + path[query:]
    elif redirect.prefix_rewrite:
        new_path = _replace_matched(route.match.path, redirect.prefix_rewrite)(path)
    else:
        new_path = path
    slash = "" if new_path.startswith("/") else "/"
    return f"{new_scheme}://{new_host}{port}{slash}{new_path}"


def _kept_host(host: str, scheme: str, new_scheme: str, has_port: bool) -> str:
    """The request's host: its port goes where a new one is set, or where it is the default of a scheme that changes."""
    end = port_start(host)
    if end < 0:
        return host
    if has_port or (new_scheme != scheme and host[end:] == _DEFAULT_PORTS.get(scheme)):
        return host[:end]
    return host


def port_start(host: str) -> int:
    """Where `:port` begins in a Host header, -1 without one; colons inside brackets are an IPv6 address."""
    colon = host.rfind(":")
    return colon if colon > host.rfind("]") else -1
