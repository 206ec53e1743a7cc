"""The public names: sorted, documented, there, and free of work at import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import roadstead


def test_all_is_sorted_and_complete() -> None:
    assert roadstead.__all__ == sorted(roadstead.__all__)
    assert set(roadstead.__all__) == set(roadstead._HOMES)


@pytest.mark.parametrize("name", roadstead.__all__)
def test_each_name_is_there_and_documented(name: str) -> None:
    value = getattr(roadstead, name)
    assert name in dir(roadstead)
    if inspect.isclass(value):
        assert value.__doc__
        for attribute, member in vars(value).items():
            if inspect.isfunction(member) and not attribute.startswith("_"):
                assert member.__doc__, f"{name}.{attribute}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        roadstead.nonsense  # noqa: B018 - reading it is the test


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = "import roadstead, sys; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    for heavy in ("msgspec", "yaml", "click", "rich", "google", "asyncio"):
        assert f"'{heavy}'" not in loaded


def test_objects_of_the_engine_are_instances_of_the_public_classes(engine_name: str) -> None:
    registry = roadstead.Registry.from_text(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\n"
        "spec: {hosts: [a.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n",
        backend=engine_name,
    )
    decision = registry.route("a.example.com")
    assert isinstance(decision, roadstead.Decision)
    assert isinstance(registry.find("a.example.com", 80), roadstead.Service)
    assert isinstance(decision.cluster, roadstead.Cluster)
    assert isinstance(decision.pick(), roadstead.Endpoint)
    with decision.lease() as lease:
        assert isinstance(lease, roadstead.Lease)
    with decision.exchange() as exchange:
        assert isinstance(exchange, roadstead.Exchange)
    assert not isinstance(registry, roadstead.Decision)
