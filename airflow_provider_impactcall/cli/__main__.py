"""``impactcall``: the commands of ``airflow impactcall``, for every version of Airflow."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.cli.cli_config import GroupCommand


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    :raises SystemExit: 1 if the command failed, 2 if its arguments are wrong
    """
    # Airflow's messages during import belong in its own log. Here they would mix with the command's output.
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        from airflow_provider_impactcall.cli import changing, looking  # noqa: F401 - else imported later, and loudly
        from airflow_provider_impactcall.cli.definition import get_commands
    (group,) = get_commands()
    parser = argparse.ArgumentParser(prog=group.name, description=group.help)
    _add_commands(parser, group)
    options = parser.parse_args(arguments)
    options.func(options)


def _add_commands(parser: argparse.ArgumentParser, group: GroupCommand) -> None:
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in group.subcommands:
        description = command.description or command.help
        subparser = subparsers.add_parser(command.name, help=command.help, description=description)
        if hasattr(command, "subcommands"):
            _add_commands(subparser, command)
            continue
        for argument in command.args:
            argument.add_to_parser(subparser)
        subparser.set_defaults(func=command.func)


if __name__ == "__main__":
    main()
