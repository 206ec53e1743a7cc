"""The stub `_core.pyi` against both engines: every class, method, parameter and property; nothing public beside them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from roadstead import core, objects

STUB = ast.parse((Path(core.__file__).parent / "_core.pyi").read_text())
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
PUBLIC = sorted(name for name in CLASSES if not name.startswith("_"))
Function = ast.FunctionDef


def functions(name: str) -> dict[str, Function]:
    """Methods and properties of a class of the stub, inherited ones too."""
    node = CLASSES[name]
    found: dict[str, Function] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in CLASSES:
            found |= functions(base.id)
    return found | {one.name: one for one in node.body if isinstance(one, Function) and not is_setter(one)}


def is_setter(function: Function) -> bool:
    return any(isinstance(one, ast.Attribute) and one.attr == "setter" for one in function.decorator_list)


def is_property(function: Function) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "property" for one in function.decorator_list)


def members(properties: bool) -> list[tuple[str, str]]:
    return [
        (name, method)
        for name in PUBLIC
        for method, function in functions(name).items()
        if is_property(function) is properties
    ]


def stub_parameters(function: Function) -> list[tuple[str, str, str | None]]:
    """(name, kind, default) without the first; the default is its source text, or None for a required parameter."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    found = [
        (one.arg, "positional", None if default is None else ast.unparse(default))
        for one, default in zip(positional, defaults, strict=True)
    ]
    found += [
        (one.arg, "keyword", None if default is None else ast.unparse(default))
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return found[1:] if positional else found


def real_parameters(function: object, bound: bool) -> list[tuple[str, str, str | None]]:
    assert callable(function)
    found = []
    for one in inspect.signature(function).parameters.values():
        kind = "keyword" if one.kind is inspect.Parameter.KEYWORD_ONLY else "positional"
        default = None if one.default is inspect.Parameter.empty else repr(one.default).replace("'", '"')
        found.append((one.name, kind, default and default.replace('"', "'")))
    return found if bound else found[1:]


def test_name(engine: ModuleType, engine_name: str) -> None:
    assert engine_name == engine.NAME
    assert core.engine(engine_name) is engine


@pytest.mark.parametrize("name", PUBLIC)
def test_class_is_there(engine: ModuleType, name: str) -> None:
    assert isinstance(getattr(engine, name), type)
    assert getattr(engine, name).__name__ == name


@pytest.mark.parametrize(("name", "member"), members(properties=True))
def test_property(engine: ModuleType, name: str, member: str) -> None:
    assert inspect.isdatadescriptor(getattr(getattr(engine, name), member))


@pytest.mark.parametrize(
    ("name", "member"), [pair for pair in members(properties=False) if not pair[1].startswith("__")]
)
def test_method(engine: ModuleType, name: str, member: str) -> None:
    assert real_parameters(getattr(getattr(engine, name), member), bound=False) == stub_parameters(
        functions(name)[member]
    )


@pytest.mark.parametrize(("name", "member"), [pair for pair in members(properties=False) if pair[1].startswith("__")])
def test_special_method(engine: ModuleType, name: str, member: str) -> None:
    made = getattr(engine, name)
    if member == "__new__":
        assert real_parameters(made, bound=True) == stub_parameters(functions(name)[member])
    else:
        assert getattr(made, member) is not getattr(object, member, None)


@pytest.mark.parametrize("name", PUBLIC)
def test_nothing_else_is_public(engine: ModuleType, name: str) -> None:
    public = {member for member in dir(getattr(engine, name)) if not member.startswith("_")}
    assert public == {member for member in functions(name) if not member.startswith("_")}


@pytest.mark.parametrize("name", ["Decision", "Service", "Cluster", "Endpoint", "Exchange"])
def test_faces(engine: ModuleType, name: str) -> None:
    assert issubclass(getattr(engine, name), getattr(objects, name))


@pytest.mark.parametrize("name", ["RequestLease", "ConnectionLease"])
def test_lease_face(engine: ModuleType, name: str) -> None:
    assert issubclass(getattr(engine, name), objects.Lease)
