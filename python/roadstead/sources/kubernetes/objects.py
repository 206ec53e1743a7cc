"""What an API server says, as far as it is read here: pages of a list, events of a watch, errors."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from roadstead.config.decode import Decoded
from roadstead.config.dialect import Dialect
from roadstead.config.kinds import Kind
from roadstead.config.read import read_document
from roadstead.config.yaml import Document, SyntaxProblem


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """Of an object, or of a list (`continue_`: where the next page begins, "" for none)."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, frozen=True):
    """Of a list; all pages of one are of one moment, its resourceVersion's."""

    metadata: Meta = Meta()
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct, frozen=True):
    """type: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, then the object is a `Status`."""

    type: str
    object: msgspec.Raw


class Status(msgspec.Struct, frozen=True):
    """Why something failed. code: HTTP's; reason: Kubernetes' word (Expired, Forbidden …)."""

    code: int = 0
    reason: str = ""
    message: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
page_of = msgspec.json.Decoder(Page).decode
event_of = msgspec.json.Decoder(Event).decode
status_of = msgspec.json.Decoder(Status).decode
_object_of = msgspec.json.Decoder(_Object).decode


class Objects(msgspec.Struct, frozen=True):
    """The objects of one kind, in one namespace or (namespace "") in all. source: what findings call the cluster."""

    kind: Kind
    namespace: str
    source: str

    def __str__(self) -> str:
        return f"{self.kind.plural} in {self.namespace}" if self.namespace else self.kind.plural

    def piece(self, meta: Meta) -> str:
        """What an object is called: in the layer, and as the "file" of findings and provenance."""
        return f"{self.source}:{self.kind.name.lower()}/{meta.namespace}/{meta.name}"

    def decode(self, raw: bytes, piece: str, dialect: Dialect) -> Decoded:
        """The resource of an object, or why it is refused."""
        try:
            return read_document(Document(piece, 0, 0, raw), dialect)
        except _UNREADABLE as error:
            return read_document(Document(piece, 0, 0, None, SyntaxProblem(0, 0, str(error))), dialect)


def meta_of(raw: bytes) -> Meta:
    """Of an object; of one that has none that can be read, an empty one: decoding says what is wrong with it."""
    try:
        return _object_of(raw).metadata
    except _UNREADABLE:
        return Meta()


class TooLarge(Exception):
    """More bytes than are read at most."""


class Lines:
    """Lines of a stream that comes in chunks of any size. most: bytes of one line; `TooLarge` for a longer one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that end in this chunk; empty ones are left out."""
        *ended, begun = chunk.split(b"\n")
        for end in ended:
            self._add(end)
            line = b"".join(self._begun)
            self._begun.clear()
            self._size = 0
            if line.strip():
                yield line
        if begun:
            self._add(begun)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most:
            raise TooLarge(f"an event of more than {self._most} bytes")
        self._begun.append(part)
