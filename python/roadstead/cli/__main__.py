"""Entry point: says what to install where the extra is missing, maps errors to exit codes."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code (cli.exit_codes)."""
    try:
        import rich_click  # noqa: F401
    except ImportError as error:
        sys.stderr.write(f"roadstead: the command line needs {error.name}: pip install 'roadstead[cli]'\n")
        raise SystemExit(64) from None
    from roadstead.cli.app import run

    try:
        sys.exit(run())
    except BrokenPipeError:
        # The reader went away (`| head`); a second write at shutdown would only complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
