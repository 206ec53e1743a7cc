"""Rules that look at one field at a time, as data: run over a resource by what its structs are made of.

A struct's rules are compiled once from three tables: `FIELDS` and `ONEOFS` of the kinds' rule sets, and the durations
of the model itself. Where nothing in a struct, or below it, has a rule, it is not visited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from typing import Any, NamedTuple, cast

import msgspec

from roadstead.config.dialect import Dialect
from roadstead.config.duration import complaint as duration_complaint
from roadstead.config.findings import Severity
from roadstead.config.schema import Entries, Items, Object, Shape, Text, fields_of
from roadstead.config.validate.report import Path, Report

Test = Callable[..., str]


class Rule(msgspec.Struct, frozen=True):
    """test gives a complaint or "". on: what it is given: the "value" (None is left alone unless `always`), "each" item
    of a list, the "keys" or the "values" of a map. Only an error refuses the resource. dialect: where it holds, None:
    in both."""

    code: str
    field: str
    test: Test
    on: str = "value"
    always: bool = False
    severity: Severity = "error"
    hint: str = ""
    dialect: Dialect | None = None


class Oneof(msgspec.Struct, frozen=True):
    """At most one of the fields may be there; `needed`: exactly one."""

    code: str
    fields: tuple[str, ...]
    needed: bool = False


Rules = Mapping[type[msgspec.Struct], tuple[Rule | Oneof, ...]]


def written(struct: msgspec.Struct, attribute: str) -> str:
    """The name of a field as the user writes it."""
    return next(field.encode_name for field in msgspec.structs.fields(struct) if field.name == attribute)


class _Check(msgspec.Struct, frozen=True):
    attribute: str
    name: str
    test: Test
    code: str
    always: bool
    keys: bool
    severity: Severity
    hint: str
    dialect: Dialect | None

    def say(self, path: Path, complaint: str, report: Report) -> None:
        if self.dialect is None or (self.dialect == "extended") == report.extended:
            report.say(self.code, self.severity, path, complaint, self.hint)


class _Child(msgspec.Struct, frozen=True):
    attribute: str
    name: str
    checker: Checker
    many: bool

    def holds(self, found: Any) -> bool:
        if self.many:
            return all(map(self.checker.holds, found if isinstance(found, tuple) else found.values()))
        return self.checker.holds(found)

    def descend(self, found: object, path: Path, report: Report) -> None:
        at = (*path, self.name)
        for key, item in _members(found):
            self.checker.report(item, at if key is None else (*at, key), report)


def _members(found: object) -> Iterable[tuple[str | int | None, msgspec.Struct]]:
    """Structs under a field, each with its key or index; of a single one None."""
    if isinstance(found, dict):
        return found.items()
    return enumerate(found) if isinstance(found, tuple) else [(None, cast("msgspec.Struct", found))]


class _Quick(NamedTuple):
    """The walk's own columns: plain tuples, which it goes through for every struct of every resource."""

    values: tuple[tuple[str, Test, bool], ...]
    items: tuple[tuple[str, Test], ...]
    oneofs: tuple[tuple[tuple[str, ...], bool], ...]
    children: tuple[tuple[str, _Child], ...]


class Checker(msgspec.Struct, frozen=True, dict=True):
    """The compiled rules of one struct and of everything under it: of single values, of items of lists, of maps, and of
    what excludes each other."""

    values: tuple[_Check, ...]
    items: tuple[_Check, ...]
    maps: tuple[_Check, ...]
    oneofs: tuple[tuple[str, tuple[tuple[str, str], ...], bool], ...]
    children: tuple[_Child, ...]

    @cached_property
    def quick(self) -> _Quick:
        return _Quick(
            tuple((check.attribute, check.test, check.always) for check in self.values),
            tuple((check.attribute, check.test) for check in self.items),
            tuple((tuple(attribute for attribute, _ in members), needed) for _, members, needed in self.oneofs),
            tuple((child.attribute, child) for child in self.children),
        )

    @property
    def idle(self) -> bool:
        return not (self.values or self.items or self.maps or self.oneofs or self.children)

    def run(self, value: msgspec.Struct, path: Path, report: Report) -> None:
        """Report what breaks a rule. Nearly every resource keeps them all, so paths are made in a second walk only."""
        if not self.holds(value):
            self.report(value, path, report)

    def holds(self, value: msgspec.Struct) -> bool:
        """Whether all rules are kept."""
        for attribute, test, always in self.quick.values:
            found = getattr(value, attribute)
            if (found is not None or always) and test(found):
                return False
        for attribute, test in self.quick.items:
            found = getattr(value, attribute)
            if found and any(map(test, found)):
                return False
        for check in self.maps:
            found = getattr(value, check.attribute)
            if found and any(map(check.test, found if check.keys else found.values())):
                return False
        for attributes, needed in self.quick.oneofs:
            given = 0
            for attribute in attributes:
                if getattr(value, attribute) is not None:
                    given += 1
            if given > 1 or (needed and not given):
                return False
        for attribute, child in self.quick.children:
            found = getattr(value, attribute)
            if found and not child.holds(found):
                return False
        return True

    def report(self, value: msgspec.Struct, path: Path, report: Report) -> None:
        """The same walk, with a finding for each rule that is broken."""
        for check in self.values:
            found = getattr(value, check.attribute)
            if (found is not None or check.always) and (complaint := check.test(found)):
                check.say((*path, check.name), complaint, report)
        for check in self.items:
            for index, item in enumerate(getattr(value, check.attribute)):
                if complaint := check.test(item):
                    check.say((*path, check.name, index), complaint, report)
        for check in self.maps:
            for key, item in getattr(value, check.attribute).items():
                if complaint := check.test(key if check.keys else item):
                    check.say((*path, check.name, key), complaint, report)
        for code, members, needed in self.oneofs:
            given = [name for attribute, name in members if getattr(value, attribute) is not None]
            if len(given) > 1:
                report.error(code, (*path, given[-1]), f"only one of {', '.join(given)} may be given")
            elif needed and not given:
                report.error(code, path, f"one of {', '.join(name for _, name in members)} is needed")
        for child in self.children:
            found = getattr(value, child.attribute)
            if found:
                child.descend(found, path, report)


def compiled(struct: type[msgspec.Struct], rules: Rules) -> Checker:
    """The checker of a struct under a table of rules. Compile once, keep it."""
    made: dict[type[msgspec.Struct], Checker] = {}
    return _compile(struct, rules, made)


def _compile(struct: type[msgspec.Struct], rules: Rules, made: dict[type[msgspec.Struct], Checker]) -> Checker:
    if struct in made:
        return made[struct]
    fields = fields_of(struct)
    names = {attribute: name for name, attribute in fields.attributes.items()}
    own = rules.get(struct, ())
    single = [rule for rule in own if isinstance(rule, Rule)]
    children = []
    for name, shape in fields.shapes.items():
        attribute = fields.attributes[name]
        if isinstance(shape, Text) and shape.duration:
            single.append(Rule("DEC-6", attribute, _duration_test(shape.duration)))
        below = _struct_in(shape)
        if below is not None:
            checker = _compile(below, rules, made)
            if not checker.idle:
                children.append(_Child(attribute, name, checker, not isinstance(shape, Object)))
    checks = [
        (
            rule.on,
            _Check(
                rule.field,
                names[rule.field],
                rule.test,
                rule.code,
                rule.always,
                rule.on == "keys",
                rule.severity,
                rule.hint,
                rule.dialect,
            ),
        )
        for rule in single
    ]
    made[struct] = Checker(
        values=tuple(check for on, check in checks if on == "value"),
        items=tuple(check for on, check in checks if on == "each"),
        maps=tuple(check for on, check in checks if on in ("keys", "values")),
        oneofs=tuple(
            (rule.code, tuple((field, names[field]) for field in rule.fields), rule.needed)
            for rule in own
            if isinstance(rule, Oneof)
        ),
        children=tuple(children),
    )
    return made[struct]


def _struct_in(shape: Shape) -> type[msgspec.Struct] | None:
    if isinstance(shape, Items):
        return _struct_in(shape.item)
    if isinstance(shape, Entries):
        return _struct_in(shape.value)
    return shape.type if isinstance(shape, Object) else None


@cache
def _duration_test(rule: str) -> Test:
    return lambda text: duration_complaint(text, rule)
