"""The channel of `clients.grpc` for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import NamedTuple, cast

import grpc
import grpc.aio

from roadstead.clients.bodies import BodyWatch
from roadstead.clients.carry import Answered, Broken, Call, Carrying, Local, Passed
from roadstead.clients.drive import ASYNCHRONOUS, Tasks, drive
from roadstead.clients.grpc_blocking import failed_of, told
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

_NOTHING = object()
_ENOUGH = object()


class _Reply(NamedTuple):
    """A try that began to answer. first: its response, or the first of its messages."""

    call: grpc.aio.Call
    first: object


class _Given(NamedTuple):
    request: object
    timeout: float | None
    metadata: Metadata
    rest: dict[str, object]


class _Begun(NamedTuple):
    """What a call came to: who answers, and who is to hear of the end."""

    reply: _Reply
    watch: BodyWatch
    deadline: int | None
    metadata: Metadata


class _Calling(grpc.aio.Call):
    """One call, on its way from the moment it is made."""

    def __init__(self, method: _Method, given: _Given) -> None:
        self._method = method
        self._written: asyncio.Queue[object] = asyncio.Queue()
        if method.streams_requests and given.request is None:
            given = given._replace(request=self._requests())
        self._task = asyncio.create_task(method.begun(given))
        self._failed: BaseException | None = None

    async def _requests(self) -> AsyncIterator[object]:
        while (one := await self._written.get()) is not _ENOUGH:
            yield one

    def cancelled(self) -> bool:
        return self._task.cancelled()

    def done(self) -> bool:
        return self._task.done()

    def time_remaining(self) -> float | None:
        begun = self._now()
        return None if begun is None else begun.reply.call.time_remaining()

    def cancel(self) -> bool:
        begun = self._now()
        if begun is None:
            return self._task.cancel()
        begun.watch.closed()
        return begun.reply.call.cancel()

    def add_done_callback(self, callback: Callable[[_Calling], object]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> Metadata:
        begun = await self._task
        return begun.metadata or await begun.reply.call.initial_metadata()

    async def trailing_metadata(self) -> Metadata:
        try:
            return await (await self._task).reply.call.trailing_metadata()
        except grpc.aio.AioRpcError as error:
            return error.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        try:
            return await (await self._task).reply.call.code()
        except grpc.aio.AioRpcError as error:
            return error.code()

    async def details(self) -> str:
        try:
            return await (await self._task).reply.call.details()
        except grpc.aio.AioRpcError as error:
            return error.details() or ""

    async def wait_for_connection(self) -> None:
        await self._task

    async def write(self, request: object) -> None:
        """Of streams of requests."""
        self._written.put_nowait(request)

    async def done_writing(self) -> None:
        """Of streams of requests."""
        self._written.put_nowait(_ENOUGH)

    def _now(self) -> _Begun | None:
        is_there = self._task.done() and not self._task.cancelled() and self._task.exception() is None
        return self._task.result() if is_there else None


class _OneResponse(_Calling):
    def __await__(self) -> Generator[object, None, object]:
        begun = yield from self._task.__await__()
        return begun.reply.first


class _Responses(_Calling):
    _is_first = True

    def __aiter__(self) -> AsyncIterator[object]:
        return self._each()

    async def _each(self) -> AsyncIterator[object]:
        while (one := await self.read()) is not grpc.aio.EOF:
            yield one

    async def read(self) -> object:
        """The next one; `grpc.aio.EOF` after the last."""
        begun = await self._task
        was_first, self._is_first = self._is_first, False
        try:
            one = (
                begun.reply.first if was_first and begun.reply.first is not _NOTHING else await begun.reply.call.read()
            )
        except grpc.aio.AioRpcError as error:
            told(begun.watch, self._method.calls, begun.deadline, failed_of(error))
            raise
        if one is grpc.aio.EOF:
            code = await begun.reply.call.code()
            begun.watch.grpc_status = code.value[0]
            begun.watch.ended()
        return one

    def __del__(self) -> None:
        begun = self._now()
        if begun is not None:
            begun.watch.closed()


class _Method:
    """Calls of one method. kind: the name of the channel's maker for them."""

    def __init__(
        self, channel: AioChannel, kind: str, method: str, serialize: Serialize, deserialize: Deserialize
    ) -> None:
        self._channel = channel
        self.calls = channel.calls
        self._kind = kind
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize
        self.streams_requests = kind.startswith("stream_")
        self._streams_responses = kind.endswith("_stream")

    def __call__(
        self,
        request: object = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
        **named: object,
    ) -> _Calling:
        """As gRPC's."""
        rest: dict[str, object] = {
            "credentials": credentials, "wait_for_ready": wait_for_ready, "compression": compression,
        }  # fmt: skip
        given = _Given(named.get("request_iterator", request), timeout, tuple(metadata or ()), rest)
        return (_Responses if self._streams_responses else _OneResponse)(self, given)

    async def begun(self, given: _Given) -> _Begun:
        """Carry the call until it answers."""
        calls = self.calls
        work: Carrying[_Reply | Failed] = calls.work(
            self._method, given.metadata, given.timeout, replayable=not self.streams_requests
        )

        async def send(call: Call) -> Answered[_Reply | Failed] | Broken:
            return await self._sent(call, given)

        def copy(call: Call) -> None:
            if self.streams_requests:
                call.exchange.cancel()
            else:
                self._channel.copies.send(self._send_copy(call, given))

        outcome: Passed[_Reply | Failed] | Local = await drive(work, ASYNCHRONOUS, send, copy)
        if isinstance(outcome, Local):
            code, details = calls.said(outcome)
            trailers = grpc.aio.Metadata(*outcome.headers)
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)
        if isinstance(outcome.response, Failed):
            outcome.watch.grpc_status = outcome.response.code.value[0]
            outcome.watch.ended()
            raise outcome.response.error
        metadata = [line for line in outcome.headers if line[0] != "grpc-status"]
        if not self._streams_responses:
            outcome.watch.grpc_status = 0
            outcome.watch.ended()
        return _Begun(outcome.response, outcome.watch, outcome.deadline, metadata)

    async def _sent(self, call: Call, given: _Given) -> Answered[_Reply | Failed] | Broken:
        if call.waits and not isinstance(call.exchange.ready(), Try):
            return Broken(None)
        calls = self.calls
        opened = self._channel.kept.at(call)
        made = getattr(opened, self._kind)(call.path, self._serialize, self._deserialize)
        metadata = metadata_of(call, given.metadata)
        rpc = made(given.request, timeout=calls.timeout(call), metadata=metadata, **given.rest)
        is_over = not self._streams_responses
        try:
            if is_over:
                first = await rpc
            else:
                # Who feeds a stream may wait for the call to begin it.
                first = _NOTHING if self.streams_requests else await rpc.read()
        except grpc.aio.AioRpcError as error:
            return cast("Answered[_Reply | Failed] | Broken", calls.failed(call, failed_of(error)))
        headers = [] if first is _NOTHING else text_of(await rpc.initial_metadata())
        return Answered(200, [*headers, ("grpc-status", "0")] if is_over else headers, _Reply(rpc, first), is_over)

    async def _send_copy(self, call: Call, given: _Given) -> None:
        with call.exchange:
            result = await self._sent(call, given)
            if isinstance(result, Answered):
                call.exchange.response(result.status, result.headers)
                if isinstance(result.response, _Reply):
                    result.response.call.cancel()


class AioChannel(Methods[_Method], grpc.aio.Channel):
    """Sub-channels to the endpoints that calls are sent to, opened when they are first needed."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.kept: Kept[grpc.aio.Channel] = Kept(calls, _opened)
        self.copies = Tasks()

    def method(self, kind: str, name: str, serialize: Serialize, deserialize: Deserialize) -> _Method:
        """Of Methods."""
        return _Method(self, kind, name, serialize, deserialize)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Connections are those of the endpoints: the channel itself is always ready."""
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """It is always ready."""
        if last_observed_state is grpc.ChannelConnectivity.READY:
            await asyncio.get_running_loop().create_future()

    async def channel_ready(self) -> None:
        """It is always ready."""

    async def close(self, grace: float | None = None) -> None:
        """Close all connections; copies on their way are waited for."""
        await self.copies.close()
        for one in self.kept.drain():
            await one.close(grace)
        self.calls.close()

    async def __aenter__(self) -> AioChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _opened(where: Where) -> grpc.aio.Channel:
    if where.credentials is None:
        return grpc.aio.insecure_channel(where.target, where.options)
    return grpc.aio.secure_channel(where.target, where.credentials, where.options)


__all__ = ["AioChannel"]
