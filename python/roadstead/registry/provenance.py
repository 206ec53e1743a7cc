"""From a piece of the mesh back to the text: positions are not kept, the text is read again when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from roadstead.config import Finding, ResourceKey
from roadstead.config.files import STDIN_NAME
from roadstead.config.yaml import positions
from roadstead.mesh import Origin
from roadstead.registry.store import Store

# Each costs a walk over its file; whoever gets more of them fixes one and asks again.
_PLACED = 100


def place_of(store: Store, origin: Origin) -> str:
    """ "file:line:column"; the file alone if its text changed since; "<stdin>:line", the document's, for standard
    input; "" for what never was in a file."""
    resource = store.get(ResourceKey(origin.kind, origin.namespace, origin.name))
    if resource is None or not resource.origin.file:
        return ""
    source = resource.origin
    text = store.text_of(source)
    if text is None:
        # Standard input cannot be read again, but does not change either.
        return f"{STDIN_NAME}:{source.line}" if source.file == STDIN_NAME else source.file
    places = positions(text, source.index)
    pointer = source.pointer + origin.path
    while True:
        found = places.at(pointer)
        if found is not None:
            return f"{source.file}:{found[0]}:{found[1]}"
        if len(pointer) <= len(source.pointer):
            return f"{source.file}:{source.line}"
        # A field that was left out: its parent is where it would stand.
        pointer = pointer.rpartition("/")[0]


def placed(findings: Iterable[tuple[ResourceKey, Finding]], store: Store) -> Iterator[Finding]:
    """Findings about resources with the line and column of what they are about, as far as their files can be read
    again; the first hundred."""
    texts: dict[str, bytes | None] = {}
    for number, (key, finding) in enumerate(findings):
        resource = store.get(key)
        if resource is None or not finding.file or number >= _PLACED:
            yield finding
            continue
        source = resource.origin
        if source.file not in texts:
            texts[source.file] = store.text_of(source)
        text = texts[source.file]
        found = None if text is None else positions(text, source.index).at(source.pointer + finding.pointer)
        yield finding if found is None else msgspec.structs.replace(finding, line=found[0], column=found[1])
