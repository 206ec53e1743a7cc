"""Both resolvers ask a real server on loopback and say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dns.server import Record, Server

from roadstead import LookupFailed
from roadstead.dns import Answer, Family, Resolver
from roadstead.dns.cares import CaresResolver
from roadstead.dns.system import SystemResolver

KINDS = ("dnspython", "c-ares")


def resolver(kind: str, server: Server, hosts: Path | None = None) -> Resolver:
    if kind == "dnspython":
        return SystemResolver(["127.0.0.1"], port=server.port, timeout=0.5, hosts=hosts)
    return CaresResolver([f"127.0.0.1:{server.port}"], timeout=0.2, tries=1, hosts=hosts)


ZONE = {
    "one.test": Record(a=["10.0.0.1"], ttl=30),
    "two.test": Record(a=["10.0.0.2", "10.0.0.1"], aaaa=["2001:db8::1"], ttl=40),
    "six.test": Record(aaaa=["2001:db8::2"], ttl=50),
    "alias.test": Record(alias="next.test", ttl=20),
    "next.test": Record(alias="one.test", ttl=70),
    "short.test": Record(alias="last.test", ttl=90),
    "last.test": Record(a=["10.0.0.4"], ttl=15),
    "twice.test": Record(a=["10.0.0.9", "10.0.0.9"]),
    "nothing.test": Record(),
    "now.test": Record(a=["10.0.0.3"], ttl=0),
}
CASES: list[tuple[str, Family, list[str], float]] = [
    ("one.test", "V4_ONLY", ["10.0.0.1"], 30),
    ("one.test", "V6_ONLY", [], 0),
    ("one.test", "ALL", ["10.0.0.1"], 30),
    ("two.test", "V4_ONLY", ["10.0.0.1", "10.0.0.2"], 40),
    ("two.test", "V6_ONLY", ["2001:db8::1"], 40),
    ("two.test", "ALL", ["10.0.0.1", "10.0.0.2", "2001:db8::1"], 40),
    ("six.test", "V4_ONLY", [], 0),
    ("short.test", "V4_ONLY", ["10.0.0.4"], 15),
    ("twice.test", "V4_ONLY", ["10.0.0.9"], 60),
    ("nothing.test", "V4_ONLY", [], 0),
    ("missing.test", "V4_ONLY", [], 0),
    ("missing.test", "ALL", [], 0),
    ("now.test", "V4_ONLY", ["10.0.0.3"], 0),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "family", "addresses", "ttl"), CASES)
async def test_answers(kind: str, name: str, family: Family, addresses: list[str], ttl: float) -> None:
    async with Server() as server:
        server.zone = ZONE
        asked = resolver(kind, server)
        found = await asked.look_up(name, family)
        await asked.close()
    assert (sorted(found.addresses), found.ttl) == (addresses, ttl)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("record", [Record(rcode="SERVFAIL"), Record(rcode="REFUSED"), Record(silent=True)], ids=str)
async def test_what_is_no_answer(kind: str, record: Record) -> None:
    async with Server() as server:
        server.zone = {"bad.test": record}
        asked = resolver(kind, server)
        with pytest.raises(LookupFailed, match=r"bad\.test"):
            await asked.look_up("bad.test", "V4_ONLY")
        await asked.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_hosts_file_is_asked_first(kind: str, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "10.9.9.9 one.test # mine\n2001:db8::9 one.test\nnonsense one.test\n10.9.9.8 Other.TEST second.test\n"
    )
    async with Server() as server:
        server.zone = ZONE
        asked = resolver(kind, server, hosts)
        assert await asked.look_up("one.test", "V4_ONLY") == Answer(("10.9.9.9",))
        assert await asked.look_up("one.test", "ALL") == Answer(("10.9.9.9", "2001:db8::9"))
        assert await asked.look_up("second.test", "V4_ONLY") == Answer(("10.9.9.8",))
        assert (await asked.look_up("second.test", "V6_ONLY")).addresses == ()
        assert not server.asked["one.test", "A"]
        hosts.write_text("10.9.9.7 one.test\n")
        assert await asked.look_up("one.test", "V4_ONLY") == Answer(("10.9.9.7",))
        hosts.unlink()
        assert (await asked.look_up("one.test", "V4_ONLY")).addresses == ("10.0.0.1",)
        await asked.close()


@pytest.mark.parametrize(("kind", "ttl"), [("dnspython", 20), ("c-ares", 30)])
async def test_a_chain_of_aliases(kind: str, ttl: float) -> None:
    """c-ares tells the time of the addresses alone."""
    async with Server() as server:
        server.zone = ZONE
        asked = resolver(kind, server)
        assert await asked.look_up("alias.test", "V4_ONLY") == Answer(("10.0.0.1",), ttl)
        await asked.close()


async def test_search_domains() -> None:
    async with Server() as server:
        server.zone = {"db.prod.test": Record(a=["10.0.0.5"]), "db": Record(a=["10.0.0.6"])}
        asked = SystemResolver(["127.0.0.1"], port=server.port, search=["stage.test", "prod.test"], hosts=None)
        assert (await asked.look_up("db", "V4_ONLY")).addresses == ("10.0.0.5",)
        assert (await asked.look_up("db.", "V4_ONLY")).addresses == ("10.0.0.6",)
