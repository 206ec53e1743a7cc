"""The group of verbs, and what an error becomes on the way out."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module

import rich_click as click

from roadstead.cli import exit_codes

_VERBS = {
    "bench": "Time this machine's decisions on your configuration.",
    "completion": "Print the script that completes commands in your shell.",
    "get": "List resources, as kubectl get does.",
    "proxy": "Carry requests of programs that cannot use the registry.",
    "route": "Show where a request goes, and why.",
    "snapshot": "Write the configuration for programs without Python.",
    "validate": "Check files and report every error with its place.",
    "xds": "Show the configuration as Envoy sees it.",
}


class _Verbs(click.RichGroup):
    """Imports a verb's file when it is used: `--help` and completion stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = import_module(f"roadstead.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = [] if args[0] in _VERBS else get_close_matches(args[0], _VERBS, n=1)
        if close and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_VERBS.items()))


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        import roadstead

        click.echo(f"roadstead {version('roadstead')} ({roadstead.BACKEND} engine, Python {sys.version.split()[0]})")
        ctx.exit()


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show versions.")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Istio's service registry on your machine: which endpoint a request goes to, under which policy, and why.

    Configuration comes from -f (file, folder or - for standard input; repeatable) or from ROADSTEAD_CONFIG.
    """
    if ctx.invoked_subcommand is not None:
        return exit_codes.OK
    click.echo(ctx.get_help())
    return exit_codes.USAGE


def run() -> int:
    """Run the command line; the exit code."""
    try:
        # click knows terminals, but not the wish for no colour on them (no-color.org).
        outcome = cli.main(
            prog_name="roadstead", standalone_mode=False, color=False if os.environ.get("NO_COLOR") else None
        )
    except click.Abort:
        click.echo("interrupted", err=True)
        return exit_codes.INTERRUPTED
    except click.UsageError as error:
        error.show()
        return exit_codes.USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        click.echo(f"Error: {error.strerror}", err=True)
        return exit_codes.IO
    return outcome if isinstance(outcome, int) else exit_codes.OK
