"""What a YAML scalar means: YAML 1.1 as go-yaml v2 resolves it, and how Go's encoding/json prints it.

| text | value |
|---|---|
| `y yes on true`, `n no off false` in lower, upper and title case | boolean |
| `~`, `null Null NULL`, nothing | null |
| `1_000`, `+1`, `0x1F`, `0o17`, `017`, `0b11` | integer; `08` is no octal number and so the float 8 |
| `1.0`, `1e3`, `.5` | number |
| `.inf`, `.nan` | a number that JSON does not have: an error, but for keys |
| `1:30`, `2024-01-01`, `1e400`, `=`, anything else, anything in quotes | string |

The native reader's native/yaml/src/scalar.rs says the same; tests/config/test_yaml.py holds both to one table.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from functools import lru_cache
from json.encoder import encode_basestring
from typing import TypeAlias

Scalar: TypeAlias = "str | bool | int | float | None"

PREFIX = "tag:yaml.org,2002:"
MERGE = PREFIX + "merge"
_BINARY = PREFIX + "binary"
_TIMESTAMP = PREFIX + "timestamp"
_TYPED = {PREFIX + name: name for name in ("bool", "int", "float", "null", "timestamp")}

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["~", "null", "Null", "NULL"]),
    "": None,
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[oO]?([0-7]+)|0[bB]([01]+)|(0|[1-9][0-9]{0,19}))")
_FLOAT = re.compile(r"[+-]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][+-]?[0-9]+)?")
_POINT_FIRST = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][+-]?[0-9]+(?:_[0-9]+)*)?")
_SIGNED_BINARY = re.compile(r"0b([+-][01]{1,63})")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_DATE = re.compile(r"[0-9]{4}-.")
_LARGEST = 2**63 - 1
# The same few words fill a mesh: what is up to so many characters is remembered.
_SHORT = 64


def resolve(text: str, plain: bool, tag: str | None) -> Scalar:
    """The value of a scalar; a str is text. plain: written without quotes, or with the tag `!`. tag: its full name,
    None for none and for `!`. Raises ValueError where the text is not of the type its tag says."""
    if tag is None:
        return _implicit(text) if plain else text
    if tag == _BINARY:
        return _binary(text)
    wanted = _TYPED.get(tag)
    if wanted is None or (tag == _TIMESTAMP and _DATE.match(text)):
        return text
    value = _implicit(text)
    found = _type_of(value)
    if wanted == "float" and found == "int" and isinstance(value, int) and value <= _LARGEST:
        return float(value)
    if found != wanted:
        raise ValueError(f"cannot decode !!{found} `{text}` as a !!{wanted}")
    return value


def _type_of(value: Scalar) -> str:
    if value is None:
        return "null"
    return {bool: "bool", int: "int", float: "float", str: "str"}[type(value)]


def _implicit(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if first == ".":
        return _float(text.replace("_", ""), text) if _POINT_FIRST.fullmatch(text) else text
    if first not in "+-0123456789":
        return text
    bare = text.replace("_", "")
    integer = _INTEGER.fullmatch(bare)
    if integer is not None:
        sign, sixteen, eight, two, ten = integer.groups()
        digits, base = (sixteen, 16) if sixteen else (eight, 8) if eight else (two, 2) if two else (ten, 10)
        size = int(digits, base)
        if size <= _LARGEST or (sign == "-" and size == _LARGEST + 1):
            return -size if sign == "-" else size
        if not sign and size < 2**64:
            return size
    if _FLOAT.fullmatch(bare):
        return _float(bare, text)
    # go-yaml reads what follows a lower-case 0b as a number of its own, sign and all.
    signed = _SIGNED_BINARY.fullmatch(bare)
    return int(signed[1], 2) if signed else text


def _float(digits: str, text: str) -> float | str:
    number = float(digits)
    return text if math.isinf(number) else number


def _binary(text: str) -> str:
    symbols = text.replace("\n", "").replace("\r", "")
    if len(symbols) % 4 or not _BASE64.fullmatch(symbols):
        raise ValueError("!!binary value contains invalid base64 data")
    # encoding/json puts one replacement character for every byte that is not UTF-8.
    decoded = base64.b64decode(symbols).decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", "\ufffd", decoded)


def json_of(text: str, plain: bool, tag: str | None) -> str:
    """A scalar as JSON text. Raises ValueError as `resolve` does, and for a number JSON does not have."""
    if plain and tag is None and len(text) <= _SHORT:
        return _plain_json(text)
    return _json(resolve(text, plain, tag), text)


def key_of(text: str, plain: bool, tag: str | None) -> str:
    """The text of the key a scalar becomes. Raises ValueError as `resolve` does, and for one that cannot be a key."""
    if plain and tag is None and len(text) <= _SHORT:
        return _plain_key(text)
    return _key(resolve(text, plain, tag))


@lru_cache(maxsize=4096)
def _plain_json(text: str) -> str:
    return _json(_implicit(text), text)


@lru_cache(maxsize=4096)
def _plain_key(text: str) -> str:
    return _key(_implicit(text))


def _json(value: Scalar, text: str) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise ValueError(f"JSON has no number `{text}`")
    sign, digits, power = _parts(repr(value))
    return sign + (_positional(digits, power) if -6 <= power < 21 or digits == "0" else _scientific(digits, power, 1))


def _key(value: Scalar) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise ValueError("a mapping key must not be null")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if value > _LARGEST:
            raise ValueError("a mapping key is too large an integer")
        return str(value)
    return _float_key(value)


def _float_key(value: float) -> str:
    """sigs.k8s.io/yaml prints a key as a 32-bit float with Go's %g."""
    if math.isnan(value):
        return ".nan"
    single = _single(value)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    shortest = next(text for text in (f"{single:.{n}e}" for n in range(17)) if _single(float(text)) == single)
    sign, digits, power = _parts(shortest)
    return sign + (_positional(digits, power) if -4 <= power < 6 or digits == "0" else _scientific(digits, power, 2))


def _single(value: float) -> float:
    """Rounded to 32 bits."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _parts(text: str) -> tuple[str, str, int]:
    """Sign, significant digits and power of ten of the first digit of a printed float."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign, "0", 0
    power = int(exponent or 0) + len(whole) - 1 - (len(whole + fraction) - len(digits))
    return sign, digits.rstrip("0"), power


def _positional(digits: str, power: int) -> str:
    if power < 0:
        return "0." + "0" * (-power - 1) + digits
    whole = digits[: power + 1].ljust(power + 1, "0")
    fraction = digits[power + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def _scientific(digits: str, power: int, width: int) -> str:
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):0{width}d}"


__all__ = ["MERGE", "Scalar", "json_of", "key_of", "resolve"]
