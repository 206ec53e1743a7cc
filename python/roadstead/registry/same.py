"""Whether two versions of a resource mean the same: then nothing is compiled again."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from roadstead.config import Condition, ObjectMeta, Resource, Spec


def means_the_same(before: Resource[Spec], after: Resource[Spec]) -> bool:
    """They differ at most in where they stand, in what an API server counts, and in what a status says that is not
    read: controllers write the status of a resource again and again."""
    return (
        before.spec == after.spec
        and _read(before.metadata) == _read(after.metadata)
        and before.api_version == after.api_version
        and before.status.addresses == after.status.addresses
        and _health(before.status.conditions) == _health(after.status.conditions)
    )


def _read(metadata: ObjectMeta) -> ObjectMeta:
    """What is read of it."""
    return msgspec.structs.replace(metadata, generation=0, resource_version="", uid="")


def _health(conditions: Iterable[Condition]) -> str:
    """Of a WorkloadEntry; nobody reads the other conditions."""
    return next((condition.status for condition in conditions if condition.type == "Healthy"), "")


__all__ = ["means_the_same"]
