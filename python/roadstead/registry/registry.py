"""The registry: configuration in, decisions out; changes are compiled, lowered and published host by host."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Self, TypeAlias

from roadstead import core
from roadstead.errors import InputError
from roadstead.registry.breath import Breath
from roadstead.registry.view import Shared, View

# Reading and compiling are loaded with the first registry, not with its class.
if TYPE_CHECKING:
    from roadstead.compile.touch import Touch
    from roadstead.config import Finding, MeshConfig, MeshNetworks, Resource, ResourceKey, Spec
    from roadstead.config.decode import Decoded
    from roadstead.config.dialect import Dialect
    from roadstead.mesh import Delta, Node
    from roadstead.registry.intake import Delete, Put
    from roadstead.registry.refusal import Refused
    from roadstead.registry.settings import Settings

# Resources of a change that leaves so many objects behind that the collector would be heard walking them.
_LARGE = 1000

StrPath = str | os.PathLike[str]
Changes: TypeAlias = "dict[ResourceKey, Resource[Spec] | None]"


class Registry(View):
    """Istio's service registry in this process, as one node sees it.

    Reading (`find`, `route`, `connect` and what they return) takes no lock and never sees half a change; changing
    (`apply`) is for one thread at a time, others wait. A registry owns no thread and does no I/O after it was loaded,
    but for `locate`, which reads a file again.

    node: the workload on whose behalf decisions are made; default a sidecar in the namespace "default".
    mesh: a MeshConfig or the path of one; default Istio's own. networks: the same for MeshNetworks.
    dialect: "extended" also takes what common guides write beyond Istio; "istio" is Istio to the letter.
    backend: "native" or "fallback"; default the native engine where it is installed.
    seed: makes decisions repeatable; default the system's entropy. clock: nanoseconds, monotonic; default the
    system's."""

    __slots__ = ("_dialect",)

    def __init__(
        self,
        *,
        node: Node | None = None,
        mesh: MeshConfig | StrPath | None = None,
        networks: MeshNetworks | StrPath | None = None,
        dialect: Dialect = "extended",
        backend: str | None = None,
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        """An empty registry: every host is unknown. Raises InputError for a MeshConfig or MeshNetworks that is
        refused."""
        from roadstead.compile.touch import Touch
        from roadstead.mesh import Node

        if dialect not in ("istio", "extended"):
            raise ValueError(f"no dialect {dialect!r}: use 'extended' or 'istio'")
        settings, findings = _settings(mesh, networks, dialect)
        shared = Shared(core.engine(backend), settings, seed, clock)
        if findings:
            shared.findings["mesh"] = findings
        super().__init__(shared, node or Node())
        self._dialect = dialect
        _remember(shared)
        # A router's listeners are compiled even of nothing, so that the first Gateway finds who reads it.
        self.publish(self.stage(Touch(everything=True)))

    @classmethod
    def from_files(
        cls,
        *paths: StrPath,
        node: Node | None = None,
        mesh: MeshConfig | StrPath | None = None,
        networks: MeshNetworks | StrPath | None = None,
        dialect: Dialect = "extended",
        backend: str | None = None,
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> Self:
        """Load files and folders (.yaml, .yml, .json; "-" is standard input).

        What cannot be used is left out and told in `diagnostics`. Raises FileNotFoundError for a path that is not
        there and InputError where nothing at all can be read as YAML or JSON."""
        from roadstead.config.files import read

        registry = cls(
            node=node, mesh=mesh, networks=networks, dialect=dialect, backend=backend, seed=seed, clock=clock
        )
        registry._load((text.name, text.data) for text in read(paths))
        return registry

    @classmethod
    def from_text(
        cls,
        text: str | bytes,
        *,
        node: Node | None = None,
        mesh: MeshConfig | StrPath | None = None,
        networks: MeshNetworks | StrPath | None = None,
        dialect: Dialect = "extended",
        backend: str | None = None,
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
    ) -> Self:
        """Load YAML or JSON text with any number of documents. Raises InputError where nothing of it can be read."""
        registry = cls(
            node=node, mesh=mesh, networks=networks, dialect=dialect, backend=backend, seed=seed, clock=clock
        )
        registry._load([("", text.encode() if isinstance(text, str) else text)])
        return registry

    @property
    def dialect(self) -> Dialect:
        """How documents are read: "istio" or "extended"."""
        return self._dialect

    def view(self, node: Node) -> View:
        """The same configuration for another node. It follows every `apply` as long as somebody holds it."""
        from roadstead.compile.touch import Touch

        with self._shared.lock:
            view = View(self._shared, node)
            with _bulk(self._shared):
                view.publish(view.stage(Touch(everything=True)))
            return view

    def apply(
        self,
        put: Put = (),
        delete: Delete = (),
        *,
        mesh: MeshConfig | None = None,
        networks: MeshNetworks | None = None,
    ) -> Delta:
        """Change the configuration: all of it becomes visible at once, in every view.

        put: resources, documents (dicts) or YAML text, one or many; each replaces the one of its kind, namespace and
        name. delete: keys, resources, documents, or "Kind/namespace/name". mesh, networks: replace the mesh-wide
        settings.

        An object that is refused (`Delta.diagnostics` says why) is refused alone: its previous version keeps serving.
        The delta's hosts and clusters are those of this registry's own node."""
        from roadstead.compile.touch import Touch
        from roadstead.mesh import Delta
        from roadstead.registry.intake import keys_of, taken_in

        breath, shared = Breath(), self._shared
        changes: Changes = dict.fromkeys(keys_of(delete))
        with _uncollected() as collects:
            read = list(breath.between(taken_in(put, self._dialect)))
            findings = [finding for decoded in breath.between(read) for finding in decoded.findings]
            for decoded in breath.between(read):
                changes.update({resource.key: resource for resource in decoded.resources})
            with shared.lock:
                for key in breath.between(changes):
                    shared.findings.pop(key, None)
                    shared.refusals.pop(key, None)
                for decoded in breath.between(read):
                    self._keep_findings(decoded)
                touch = Touch()
                if mesh is not None or networks is not None:
                    self._resettle(mesh, networks)
                    touch.everything = True
                breath.let_go(read.pop)
                large = len(changes) > _LARGE
                delta = self._change(changes, touch, findings)
            if collects and large:
                _age()
        return Delta(delta.hosts, delta.clusters, (*findings, *delta.diagnostics))

    # Loading

    def _load(self, texts: Iterable[tuple[str, bytes]]) -> None:
        from roadstead.compile.touch import Touch
        from roadstead.config.forms import Forms, Written

        readable = 0
        forms = Forms(self._dialect)
        unreadable: list[Finding] = []
        shared = self._shared
        with shared.lock, _bulk(shared):
            touch = Touch(everything=True)
            for name, text in texts:
                shared.store.saw(name, text)
                for number, one in enumerate(forms.read(text, name)):
                    if isinstance(one, Written):
                        readable += 1
                        shared.store.put_written(shared.index.put_written(one, touch), one)
                        continue
                    broken = [finding for finding in one.findings if finding.code == "DOC-1"]
                    unreadable += broken
                    readable += not broken
                    self._keep_findings(one, f"{name}#{number}")
                    # One by one into the store, or all would be in memory at once as structs.
                    for resource in one.resources:
                        self._set({resource.key: resource}, touch)
                    touch.everything_but_hosts()
                # Not needed any more, and it may be large.
                del text
            if unreadable and not readable:
                raise InputError(str(unreadable[0]))
            self._change({}, touch, [])

    def _keep_findings(self, decoded: Decoded, place: str = "") -> None:
        """Keep what was said about a document under the one resource it is about; of several, and of none, under its
        place, or not at all if it has none."""
        subjects = [*[resource.key for resource in decoded.resources], *decoded.refused]
        if not decoded.findings or (len(subjects) != 1 and not place):
            return
        if len(subjects) != 1:
            self._shared.findings[place] = decoded.findings
        elif decoded.refused:
            self._shared.refusals[subjects[0]] = decoded.findings
        else:
            self._shared.findings[subjects[0]] = decoded.findings

    # Changing

    def _resettle(self, mesh: MeshConfig | None, networks: MeshNetworks | None) -> None:
        from roadstead.registry.settings import Settings

        before = self._shared.settings
        self._shared.settings = Settings(mesh or before.mesh, networks or before.networks, before.extended)
        for view in list(self._shared.views):
            view.resettle(self._shared.settings)

    def _change(self, changes: Changes, touch: Touch, findings: list[Finding]) -> Delta:
        """Take the changes in, stage them in every view, put back what an engine refuses, publish. Of this view's own
        node is what comes back."""
        before = self._replaced(changes)
        published = dict(before)
        # Only the store keeps what was taken in, so that a bulk load's memory can be used again.
        for key in Breath().between(list(changes)):
            self._set_one(key, changes.pop(key), touch)
        views = list(self._shared.views)
        while True:
            staged = {view: view.stage(touch, lambda: self._holding(published)) for view in views}
            refused = [piece for one in staged.values() for piece in one.refused]
            # What did not change now was there before the table was, and cannot be put back.
            refused += [piece for one in staged.values() for piece in one.spoiling if piece.key in before]
            if not refused:
                break
            self._set(self._put_back(refused, before, findings), touch)
        deltas = {view: view.publish(one) for view, one in staged.items()}
        Breath().let_go(before.popitem, published.popitem, *[one.replaced.pop for one in staged.values()])
        return deltas[self]

    def _replaced(self, changes: Changes) -> Changes:
        """What the changes replace. Those that leave what a resource means are taken out: of them only the store hears.
        Who writes one line of a large file, or a status, changes one resource."""
        from roadstead.registry.same import means_the_same

        store = self._shared.store
        replaced: Changes = {}
        for key in Breath().between(list(changes)):
            resource, before = changes[key], store.get(key)
            if resource is not None and before is not None and means_the_same(before, resource):
                store.move(key, resource)
                del changes[key]
            else:
                replaced[key] = before
        return replaced

    def _set(self, changes: Changes, touch: Touch) -> None:
        for key, resource in Breath().between(changes.items()):
            self._set_one(key, resource, touch)

    def _set_one(self, key: ResourceKey, resource: Resource[Spec] | None, touch: Touch) -> None:
        from roadstead.compile.facts import key_of

        store, index = self._shared.store, self._shared.index
        if resource is not None:
            kept = key_of(resource)
            store.put(resource, kept)
            index.put(resource, touch, kept)
        elif key in store:
            store.pop(key)
            index.delete(key, touch)

    @contextmanager
    def _holding(self, resources: Changes) -> Iterator[None]:
        """With these resources as they were; afterwards as they are."""
        from roadstead.compile.touch import Touch

        now = {key: self._shared.store.get(key) for key in resources}
        self._set(resources, Touch())
        try:
            yield
        finally:
            self._set(now, Touch())
            Breath().let_go(now.popitem)

    def _put_back(self, refused: Iterable[Refused], before: Changes, findings: list[Finding]) -> Changes:
        """The previous versions of what the engine refuses; what was refused before goes altogether."""
        from roadstead.config import Finding

        back: Changes = {}
        for piece in refused:
            origin, key = piece.origin, piece.key
            if key in back:
                continue
            bad = self._shared.store.get(key)
            finding = Finding(
                piece.code,
                piece.severity,
                piece.reason,
                file="" if bad is None else bad.origin.file,
                line=0 if bad is None else bad.origin.line,
                path=origin.path.removeprefix("/").replace("/", "."),
                pointer=origin.path,
            )
            findings.append(finding)
            self._shared.findings[key] = (*self._shared.findings.get(key, ()), finding)
            back[key] = before.pop(key, None)
        return back


def _settings(
    mesh: MeshConfig | StrPath | None, networks: MeshNetworks | StrPath | None, dialect: Dialect
) -> tuple[Settings, tuple[Finding, ...]]:
    from pathlib import Path

    from roadstead.config import MeshConfig, MeshNetworks
    from roadstead.config.read import read_mesh, read_networks
    from roadstead.registry.settings import Settings

    findings: tuple[Finding, ...] = ()
    if mesh is None:
        mesh = MeshConfig()
    elif not isinstance(mesh, MeshConfig):
        text = Path(mesh).read_bytes()
        decoded = read_mesh(text, str(mesh), dialect)
        findings += decoded.findings
        if decoded.value is None:
            raise InputError(str(decoded.findings[0]))
        mesh = decoded.value
    if networks is not None and not isinstance(networks, MeshNetworks):
        text = Path(networks).read_bytes()
        made = read_networks(text, str(networks), dialect)
        findings += made.findings
        if made.value is None:
            raise InputError(str(made.findings[0]))
        networks = made.value
    return Settings(mesh, networks, dialect == "extended"), findings


@contextmanager
def _bulk(shared: Shared) -> Iterator[None]:
    """A bulk load makes objects that stay and no cycles: walking them again and again would double its time. What it
    leaves behind for the next is given up."""
    with _uncollected() as collects:
        try:
            yield
        finally:
            shared.rest()
            if collects:
                _age()


def _age() -> None:
    """To the oldest generation unseen; objects that somebody froze himself would be thawed with them."""
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


@contextmanager
def _uncollected() -> Iterator[bool]:
    """Without the collector, which would walk thousands of objects that pass while all readers wait (40 ms at 10,000
    services). Whether it was on."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield enabled
    finally:
        if enabled:
            gc.enable()


_registries: weakref.WeakSet[Shared] = weakref.WeakSet()
_watching = False


def _remember(shared: Shared) -> None:
    """After a fork a registry's lock may be held by a thread that the child does not have."""
    global _watching  # noqa: PLW0603 - registered once, and not at import
    _registries.add(shared)
    if not _watching and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_unlock_all)
        _watching = True


def _unlock_all() -> None:
    for shared in list(_registries):
        shared.lock = RLock()


__all__ = ["Registry"]
