"""Where a piece of the mesh came from."""

from __future__ import annotations

import msgspec


class Origin(msgspec.Struct, frozen=True, gc=False):
    """A resource and a field in it. `path` is a JSON pointer into the document ("/spec/http/0"); file, line and column
    are found from them by the registry's store when somebody asks."""

    kind: str
    namespace: str
    name: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}{self.path}"
