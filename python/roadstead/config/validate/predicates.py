"""What names, addresses and ports may look like. Each gives a complaint, "" where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from functools import lru_cache

from roadstead.host import is_ip as _is_ip
from roadstead.protocol import WORDS, Protocol

_LABEL = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_WILD_LABEL = re.compile(r"\*|\*?-?[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_VALUE = re.compile(r"(?:[^%\x00-\x08\x0a-\x1f\x7f]|%%|%[^%()\s]+(?:\([^()]*\))?(?::\d+)?%)*")
_LABEL_RULE = "1 to 63 letters, digits and dashes, no dash at an end"
_QUALIFIED_RULE = "letters, digits and - _ . between them"
_LONGEST_NAME = 255
_LONGEST_LABEL = 63
_LONGEST_REGEX = 1024


def required(value: object) -> str:
    return "" if value else "is required"


def at_most(limit: int) -> Callable[[Sized], str]:
    """Items, entries or characters."""
    return lambda value: "" if len(value) <= limit else f"longer than {limit}"


def short_values(labels: dict[str, str]) -> str:
    """What the schema of the Kubernetes resource allows in a selector."""
    return "" if all(len(value) <= _LONGEST_LABEL for value in labels.values()) else "a value longer than 63 characters"


def port(number: int) -> str:
    return "" if 1 <= number <= 65535 else f"port {number} is not in 1 to 65535"


def optional_port(number: int) -> str:
    return port(number) if number else ""


def percent(number: float) -> str:
    return "" if 0 <= number <= 100 else f"{number:g} is not in 0 to 100"


def not_negative(number: float) -> str:
    return "" if number >= 0 else f"{number:g} is negative"


@lru_cache(maxsize=4096)
def label(text: str) -> str:
    return "" if _LABEL.fullmatch(text) else f"{text!r} is not a DNS label: {_LABEL_RULE}"


def optional_label(text: str) -> str:
    return label(text) if text else ""


# Names and addresses come again in one document and the next; remembering those of a whole mesh would take megabytes.
@lru_cache(maxsize=512)
def fqdn(name: str) -> str:
    """Labels joined by dots; the last one not a number, so that no IPv4 address passes."""
    return _length(name) or _labels(name, name)


@lru_cache(maxsize=512)
def wild_domain(name: str) -> str:
    """The same with a wildcard allowed in the first label (`*`, `*.x`, `*x`)."""
    if complaint := _length(name):
        return complaint
    first, dot, rest = name.partition(".")
    if len(first) > _LONGEST_LABEL or not _WILD_LABEL.fullmatch(first) or (first.startswith("-")):
        return f"{name!r} is not a domain name: label {first!r} is not {_LABEL_RULE}"
    return _labels(rest, name) if dot else ""


def _length(name: str) -> str:
    if not name:
        return "an empty name"
    return "" if len(name.encode()) <= _LONGEST_NAME else f"a name longer than {_LONGEST_NAME} bytes"


def _labels(rest: str, name: str) -> str:
    labels = rest.split(".")
    if _INTEGER.fullmatch(labels[-1]):
        return f"{name!r} is not a domain name: its last label is a number"
    if labels[-1] == "":
        labels.pop()  # the absolute form
    for part in labels:
        if not _LABEL.fullmatch(part):
            return f"{name!r} is not a domain name: label {part!r} is not {_LABEL_RULE}"
    return ""


def partial_wildcard(name: str) -> bool:
    return "*" in name and name != "*" and not name.startswith("*.")


@lru_cache(maxsize=512)
def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address, with a zone perhaps."""
    return _is_ip(text)


def ip(text: str) -> str:
    return "" if is_ip(text) else f"{text!r} is not an IP address"


@lru_cache(maxsize=512)
def subnet(text: str) -> str:
    """An address, or a range of them whose host bits need not be zero."""
    address, slash, length = text.partition("/")
    if not is_ip(address) or (slash and "%" in address):
        return f"{text!r} is neither an IP address nor a range"
    if slash and not (length.isdecimal() and length.isascii() and length == str(int(length))):
        return f"{text!r} has no valid prefix length"
    return "" if not slash or int(length) <= (128 if ":" in address else 32) else f"{text!r} has no valid prefix length"


def ip_or_domain(text: str) -> str:
    return "" if is_ip(text) or not wild_domain(text) else f"{text!r} is neither an IP address nor a domain name"


def own_sni(name: str) -> str:
    """A name by which the mesh's own TLS finds a cluster: `outbound_.<port>_.<subset>_.<host>`."""
    parts = name.split("_")
    port, host = (parts[1], parts[3]) if len(parts) > 3 else ("", "")
    found = any(map(str.isdigit, port)) and any(letter.isascii() and letter.isalpha() for letter in host)
    return "" if found and parts[0] == "outbound" else f"{name!r} is not of the form outbound_.<port>_.<subset>_.<host>"


def protocol(word: str) -> str:
    return "" if Protocol(word) else f"{word!r} is not a protocol: one of {', '.join(WORDS)}"


def optional_protocol(word: str) -> str:
    return protocol(word) if word else ""


def label_map(labels: dict[str, str]) -> str:
    """Kubernetes labels; values may be of any length."""
    for item in labels.items():
        if complaint := _label_pair(item):
            return complaint
    return ""


@lru_cache(maxsize=8192)
def _label_pair(item: tuple[str, str]) -> str:
    key, value = item
    prefix, slash, name = key.rpartition("/")
    if len(name) > _LONGEST_LABEL or not _QUALIFIED.fullmatch(name) or (slash and fqdn(prefix)):
        return f"{key!r} is not a label's name: at most 63 {_QUALIFIED_RULE}, after a domain and / perhaps"
    return "" if not value or _QUALIFIED.fullmatch(value) else f"{value!r} is not a label's value: {_QUALIFIED_RULE}"


def selector(labels: dict[str, str]) -> str:
    for key, value in labels.items():
        if not key:
            return "an empty key"
        if "*" in key or "*" in value:
            return f"no wildcards in a selector: {key}={value}"
    return ""


def header_name(name: str) -> str:
    return "" if _TOKEN.fullmatch(name) else f"{name!r} is not a header's name"


def header_value(text: str) -> str:
    """No control characters; `%` doubled, or around a command of Envoy's (`%REQ(x)%`)."""
    return "" if _VALUE.fullmatch(text) else f"{text!r} is not a header's value: a lone % is written %%"


@lru_cache(maxsize=1024)
def regex(text: str) -> str:
    """RE2's language."""
    if not text:
        return "an empty regular expression"
    if len(text.encode()) > _LONGEST_REGEX:
        return f"a regular expression longer than {_LONGEST_REGEX} bytes"
    from roadstead.regex_syntax import parse  # most programs have no regular expressions

    try:
        parse(text)
    except (ValueError, RecursionError) as error:
        return f"not a regular expression of RE2: {error}"
    return ""


def unix_path(address: str) -> str:
    """`unix://` and an absolute path, or `unix://@name`."""
    path = address.removeprefix("unix://")
    return (
        ""
        if path.startswith("@") or (path.startswith("/") and not path.endswith("/"))
        else f"{address!r} is not an absolute path"
    )


def export_item(item: str) -> str:
    return "" if item in (".", "*") else optional_label(item) or ("" if item else "an empty namespace")
