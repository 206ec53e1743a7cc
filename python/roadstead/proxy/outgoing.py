"""A request's body on its way out, kept as far as the limits let it, so that it can be sent again or copied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from roadstead.proxy.flow import Body
from roadstead.proxy.messages import Lines


class Outgoing:
    """length: None where nobody told it; is_streamed: there is a body all the same. most: bytes that are kept;
    0 where nobody needs it again. One reader at a time, but for `whole`."""

    __slots__ = ("_body", "_is_going", "_kept", "_most", "_size", "_whole", "is_streamed", "length")

    def __init__(self, body: Body, *, length: int | None, is_streamed: bool, most: int) -> None:
        self._body = body
        self._kept: list[bytes] | None = []
        self._size = 0
        self._most = most
        self._is_going = False
        self._whole: asyncio.Future[bytes | None] | None = None
        self.length = length
        self.is_streamed = is_streamed

    @property
    def is_empty(self) -> bool:
        """There is no body."""
        return not self.is_streamed and not self.length

    @property
    def is_replayable(self) -> bool:
        """It can be sent again from its beginning, as far as is known by now."""
        return self._kept is not None

    @property
    def trailers(self) -> Lines:
        """Header lines after it, once all of it was read."""
        return self._body.trailers

    @property
    def is_here(self) -> bool:
        """All of it was read from the client."""
        return self._body.is_here

    def read(self) -> bytes | None:
        """All of it, if it is here; None: take `blocks`."""
        if not self._body.is_here or self._kept is None:
            return None
        block = b"".join([*self._kept, self._body.now()])
        self._size = len(block)
        self._kept = [block] if self._size <= self._most else None
        return block

    async def blocks(self) -> AsyncIterator[bytes]:
        """What is kept, then what comes. Raises what the client's side breaks with."""
        self._is_going = True
        for block in list(self._kept or ()):
            yield block
        while block := await self._body.take():
            self._keep(block)
            yield block
        self._settle()

    async def whole(self) -> bytes | None:
        """All of it, once somebody has read it; None where it is more than is kept."""
        if self.is_empty:
            return b""
        if self._kept is None:
            return None
        if self._body.is_here and not self._is_going:
            return self.read()
        if self._whole is None:
            self._whole = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._whole)

    def give_up(self) -> None:
        """Nobody reads the rest."""
        if self._whole is not None and not self._whole.done():
            self._whole.set_result(None)

    def _keep(self, block: bytes) -> None:
        if self._kept is None:
            return
        self._size += len(block)
        if self._size > self._most:
            self._kept = None
            self.give_up()
        else:
            self._kept.append(block)

    def _settle(self) -> None:
        self._is_going = False
        if self._whole is not None and not self._whole.done():
            self._whole.set_result(None if self._kept is None else b"".join(self._kept))


__all__ = ["Outgoing"]
