"""One definition of the commands, which the console script and Airflow's own command both have."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from airflow.cli.cli_config import ActionCommand, Arg
from airflow.cli.cli_parser import get_parser
from airflow.providers_manager import ProvidersManager

from airflow_provider_impactcall.cli import changing, looking
from airflow_provider_impactcall.cli.definition import COMMANDS, LEDGER_COMMANDS, get_commands
from airflow_provider_impactcall.defaults import DEFAULT_API_CONN_ID, DEFAULT_KEY
from airflow_provider_impactcall.delivery.ledger.selection import LISTED
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.provider_info import get_provider_info
from tests.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]


def arguments(flag: str) -> Iterator[Arg]:
    for command in COMMANDS:
        yield from (argument for argument in command.args if flag in argument.flags)


def test_the_provider_and_the_console_script_lead_to_it() -> None:
    (path,) = get_provider_info()["cli"]
    module, _, name = path.rpartition(".")
    assert getattr(import_module(module), name) is get_commands
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["impactcall"]
    module, _, name = script.partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_does_something_and_explains_itself(command: ActionCommand, impactcall: Command) -> None:
    assert [callable(getattr(each, command.func.__name__, None)) for each in (looking, changing)].count(True) == 1
    explained = impactcall(command.name, "--help")
    assert (explained.status, explained.err) == (0, "")
    assert command.help in " ".join(explained.out.split())


@pytest.mark.parametrize("command", LEDGER_COMMANDS, ids=lambda command: command.name)
def test_so_does_every_command_about_the_ledger_itself(command: ActionCommand, impactcall: Command) -> None:
    assert callable(getattr(changing, command.func.__name__))
    explained = impactcall("ledger", command.name, "--help")
    assert (explained.status, explained.err) == (0, "")
    assert command.help in " ".join(explained.out.split())


@pytest.mark.skipif(
    not hasattr(ProvidersManager, "cli_command_functions"), reason="providers' commands came with a later Airflow"
)
def test_airflow_takes_the_same_words_as_the_console_script() -> None:
    """Its own parser, which a group within a group is given to."""
    words = ("impactcall", "ledger", "migrate", "--ledger-conn-id", "ledger", "--dry-run", "-o", "json")
    options = get_parser().parse_args(words)
    assert (options.ledger_conn_id, options.dry_run, options.output) == ("ledger", True, "json")
    assert options.func.__name__ == "migrate"


def test_what_the_help_says_is_so() -> None:
    assert {argument.kwargs["default"] for argument in arguments("--impactcall-conn-id")} == {
        ImpactCallHook.default_conn_name
    }
    assert {argument.kwargs["default"] for argument in arguments("--api-conn-id")} == {DEFAULT_API_CONN_ID}
    for argument in arguments("--key"):
        assert ",".join(DEFAULT_KEY) in argument.kwargs["help"]
    for argument in arguments("--state"):
        assert [state for state in LISTED if state not in argument.kwargs["help"]] == []


def test_a_wrong_usage_has_a_status_of_its_own(impactcall: Command) -> None:
    for wrong in (
        (),
        ("lists",),
        ("ledger",),
        ("ledger", "migrat"),
        ("list", "--limit", "0"),
        ("list", "--since", "yesterday"),
        ("resolve", "--as", "x"),
    ):
        assert impactcall(*wrong).status == 2
    assert impactcall("list", "--since", "0001-01-01T00:00:00+12:00").status == 2


def test_it_loads_nothing_that_every_airflow_command_would_wait_for() -> None:
    script = (
        "import sys, airflow.cli.cli_config; before = set(sys.modules);"
        "import airflow_provider_impactcall.cli.definition as module; module.get_commands();"
        "print(sorted(set(sys.modules) - before - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    package = "airflow_provider_impactcall"  # Airflow's own start may have read its version.
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1])) - {package}
    assert loaded == {f"{package}.cli", f"{package}.cli.arguments", f"{package}.cli.definition"}
