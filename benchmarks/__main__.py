"""`python -m benchmarks report`: measure and write report.md. `peers`: measure beside other packages and crates (the crates are
compiled for it, the packages are the extra `peers`), write peers.md and put it into report.md. `proxy`: measure the proxy
beside others (the extra `proxies`, or commands on the PATH), write proxy.md and put it into report.md. `threads`: what a second
thread gains, which a free-threaded Python shows. `instructions`: count those of the hot functions and hold them against
instructions.json, which `--record` renews. `smoke`: the report's questions, once and small."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["report", "peers", "proxy", "threads", "instructions", "smoke"])
    parser.add_argument("--sizes", help="hosts, comma separated; default 1000,10000,100000 (smoke: 200)")
    parser.add_argument("--rounds", type=int, help="rounds of each case; default 15 (smoke: 1)")
    parser.add_argument("--output", default="benchmarks/report.md", help="where report writes")
    parser.add_argument(
        "--record", action="store_true", help="instructions: make the counts what later ones are held against"
    )
    given = parser.parse_args()
    if given.what == "instructions":
        from benchmarks import instructions

        sys.exit(0 if instructions.run(record_them=given.record, show=print) else 1)
    if given.what == "threads":
        from benchmarks.threads import cases

        for line in cases.lines(given.rounds or 15):
            print(line)
        return
    smoke = given.what == "smoke"
    os.environ["ROADSTEAD_BENCH_SIZES"] = given.sizes or ("200" if smoke else "1000,10000,100000")
    from benchmarks import report

    if given.what == "peers":
        report.write_peers(given.rounds or 25, Path(given.output), show=print)
        return
    if given.what == "proxy":
        report.write_proxy(given.rounds or 5, Path(given.output), show=print)
        return
    text = report.write(given.rounds or (1 if smoke else 15), show=print)
    if not smoke:
        Path(given.output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
