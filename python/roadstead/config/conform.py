"""A raw tree held against the model: spelling made Istio's, and everything that is wrong with it said at once.

Runs only on documents that the decoder refused, or that need a closer look. What protobuf's JSON reader takes is taken:
snake_case names, whole numbers with `.0`, numbers of enumerations, numbers in quotes; the last two not in a Kubernetes
document of dialect `istio`: istiod would read them, but no API server lets them through to it.
"""

from __future__ import annotations

from difflib import get_close_matches

import msgspec

from roadstead.config import duration
from roadstead.config.dialect import EXTENDED_FIELDS, EXTENSIONS, Dialect
from roadstead.config.findings import Finding, escaped
from roadstead.config.schema import (
    Anything,
    Boolean,
    Entries,
    Fields,
    Integer,
    Items,
    Number,
    Object,
    Shape,
    Text,
    Words,
    fields_of,
)
from roadstead.config.service_entry import ServicePort

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_MEANT = {
    "consecutiveErrors": "consecutive5xxErrors",
    "healthChecks": "outlierDetection",
    "caCertificate": "caCertificates",
}
# The schema of the Kubernetes resource has these beside the camelCase ones.
_SCHEMA_SPELLINGS = ("mirror_percent",)
_WRITTEN_PORT = (ServicePort, "targetPort")
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


class _Wrong:
    """Stands for a value that was reported and is left out of the result."""


WRONG = _Wrong()


class Conformer:
    """Walks one document. findings: what was said so far, without file, line and column."""

    def __init__(self, dialect: Dialect, *, schema: bool = True) -> None:
        """schema: whether a Kubernetes API server stands before Istio, as for all but mesh-wide files."""
        self.findings: list[Finding] = []
        self._dialect = dialect
        self._lenient = dialect == "extended" or not schema

    def conform(self, value: Json, shape: Shape, path: str, pointer: str) -> Json | _Wrong:
        """The value in the model's own spelling; parts that are wrong are reported and missing from it."""
        if value is None:
            return self._null(shape, path, pointer)
        match shape:
            case Object():
                return self._object(value, shape, path, pointer)
            case Items():
                return self._items(value, shape, path, pointer)
            case Entries():
                return self._entries(value, shape, path, pointer)
            case Text():
                return self._text(value, shape, path, pointer)
            case Words():
                return self._word(value, shape, path, pointer)
            case Integer():
                return self._integer(value, shape, path, pointer)
            case Number():
                return self._number(value, path, pointer)
            case Boolean():
                return (
                    value
                    if isinstance(value, bool)
                    else self._type("a boolean", value, path, pointer, "true or false, without quotes")
                )
            case Anything():
                return value
        raise AssertionError(shape)

    def _say(self, code: str, message: str, path: str, pointer: str, hint: str = "") -> _Wrong:
        self.findings.append(Finding(code, "error", message, path=path, hint=hint, pointer=pointer))
        return WRONG

    def _type(self, wanted: str, value: Json, path: str, pointer: str, hint: str = "") -> _Wrong:
        return self._say("DEC-2", f"needs {wanted}, not {shown(value)}", path, pointer, hint)

    def _null(self, shape: Shape, path: str, pointer: str) -> Json | _Wrong:
        if shape.nullable or isinstance(shape, Anything):
            return None
        return self._say("DEC-3", f"needs {wanted(shape)}, not null", path, pointer, "leave the field out")

    def _object(self, value: Json, shape: Object, path: str, pointer: str) -> Json | _Wrong:
        if not isinstance(value, dict):
            return self._type("an object", value, path, pointer, _fields_hint(shape))
        fields = fields_of(shape.type)
        result: dict[str, Json] = {}
        for written, inner in value.items():
            name = written if written in fields.shapes else fields.aliases.get(written, "")
            at, place = f"{path}.{written}" if path else written, f"{pointer}/{escaped(written)}"
            if not self._known(shape.type, fields, name, written, at, place):
                continue
            if name != written and name in value:
                # Both spellings: protobuf's JSON reader lets the camelCase one win.
                if written in _SCHEMA_SPELLINGS and not self._lenient:
                    self.conform(inner, fields.shapes[name], at, place)
                continue
            if inner is None and not fields.closed:
                continue  # Kubernetes' own metadata: null means left out
            made = self.conform(inner, fields.shapes[name], at, place)
            if made == 0 and (shape.type, name) == _WRITTEN_PORT:
                # Once it is decoded, nobody can tell it from one that was left out.
                self._say("K-SE-10", "port 0 is not in 1 to 65535", at, place, "leave the field out")
            if not isinstance(made, _Wrong):
                result[name] = made
        return result

    def _known(
        self, struct: type[msgspec.Struct], fields: Fields, name: str, written: str, at: str, place: str
    ) -> bool:
        extension, instead = EXTENDED_FIELDS.get((struct, name), ("", ""))
        if extension and self._dialect == "extended":
            row = EXTENSIONS[extension]
            self.findings.append(
                Finding(row.code, "warning", row.means, path=at, hint=f"Istio {row.istio}", pointer=place)
            )
            return True
        if name and not extension:
            return True
        if fields.closed:
            extended = self._dialect == "extended"
            known = [field for field in fields.shapes if extended or (struct, field) not in EXTENDED_FIELDS]
            hint = f"did you mean {instead}?" if instead else suggestion(written, known)
            self._say("DEC-1", f"unknown field {written!r}", at, place, hint)
        return False

    def _items(self, value: Json, shape: Items, path: str, pointer: str) -> Json | _Wrong:
        if not isinstance(value, list):
            return self._type("a list", value, path, pointer, "put `- ` in front of each item")
        made = [
            self.conform(item, shape.item, f"{path}[{index}]", f"{pointer}/{index}") for index, item in enumerate(value)
        ]
        return [item for item in made if not isinstance(item, _Wrong)]

    def _entries(self, value: Json, shape: Entries, path: str, pointer: str) -> Json | _Wrong:
        if not isinstance(value, dict):
            return self._type("a map", value, path, pointer, "write `name: value`")
        result: dict[str, Json] = {}
        for key, inner in value.items():
            at, place = f"{path}.{key}", f"{pointer}/{escaped(key)}"
            if shape.integer_keys and not key.isdecimal():
                self._say("DEC-2", f"the key {key!r} must be a whole number", at, place)
                continue
            made = self.conform(inner, shape.value, at, place)
            if not isinstance(made, _Wrong):
                result[key] = made
        return result

    def _text(self, value: Json, shape: Text, path: str, pointer: str) -> Json | _Wrong:
        if not isinstance(value, str):
            return self._type("a string", value, path, pointer, _text_hint(value, shape))
        if shape.duration and (complaint := duration.complaint(value, shape.duration)):
            return self._say("DEC-6", complaint, path, pointer, "write it like 1.5s, 300ms or 1h30m")
        return value

    def _word(self, value: Json, shape: Words, path: str, pointer: str) -> Json | _Wrong:
        if isinstance(value, int) and not isinstance(value, bool) and self._lenient:
            return shape.numbers.get(value) or self._say(
                "DEC-4", f"there is no word with the number {value}", path, pointer, one_of(shape.words)
            )
        if not isinstance(value, str):
            return self._type("a word", value, path, pointer, one_of(shape.words))
        if value in shape.words:
            return value
        return self._say(
            "DEC-4", f"unknown word {value!r}", path, pointer, suggestion(value, shape.words) or one_of(shape.words)
        )

    def _integer(self, value: Json, shape: Integer, path: str, pointer: str) -> Json | _Wrong:
        number = whole(value)
        if number is None or (isinstance(value, str) and not self._lenient):
            hint = "leave out the quotes" if number is not None else ""
            return self._type("a whole number", value, path, pointer, hint)
        if not shape.low <= number <= shape.high:
            return self._say("DEC-5", f"{number} is out of range", path, pointer, f"{shape.low} to {shape.high}")
        return number

    def _number(self, value: Json, path: str, pointer: str) -> Json | _Wrong:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str) and self._lenient:
            try:
                return float(value)
            except ValueError:
                pass
        return self._type("a number", value, path, pointer)


def whole(value: Json) -> int | None:
    """The whole number that protobuf's JSON reader sees in a value, or None: 80, 80.0, "80"; not "80.0", 1e21 or
    true."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e21 else None
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value) if len(value) <= 20 else None
    return None


def suggestion(written: str, known: list[str] | tuple[str, ...]) -> str:
    """ "did you mean …?", or "" where nothing is near."""
    folded = {name.lower(): name for name in known}
    plain = written.replace("_", "").replace("-", "").lower()
    near = _MEANT.get(written) or folded.get(plain)
    if near is None or near not in known:
        close = get_close_matches(plain, folded, n=1, cutoff=0.7)
        near = folded[close[0]] if close else None
    return f"did you mean {near}?" if near else ""


def one_of(words: tuple[str, ...]) -> str:
    return f"one of {', '.join(words)}"


def wanted(shape: Shape) -> str:
    """What a shape takes, with its article."""
    match shape:
        case Object():
            return "an object"
        case Items():
            return "a list"
        case Entries():
            return "a map"
        case Text():
            return "a string"
        case Words():
            return "a word"
        case Boolean():
            return "a boolean"
        case _:
            return "a number"


def shown(value: Json) -> str:
    """A value as it is quoted in a message: its kind, and itself where it is short."""
    if isinstance(value, dict | list) or value is None:
        return _KINDS.get(type(value), "null")
    text = msgspec.json.encode(value).decode()
    return f"{_KINDS[type(value)]}: {text if len(text) <= 40 else text[:37] + '...'}"


def _text_hint(value: Json, shape: Text) -> str:
    if shape.duration:
        return f"write the unit: {value}s" if isinstance(value, int) and not isinstance(value, bool) else ""
    if isinstance(value, bool):
        return "put it in quotes: y, n, yes, no, on, off are booleans in YAML"
    return "put it in quotes" if not isinstance(value, dict | list) else ""


def _fields_hint(shape: Object) -> str:
    names = [name for name in fields_of(shape.type).shapes if (shape.type, name) not in EXTENDED_FIELDS]
    return f"with the fields {', '.join(names[:8])}{' …' if len(names) > 8 else ''}" if names else ""
