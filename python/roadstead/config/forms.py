"""Documents of one form: what is the same for thousands of them is decoded and checked once.

The documents of a large mesh come from a few templates and differ in names: of the resource, its namespace, its host,
its addresses. The native reader takes the names out (`PLACES`); what is left is the form. Where the first document of
a form keeps all rules, and nothing in it compares names with anything else (`_is_plain`), every document of the form
does: it is kept as form and names (`Written`) and decoded when somebody reads it. All others are read one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from roadstead.config.decode import Decoded, wants_a_look
from roadstead.config.destination_rule import DestinationRule
from roadstead.config.dialect import Dialect
from roadstead.config.envelope import HEAD, Reader, reader_for, resource_from
from roadstead.config.meta import Resource, Source, Spec
from roadstead.config.read import read_document
from roadstead.config.service_entry import ServiceEntry
from roadstead.config.virtual_service import VirtualService
from roadstead.config.yaml import document_of, forms

PLACES = (
    "/metadata/name",
    "/metadata/namespace",
    "/spec/hosts/0",
    "/spec/host",
    "/spec/addresses/0",
    "/spec/endpoints/*/address",
    "/spec/http/*/route/*/destination/host",
)
"""Where names stand in documents, whatever their kind."""

_NAME = re.compile(rb"\x01[nh4](\d+)\x02")
_KIND = re.compile(rb"\x01([nh4])(\d+)\x02")
# Forms remembered: where there are so many different ones, the next document has yet another.
_MOST = 4096
# What exportTo may say without naming a namespace.
_NAMELESS = frozenset((".", "*"))


class Form:
    """A text with names left out. kinds: of each name, "n" a label, "h" a host, "4" an IPv4 address: any other of that
    kind will do in its place."""

    __slots__ = ("_parts", "_reader", "kinds", "text")

    def __init__(self, text: bytes, reader: Reader) -> None:
        self.text = text
        # Text and index of a name, in turn.
        self._parts = _NAME.split(text)
        self._reader = reader
        kinds = {int(index): kind.decode() for kind, index in _KIND.findall(text)}
        self.kinds = tuple([kinds[index] for index in range(len(kinds))])

    @property
    def kind(self) -> str:
        """Of the resources: "ServiceEntry" and so on."""
        return self._reader.kind.name

    def json(self, names: Sequence[str]) -> bytes:
        """A document of the form. names: as they stand in JSON."""
        return _filled(self._parts, names)

    def resource(self, names: Sequence[str], source: Source) -> Resource[Spec]:
        """The resource of a document of the form."""
        return resource_from(self._reader, self._reader.decoder.decode(self.json(names)), source)


class Written(msgspec.Struct, frozen=True, gc=False):
    """A document as form and names. file, index and line: of its Source."""

    form: Form
    names: tuple[str, ...]
    file: str
    index: int
    line: int

    @property
    def source(self) -> Source:
        return Source(self.file, self.index, self.line)

    def resource(self) -> Resource[Spec]:
        return self.form.resource(self.names, self.source)


class Forms:
    """The forms met so far."""

    __slots__ = ("_dialect", "_known")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[bytes, Form | None] = {}

    def read(self, text: bytes, origin: str = "") -> Iterator[Written | Decoded]:
        """What becomes of each document of a text, in order."""
        known = self._known
        for form_text, index, line, message, at, column, names in forms(text, PLACES):
            form = known.get(form_text) if form_text is not None and names else None
            if form is not None:
                yield Written(form, names, origin, index, line)
                continue
            json = form_text if form_text is None else _filled(_NAME.split(form_text), names)
            document = document_of(origin, (json, index, line, message, at, column))
            decoded = read_document(document, self._dialect, text)
            if names and form_text is not None and form_text not in known and len(known) < _MOST:
                known[form_text] = _form_of(form_text, names, decoded)
            yield decoded


def _filled(parts: Sequence[bytes], names: Sequence[str]) -> bytes:
    if len(parts) == 1:
        return parts[0]
    made = list(parts)
    for at in range(1, len(made), 2):
        made[at] = names[int(made[at])].encode()
    return b"".join(made)


def _form_of(text: bytes, names: Sequence[str], first: Decoded) -> Form | None:
    """The form, if what holds for its first document holds for all."""
    resource = first.resource
    head = HEAD.match(text)
    reader = reader_for(head[0]) if head else None
    if reader is None or resource is None or first.findings or len(first.resources) > 1 or wants_a_look(text):
        return None
    if not _is_plain(resource):
        return None
    form = Form(text, reader)
    try:
        return form if form.resource(names, resource.origin) == resource else None
    except msgspec.ValidationError:
        # Spelled in a way that only the slower decoder takes.
        return None


def _is_plain(resource: Resource[Spec]) -> bool:
    """Whether validating and compiling treat every name alike: names are compared with each other only."""
    spec = resource.spec
    if isinstance(spec, ServiceEntry):
        plain = (
            len(spec.hosts) == 1
            and len(spec.addresses) <= 1
            and spec.workload_selector is None
            # An allocator's addresses are for the hosts they name.
            and not resource.status.addresses
            # Identities are sorted as text.
            and not any(endpoint.service_account for endpoint in spec.endpoints)
        )
    elif isinstance(spec, VirtualService):
        plain = (
            len(spec.hosts) == 1
            # Server names have to lie inside the hosts.
            and not (spec.tls or spec.tcp or spec.gateways)
            and all(rule.delegate is None for rule in spec.http)
        )
    elif isinstance(spec, DestinationRule):
        plain = spec.workload_selector is None
    else:
        return False
    return plain and _NAMELESS.issuperset(spec.export_to)


__all__ = ["PLACES", "Form", "Forms", "Written"]
