"""Cases under other names and in another order. What Istio made of the original, under the same names, is what must
come out: no name may mean anything but by its place in the alphabet, no document by its place in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from tests.golden.recorded import case_of

Mutation = Callable[[str], str]
"""A case's JSON text → the mutated one's."""

_DIVIDER = re.compile(r"^---[ \t]*$", re.MULTILINE)
_DOMAIN = re.compile(r"example|\.test\b", re.IGNORECASE)
_FIXED = frozenset({"", "default", "istio-system"})
"""Namespaces whose names mean something to Istio, or are also words of its output."""


def renamed_hosts(text: str) -> str:
    """Other domains, of the same length and at the same place in the alphabet."""
    return _DOMAIN.sub(lambda found: found[0][:-1] + chr(ord(found[0][-1]) + 1), text)


def renamed_namespaces(text: str) -> str:
    """Namespaces with a digit after their first letter, which keeps their order."""
    case = case_of(text)
    names = {verdict.namespace for verdict in case.verdicts}
    names |= {msgspec.json.decode(client.proxy)["namespace"] for client in case.clients.values()}
    words = "|".join(sorted(map(re.escape, names - _FIXED), key=len, reverse=True))
    if not words:
        return text
    return re.sub(rf"(?<![\w-])(?:{words})(?![\w-])", lambda found: found[0][0] + "0" + found[0][1:], text)


def reordered_documents(text: str) -> str:
    """The last document first. Those that share kind, namespace and name keep their order: the last one counts."""
    case = case_of(text)
    documents = [part for part in _DIVIDER.split(case.config) if part.strip()]
    if len(documents) != len(case.verdicts) or len({(v.kind, v.namespace, v.name) for v in case.verdicts}) != len(
        documents
    ):
        return text
    case.config = "\n---\n".join(reversed(documents))
    case.verdicts.reverse()
    return msgspec.json.encode(case).decode()


def repeated_documents(text: str) -> str:
    """Everything written twice. The second time every form is known (config/forms.py): what can be made from names
    alone is made from names alone."""
    case = case_of(text)
    case.config = f"{case.config}\n---\n{case.config}"
    return msgspec.json.encode(case).decode()


MUTATIONS: tuple[Mutation, ...] = (renamed_hosts, renamed_namespaces, reordered_documents, repeated_documents)
