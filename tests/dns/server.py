"""A DNS server on loopback whose zone a test changes while it runs (dnspython makes and reads the messages)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import msgspec


class Record(msgspec.Struct, frozen=True):
    """What the server says of a name. alias: a CNAME that leads to another name of the zone. rcode: said instead of an
    answer. silent: nothing is said at all."""

    a: Sequence[str] = ()
    aaaa: Sequence[str] = ()
    ttl: int = 60
    alias: str = ""
    rcode: str = "NOERROR"
    silent: bool = False


class Server(asyncio.DatagramProtocol):
    """zone: names without the final dot; those that are not there do not exist. asked: queries by (name, type)."""

    def __init__(self) -> None:
        self.zone: dict[str, Record] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.port = 0
        self._heard = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    async def heard(self, name: str, kind: str, times: int) -> None:
        """Returns when the name was asked for so often."""
        async with self._heard:
            await asyncio.wait_for(self._heard.wait_for(lambda: self.asked[name, kind] >= times), 10)

    def datagram_received(self, data: bytes, addr: object) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        record = self.zone.get(name)
        if record is None or not record.silent:
            self._transport.sendto(self._answer(query, name, kind).to_wire(), addr)

    async def _tell(self) -> None:
        async with self._heard:
            self._heard.notify_all()

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        record = self.zone.get(name)
        while record is not None and record.alias:
            answer.answer.append(dns.rrset.from_text(f"{name}.", record.ttl, "IN", "CNAME", f"{record.alias}."))
            name, record = record.alias, self.zone.get(record.alias)
        if record is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer
        answer.set_rcode(dns.rcode.from_text(record.rcode))
        found = {"A": record.a, "AAAA": record.aaaa}.get(kind, ())
        if found and record.rcode == "NOERROR":
            answer.answer.append(dns.rrset.from_text(f"{name}.", record.ttl, "IN", kind, *found))
        return answer
