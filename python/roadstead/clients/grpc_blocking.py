"""The channel of `clients.grpc` for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, cast

import grpc

from roadstead.clients.bodies import BodyWatch
from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed
from roadstead.clients.drive import BLOCKING, Copies, drive, finished
from roadstead.clients.grpc_calls import (
    Calls,
    Deserialize,
    Failed,
    Kept,
    Metadata,
    Methods,
    Serialize,
    Where,
    metadata_of,
    text_of,
)
from roadstead.steps import Try


class CallError(grpc.RpcError, grpc.Call):
    """A call that this process answered itself: a fault, a limit, no endpoint."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: Metadata) -> None:
        super().__init__(f"{code.name}: {details}")
        self._code, self._details, self._metadata = code, details, metadata

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def initial_metadata(self) -> Metadata:
        return ()

    def trailing_metadata(self) -> Metadata:
        return self._metadata

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float | None:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Callable[[], object]) -> bool:
        return False


class Reply(NamedTuple):
    """A try that began to answer. first: its response, or the first of its messages; `NOTHING`: none was waited for."""

    call: grpc.Call
    first: object


NOTHING = object()
_END = object()


class _Given(NamedTuple):
    """The caller's arguments of one call."""

    request: object
    timeout: float | None
    metadata: Metadata
    rest: dict[str, object]


class Messages(grpc.Call):
    """Responses of a call, one by one; how they end is told."""

    def __init__(self, reply: Reply, outcome: Passed[Reply | Failed], calls: Calls, metadata: Metadata) -> None:
        self._call = reply.call
        self._first = reply.first
        self._watch = outcome.watch
        self._deadline = outcome.deadline
        self._calls = calls
        self._metadata = metadata

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        first, self._first = self._first, NOTHING
        if first is not NOTHING and first is not _END:
            return first
        try:
            if first is _END:
                raise StopIteration
            return next(self._call)
        except StopIteration:
            self._watch.grpc_status = 0
            self._watch.ended()
            raise
        except grpc.RpcError as error:
            told(self._watch, self._calls, self._deadline, failed_of(error))
            raise

    def initial_metadata(self) -> Metadata:
        return self._metadata or self._call.initial_metadata()

    def trailing_metadata(self) -> Metadata:
        return self._call.trailing_metadata()

    def code(self) -> grpc.StatusCode:
        return self._call.code()

    def details(self) -> str:
        return self._call.details()

    def is_active(self) -> bool:
        return self._call.is_active()

    def time_remaining(self) -> float | None:
        return self._call.time_remaining()

    def cancel(self) -> bool:
        self._watch.closed()
        return self._call.cancel()

    def add_callback(self, callback: Callable[[], object]) -> bool:
        return self._call.add_callback(callback)

    def __del__(self) -> None:
        self._watch.closed()


def told(watch: BodyWatch, calls: Calls, deadline: int | None, failed: Failed) -> None:
    """How a stream of responses ended that had begun."""
    watch.grpc_status = failed.code.value[0]
    broken = calls.broken(failed)
    if calls.is_late(deadline, failed):
        watch.broke(None)
    elif broken is not None:
        watch.broke(broken.reason)
    else:
        watch.ended()


def failed_of(error: grpc.RpcError) -> Failed:
    """What an error of the library says."""
    return Failed(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()), error)


class _Method:
    """Calls of one method. kind: the name of the channel's maker for them."""

    def __init__(
        self, channel: Channel, kind: str, method: str, serialize: Serialize, deserialize: Deserialize
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize
        self._streams_requests = kind.startswith("stream_")
        self._streams_responses = kind.endswith("_stream")

    def __call__(
        self,
        request: object,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> object:
        """As gRPC's."""
        rest: dict[str, object] = {
            "credentials": credentials, "wait_for_ready": wait_for_ready, "compression": compression,
        }  # fmt: skip
        made = self._carried(_Given(request, timeout, tuple(metadata or ()), rest))
        return made if self._streams_responses else made[0]  # type: ignore[index]

    def with_call(self, request: object, *given: object, **named: object) -> tuple[object, grpc.Call]:
        """As gRPC's: the response and its call."""
        names = ("timeout", "metadata", "credentials", "wait_for_ready", "compression")
        rest = dict(zip(names, given, strict=False)) | named
        timeout, metadata = rest.pop("timeout", None), rest.pop("metadata", None)
        return self._carried(_Given(request, timeout, tuple(metadata or ()), rest))  # type: ignore[arg-type,return-value]

    def future(self, request: object, *given: object, **named: object) -> Pending:
        """As gRPC's: the call goes on in a thread."""
        return Pending(self._channel, partial(self.with_call, request, *given, **named))

    def _carried(self, given: _Given) -> object:
        calls = self._channel.calls
        work: Carrying[Reply | Failed] = calls.work(
            self._method, given.metadata, given.timeout, replayable=not self._streams_requests
        )

        async def send(call: Call) -> Answered[Reply | Failed] | Broken:
            return self._sent(call, given)

        def copy(call: Call) -> None:
            if self._streams_requests:
                call.exchange.cancel()
            else:
                self._channel.copies.send(partial(self._send_copy, call, given))

        outcome: Passed[Reply | Failed] | Local = finished(drive(work, BLOCKING, send, copy))
        if isinstance(outcome, Local):
            raise CallError(*calls.said(outcome), tuple(outcome.headers))
        if isinstance(outcome.response, Failed):
            outcome.watch.grpc_status = outcome.response.code.value[0]
            outcome.watch.ended()
            raise outcome.response.error
        metadata = [line for line in outcome.headers if line[0] != "grpc-status"]
        messages = Messages(outcome.response, outcome, calls, metadata)
        if self._streams_responses:
            return messages
        outcome.watch.grpc_status = 0
        outcome.watch.ended()
        return outcome.response.first, messages

    def _sent(self, call: Call, given: _Given) -> Answered[Reply | Failed] | Broken:
        if call.waits and not isinstance(call.exchange.ready(), Try):
            return Broken(None)
        calls = self._channel.calls
        opened = self._channel.kept.at(call)
        made = getattr(opened, self._kind)(call.path, self._serialize, self._deserialize)
        metadata = metadata_of(call, given.metadata)
        try:
            if self._streams_responses:
                rpc = made(given.request, timeout=calls.timeout(call), metadata=metadata, **given.rest)
                # Who feeds a stream may wait for the call to begin it.
                first = NOTHING if self._streams_requests else next(rpc, _END)
            else:
                first, rpc = made.with_call(given.request, timeout=calls.timeout(call), metadata=metadata, **given.rest)
        except grpc.RpcError as error:
            return cast("Answered[Reply | Failed] | Broken", calls.failed(call, failed_of(error)))
        headers = [] if first is NOTHING else text_of(rpc.initial_metadata())
        is_over = not self._streams_responses
        return Answered(200, [*headers, ("grpc-status", "0")] if is_over else headers, Reply(rpc, first), is_over)

    def _send_copy(self, call: Call, given: _Given) -> None:
        with call.exchange:
            result = self._sent(call, given)
            if isinstance(result, Answered):
                call.exchange.response(result.status, result.headers)
                if isinstance(result.response, Reply):
                    result.response.call.cancel()


class Pending(grpc.Future, grpc.Call):
    """A call that goes on in a thread."""

    def __init__(self, channel: Channel, work: Callable[[], tuple[object, grpc.Call]]) -> None:
        self._future = channel.threads().submit(work)

    def _known(self) -> grpc.Call:
        error = self._future.exception()
        return self._future.result()[1] if error is None else error

    def cancel(self) -> bool:
        return self._future.cancel()

    def cancelled(self) -> bool:
        return self._future.cancelled()

    def running(self) -> bool:
        return self._future.running()

    def done(self) -> bool:
        return self._future.done()

    def result(self, timeout: float | None = None) -> object:
        try:
            return self._future.result(timeout)[0]
        except TimeoutError as error:
            raise grpc.FutureTimeoutError from error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        try:
            return self._future.exception(timeout)
        except TimeoutError as error:
            raise grpc.FutureTimeoutError from error

    def traceback(self, timeout: float | None = None) -> object:
        error = self.exception(timeout)
        return None if error is None else error.__traceback__

    def add_done_callback(self, fn: Callable[[Pending], object]) -> None:
        self._future.add_done_callback(lambda _: fn(self))

    def add_callback(self, callback: Callable[[], object]) -> bool:
        self._future.add_done_callback(lambda _: callback())
        return True

    def is_active(self) -> bool:
        return not self._future.done()

    def time_remaining(self) -> float | None:
        return None

    def initial_metadata(self) -> Metadata:
        return self._known().initial_metadata()

    def trailing_metadata(self) -> Metadata:
        return self._known().trailing_metadata()

    def code(self) -> grpc.StatusCode:
        return self._known().code()

    def details(self) -> str:
        return self._known().details()


class Channel(Methods[_Method], grpc.Channel):
    """Sub-channels to the endpoints that calls are sent to, opened when they are first needed."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.kept: Kept[grpc.Channel] = Kept(calls, _opened)
        self.copies = Copies()
        self._threads: ThreadPoolExecutor | None = None

    def method(self, kind: str, name: str, serialize: Serialize, deserialize: Deserialize) -> _Method:
        """Of Methods."""
        return _Method(self, kind, name, serialize, deserialize)

    def threads(self) -> ThreadPoolExecutor:
        """For calls that somebody wants a future of."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(16, "roadstead-grpc")
        return self._threads

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], object], try_to_connect: bool = False) -> None:
        """Connections are those of the endpoints: the channel itself is always ready."""
        callback(grpc.ChannelConnectivity.READY)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], object]) -> None:
        """Nothing is told any more anyway."""

    def close(self) -> None:
        """Close all connections; copies on their way are waited for."""
        self.copies.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        for one in self.kept.drain():
            one.close()
        self.calls.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(where: Where) -> grpc.Channel:
    if where.credentials is None:
        return grpc.insecure_channel(where.target, where.options)
    return grpc.secure_channel(where.target, where.credentials, where.options)


__all__ = ["NOTHING", "CallError", "Channel", "Reply", "failed_of", "told"]
