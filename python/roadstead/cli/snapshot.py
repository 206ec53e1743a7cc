"""`roadstead snapshot`: the configuration as one file that programs without Python load."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from roadstead.cli import exit_codes
from roadstead.cli.options import Client, Source, client_options, complain, fail, load, source_options


@click.command("snapshot")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, allow_dash=True), required=True, metavar="FILE",
    help="Where to write; - is standard output.",
)  # fmt: skip
@source_options
@client_options
def command(output: str, source: Source, client: Client) -> int:
    """Write what one client decides by, for C and Rust programs (libroadstead: roadstead_engine_load).

    \b
    roadstead snapshot -f mesh/ --from-namespace shop -o mesh.snapshot
    """
    registry = load(source, client)
    complain(registry.diagnostics)
    made = registry.snapshot_bytes()
    if output == "-":
        sys.stdout.buffer.write(made)
        return exit_codes.OK
    try:
        Path(output).write_bytes(made)
    except OSError as error:
        fail(f"{output}: {error.strerror}", exit_codes.IO)
    return exit_codes.OK
