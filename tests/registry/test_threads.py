"""Readers in threads, forked children and tasks while a writer changes the registry."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from roadstead import Node, Registry

UPDATES = 1000


def document(version: int) -> dict[str, object]:
    """A host whose path rule and endpoint carry one number: a torn decision would mix two."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "ServiceEntry",
                "metadata": {"name": "a", "namespace": "here"},
                "spec": {
                    "hosts": ["a.com"],
                    "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                    "resolution": "STATIC",
                    "endpoints": [{"address": f"10.0.{version // 250}.{version % 250 + 1}"}],
                },
            },
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": {"name": "a", "namespace": "here"},
                "spec": {
                    "hosts": ["a.com"],
                    "http": [{"rewrite": {"uri": f"/{version}"}, "route": [{"destination": {"host": "a.com"}}]}],
                },
            },
        ],
    }


def registry(engine: str) -> Registry:
    made = Registry(backend=engine, node=Node(namespace="here"))
    made.apply(put=document(0))
    return made


def check(made: Registry) -> int:
    """The version a decision belongs to: its rule and its cluster were published together."""
    decision = made.route("a.com", 80, "/")
    assert decision.kind == "forward"
    version = int(decision.path.strip("/"))
    (endpoint,) = decision.cluster.spec.groups[0].endpoints  # type: ignore[union-attr]
    assert endpoint.address == f"10.0.{version // 250}.{version % 250 + 1}"
    assert made.find("a.com", 80) is not None
    return version


def test_eight_readers_while_one_writer_applies(engine_name: str) -> None:
    made = registry(engine_name)
    done = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        last = 0
        try:
            while not done.is_set():
                version = check(made)
                assert version >= last
                last = version
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for version in range(1, UPDATES + 1):
        made.apply(put=document(version))
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert check(made) == UPDATES


def test_writers_take_turns(engine_name: str) -> None:
    made = registry(engine_name)

    def write(number: int) -> None:
        for round_ in range(20):
            item = document(0)["items"][0]  # type: ignore[index]
            item["metadata"]["name"] = f"w{number}"
            item["spec"]["hosts"] = [f"w{number}-{round_}.com"]
            made.apply(put=item)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(made.mesh.hosts) == ["a.com", *[f"w{number}-19.com" for number in range(4)]]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_reads_and_writes_on_its_own(engine_name: str) -> None:
    made = registry(engine_name)
    held = threading.Event()
    free = threading.Event()

    def hold() -> None:
        with made._shared.lock:
            held.set()
            free.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if not child:
        try:
            # The parent's thread holds the lock; the child has no such thread.
            made.apply(put=document(7))
            os._exit(0 if check(made) == 7 else 1)
        finally:
            os._exit(2)
    free.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert check(made) == 0


async def test_tasks_read_while_a_thread_writes(engine_name: str) -> None:
    made = registry(engine_name)

    async def read() -> int:
        last = 0
        while last < 50:
            last = check(made)
            await asyncio.sleep(0)
        return last

    def write() -> None:
        for version in range(1, 51):
            made.apply(put=document(version))

    found = await asyncio.gather(read(), read(), asyncio.to_thread(write))
    assert found[:2] == [50, 50]
