"""An engine from columns: a million hosts of one template, until the first of them is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Filled(NamedTuple):
    """seconds: from lists of strings to the published engine. bytes: resident for each host, its text not counted.
    find, find_dict: nanoseconds of a look-up by column and in a dict, every host once in any order, when each was found once."""

    seconds: float
    bytes: float
    find: float
    find_dict: float


_PROGRAM = """
import json, random, resource, sys, time
from array import array
from pathlib import Path
from roadstead import _lowered as low
from roadstead.core import engine
core, count = engine(sys.argv[1]), int(sys.argv[2])

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def unit(host, vip):
    web, tls = f"outbound|80||{host}", f"outbound|443||{host}"
    ends = (low.LocalityGroup("", 0, None, (low.Endpoint(vip, 80, hostname=host),)),)
    return low.Unit(
        host, "0" + chr(0) + host,
        (low.Service(None, host, "default", (), (low.Port(80, "http", 0), low.Port(443, "tls", 2))),),
        (low.Cluster(None, web, low.STRICT_DNS, low.LbConfig(), low.Limits(), ends),
         low.Cluster(None, tls, low.STRICT_DNS, low.LbConfig(), low.Limits(), ends)),
        (low.VirtualHost(None, 80, ((host, 0), (f"{host}.", 2)), (
            low.Route(None, low.Match(None), low.FORWARD, (low.Destination(web, 1),)),)),),
        (low.Chain(None, host, 443, (), (), (host,), 0, (low.Destination(tls, 1),)),),
    )

hosts = [f"svc-{n}.team-{n % 97}.example.com" for n in range(count)]
vips = [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(count)]
made = core.Engine(seed=1)
template = made.template(unit(chr(1) + "0" + chr(2), chr(1) + "1" + chr(2)))
made.trim()
before, start = resident(), time.perf_counter()
builder = made.builder()
builder.put_rows(template, [core.HostColumn(hosts), core.HostColumn(vips)])
made.publish(builder)
assert made.find(hosts[-1], 80).host == hosts[-1]
seconds = time.perf_counter() - start
del builder
made.trim()
text = sum(map(len, hosts)) + sum(map(len, vips))
used = (resident() - before - text) / count

rounds = max(1, 200_000 // count)
asked = hosts[:]
random.Random(1).shuffle(asked)
known = {(host, 80): at for at, host in enumerate(hosts)}
column, ports, out = core.HostColumn(asked), array("H", [80]) * count, array("i", [0]) * count
keys = [(host, 80) for host in asked]
def timed(run):
    best = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(rounds):
            run()
        best.append((time.perf_counter() - start) / count / rounds * 1e9)
    return min(best)
find = timed(lambda: made.find_many(column, ports, out))
assert hosts[out[0]] == asked[0]
def look():
    for key in keys:
        known[key]
print(json.dumps([seconds, used, find, timed(look)]))
"""


def filled(engine: str, size: int) -> Filled:
    """Measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, engine, str(size)],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return Filled(*json.loads(done.stdout))
