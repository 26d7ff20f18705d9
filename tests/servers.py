"""Servers in front of a database, and databases that only some tests need. Each runs as long as its context."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import certificate

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_ROOM = 4 * 2**30


@dataclass(frozen=True)
class Certificate:
    """A server's certificate for 127.0.0.1, which is also the authority that signed it."""

    certificate: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> Certificate:
        """A new one, in a folder of its own."""
        return cls(*map(Path, certificate(folder)))


class PostgresRelay:
    """A relay to a PostgreSQL server on a socket: a port on 127.0.0.1. With a certificate, clients use TLS up to the
    relay.

    :param folder: the folder of the server's socket
    :param certificate: None for a server without TLS
    """

    def __init__(self, folder: str, certificate: Certificate | None = None) -> None:
        self._socket = f"{folder}/.s.PGSQL.5432"
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.certificate, certificate.key)
        self.port = 0
        self.connections = 0

    @contextmanager
    def in_thread(self) -> Iterator[PostgresRelay]:
        """Within this context, the relay runs."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            for task in asyncio.all_tasks(loop):
                task.cancel()
                with suppress(BaseException):
                    loop.run_until_complete(task)
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            first = await reader.readexactly(8)
            while struct.unpack("!ii", first) in ((8, _SSL_REQUEST), (8, _GSS_REQUEST)):
                if self._tls is not None and struct.unpack("!ii", first)[1] == _SSL_REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(self._tls)
                else:
                    writer.write(b"N")
                first = await reader.readexactly(8)
            self.connections += 1
            from_server, to_server = await asyncio.open_unix_connection(self._socket)
            to_server.write(first)
            await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def mariadb(*options: str, zone: str = "UTC", ahead: float | None = None) -> Iterator[int]:
    """A MariaDB server of Debian's package ``mariadb-server``, by its port; root has no password.

    :param options: further options of ``mariadbd``
    :param zone: the server's time zone
    :param ahead: seconds that the server's clock is ahead of this machine's; needs Debian's package ``faketime``
    """
    with tempfile.TemporaryDirectory(
        prefix="impactcall-mariadb-", ignore_cleanup_errors=True, dir=_in_memory()
    ) as folder:
        user = getpass.getuser()
        made = [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder}/data",
            "--auth-root-authentication-method=normal",
        ]
        # Each server that starts removes what others have in the folder of temporary files.
        own = {"TMPDIR": folder}
        installed = subprocess.run(
            [*made, f"--user={user}", "--skip-test-db"], capture_output=True, env=os.environ | own
        )
        assert installed.returncode == 0, (installed.stdout + installed.stderr).decode(errors="replace")[-2000:]
        port = _free_port()
        where = [f"--datadir={folder}/data", f"--socket={folder}/socket", "--bind-address=127.0.0.1", f"--port={port}"]
        # Processes die here, and never the machine.
        quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"]
        command = [_program("mariadbd"), "--no-defaults", f"--user={user}", *where, *quick, *options]
        with _running(command, port, TZ=zone, **own, **({} if ahead is None else _clock(ahead))):
            yield port


@contextmanager
def pgbouncer(server: int, database: str, login: str) -> Iterator[int]:
    """A PgBouncer of Debian's package before a PostgreSQL server, in transaction mode, by its port.

    :param server: the server's port
    :param database: the server's database, under its own name
    :param login: who may connect, without a password
    """
    with tempfile.TemporaryDirectory(prefix="impactcall-pgbouncer-", ignore_cleanup_errors=True) as own:
        port = _free_port()
        Path(own, "users").write_text(f'"{login}" ""\n')
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "auth_file": f"{own}/users",
            "pool_mode": "transaction",
            "default_pool_size": 2,
        }
        lines = ["[databases]", f"{database} = host=127.0.0.1 port={server} user={login}", "[pgbouncer]"]
        Path(own, "ini").write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items()), ""]))
        command = [_program("pgbouncer"), f"{own}/ini"]
        if os.getuid() == 0:
            # It refuses to run as root.
            for path in (Path(own), Path(own, "ini"), Path(own, "users")):
                shutil.chown(path, "nobody")
            command = ["setpriv", "--reuid=nobody", "--clear-groups", *command]
        with _running(command, port):
            yield port


@contextmanager
def _running(command: Sequence[str], port: int, **environment: str) -> Iterator[None]:
    """Within this context, a server runs that listens on this port.

    :param environment: variables that the server has beside this process's own
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, env=os.environ | environment
        )
        try:
            until = time.monotonic() + 60
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise AssertionError(f"{command[0]} does not run: {said.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.kill()
            process.wait()


def _clock(ahead: float) -> dict[str, str]:
    """The variables that give a program another clock, as Debian's ``faketime`` does."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "there is no libfaketime: install Debian's package faketime"
    # What waits so long is to wait so long.
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"{ahead:+.3f}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _in_memory() -> str | None:
    """A folder in memory, if there is one with room: on a busy disk, a ledger's tables take MariaDB a second."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM else None


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"there is no {name}: install Debian's package of it"
    return found


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
