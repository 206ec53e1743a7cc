"""`python -m benchmarks report`: measure and write report.md. `python -m benchmarks smoke`: run everything once, small."""

from __future__ import annotations

import argparse
import os


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["report", "smoke"])
    parser.add_argument("--sizes", help="hosts, comma separated; default 1000,10000,100000 (smoke: 200)")
    parser.add_argument("--rounds", type=int, help="rounds of each case; default 15 (smoke: 1)")
    parser.add_argument("--output", default="benchmarks/report.md", help="where report writes")
    given = parser.parse_args()
    smoke = given.what == "smoke"
    os.environ["ROADSTEAD_BENCH_SIZES"] = given.sizes or ("200" if smoke else "1000,10000,100000")
    from benchmarks.report import write

    text = write(given.rounds or (1 if smoke else 15), show=print)
    if not smoke:
        with open(given.output, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)


if __name__ == "__main__":
    main()
