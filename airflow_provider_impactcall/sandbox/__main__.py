"""The command line of the sandbox: ``python -m airflow_provider_impactcall.sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox.faults import FAULTS
from airflow_provider_impactcall.sandbox.server import Sandbox

VARIABLE = "IMPACTCALL_SANDBOX_PASSWORD"
"""The environment variable for the password."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = _parser()
    options = parser.parse_args(arguments)
    password = _password(parser, options)
    try:
        sandbox = Sandbox(
            host=options.host,
            port=options.port,
            user=options.user,
            password=password,
            latency=options.latency / 1000,
            faults=dict(options.fault),
            seed=options.seed,
            keep_requests=False,
            settle_after=options.settle_after,
            reversed_share=options.reversed,
        )
    except InvalidOption as error:
        parser.error(str(error))
    try:
        asyncio.run(_serve(sandbox))
    except OSError as error:
        parser.exit(1, f"{parser.prog}: cannot listen on {sandbox.url}: {error.strerror}\n")


async def _serve(sandbox: Sandbox) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with sandbox:
        print(
            f"Sandbox for impact.com's Call Data API on {sandbox.url} "
            f"(open it in a browser; processed calls: {sandbox.url}/calls; Ctrl+C stops it)",
            flush=True,
        )
        await stopped.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_impactcall.sandbox",
        description="A local stand-in for impact.com's Call Data API, which offers no sandbox of its own.",
        epilog=_kinds(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8900, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--user", help="the only user that may send requests (default: any credentials are accepted)")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument(
        "--password-file", type=Path, metavar="FILE", help=f"its first line is that user's password (else ${VARIABLE})"
    )
    secret.add_argument(
        "--password", help="that user's password; everyone on this machine can read it in the list of processes"
    )
    parser.add_argument(
        "--latency", type=float, default=0, metavar="MS", help="milliseconds before each answer (default: 0)"
    )
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND=RATE",
        help="a kind of fault, and the share of the requests that meet it, 0 to 1; repeat it for several kinds",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same faults in the same order (default: 0)"
    )
    parser.add_argument(
        "--settle-after",
        type=float,
        metavar="SECONDS",
        help="approve each action after so many seconds, clear it after as many again (default: it stays pending)",
    )
    parser.add_argument(
        "--reversed",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="reverse this share of the actions instead, 0 to 1 (default: 0)",
    )
    return parser


def _password(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str | None:
    if options.password is not None:
        warning = f"others can read --password in the list of processes; use --password-file or ${VARIABLE} instead"
        print(f"{parser.prog}: {warning}", file=sys.stderr, flush=True)
        return str(options.password)
    if options.password_file is not None:
        try:
            return str(options.password_file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r"))
        except (OSError, UnicodeDecodeError) as error:
            parser.error(f"--password-file cannot be read ({type(error).__name__})")
    # Without a user, the variable may be meant for another sandbox.
    return None if options.user is None else os.environ.get(VARIABLE)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("a port is from 0 to 65535")
    return int(text)


def _fault(text: str) -> tuple[str, float]:
    kind, _, rate = text.partition("=")
    try:
        return kind, float(rate)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND=RATE with a number as the rate") from None


def _kinds() -> str:
    width = max(map(len, FAULTS))
    rows = (
        f"  {fault.name:<{width}}  {'processed' if fault.processed else '-':<9}  {fault.meaning}"
        for fault in FAULTS.values()
    )
    return "kinds of faults, and whether the call counts as processed:\n" + "\n".join(rows)


if __name__ == "__main__":
    main()
