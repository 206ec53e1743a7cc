"""`roadstead completion SHELL`."""

from __future__ import annotations

import rich_click as click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands in your shell.

    \b
    bash:  eval "$(roadstead completion bash)"     (in ~/.bashrc)
    zsh:   eval "$(roadstead completion zsh)"      (in ~/.zshrc)
    fish:  roadstead completion fish > ~/.config/fish/completions/roadstead.fish
    """
    from roadstead.cli.app import cli

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(made(cli, {}, "roadstead", "_ROADSTEAD_COMPLETE").source())
