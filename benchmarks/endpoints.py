"""An endpoint that never slows down a sender: nginx, which answers every call at once, after 50 ms, or over TLS.

Needs Debian's ``nginx-light`` and ``libnginx-mod-http-echo``.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import parse_qsl
from urllib.request import urlopen

from airflow_provider_impactcall.delivery.wire.endpoint import PATH
from tests.certificates import certificate

LATENCY = 0.05

_PLACES = (os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin")
_ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
_PATIENCE = 10.0

# One worker: a second one would use the sender's core. No connection is closed for its number of requests.
_CONFIGURATION = """\
load_module {module};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  default_type application/json;
  log_format requests escape=json
    '{{"method": "$request_method", "path": "$uri", "query": "$args",'
    ' "authorization": "$http_authorization", "status": $status}}';
  server {{
    listen 127.0.0.1:{prompt} backlog=4096;
    location = {path} {{ return 200 '{answer}'; }}
  }}
  server {{
    listen 127.0.0.1:{slow} backlog=4096;
    location = {path} {{ echo_sleep {latency}; echo_exec @answer; }}
    location @answer {{ return 200 '{answer}'; }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location = {path} {{ return 200 '{answer}'; }}
  }}
  server {{
    listen 127.0.0.1:{logged};
    location = {path} {{ access_log {folder}/requests.log requests; return 200 '{answer}'; }}
    location = /status {{ stub_status; }}
  }}
}}
"""
ANSWER = '{"Status": "OK"}'


class NotInstalled(Exception):
    """A program that the benchmark needs is missing; the text names its package."""


@dataclass(frozen=True)
class Request:
    """A request as it was received.

    :param parameters: the parameters of its query, sorted
    """

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    authorization: str
    status: int


@dataclass(frozen=True)
class Endpoints:
    """A running nginx.

    :param prompt: the origin of the server that answers at once
    :param slow: the origin of the server that answers after :data:`LATENCY`
    :param tls: the origin of the server that answers at once, over TLS
    :param logged: the origin of the server that answers at once and records requests
    :param certificate: a file with the TLS server's certificate
    :param version: nginx's version
    """

    prompt: str
    slow: str
    tls: str
    logged: str
    certificate: Path
    version: str
    _log: Path
    _asked: Iterator[int] = field(default_factory=lambda: count(1))

    def answered(self) -> int:
        """Wait until no request is under way, and count the requests answered so far, without those for the status.

        :raises RuntimeError: if a request is still under way after :data:`_PATIENCE` seconds
        """
        self._wait_until_idle()
        return self._status()[0]

    def requests(self) -> list[Request]:
        """The requests that the recording server received since the last call of this method."""
        self._wait_until_idle()
        lines = self._log.read_text(encoding="utf-8").splitlines()
        os.truncate(self._log, 0)
        return [_request(json.loads(line)) for line in lines]

    def _wait_until_idle(self) -> None:
        """Wait for requests of a sender that ended when its time was up."""
        until = time.monotonic() + _PATIENCE
        while self._status()[1]:
            if time.monotonic() > until:
                raise RuntimeError("nginx is still answering")
            time.sleep(0.01)

    def _status(self) -> tuple[int, int]:
        """How many requests there were and how many are under way, both without the requests for the status."""
        with urlopen(f"{self.logged}/status", timeout=_PATIENCE) as answer:
            numbers = [int(word) for word in answer.read().split() if word.isdigit()]
        _, _, _, requests, reading, writing, _ = numbers  # after connections: active, accepted, handled
        return requests - next(self._asked), reading + writing - 1


def programs() -> tuple[str, Path]:
    """The paths of nginx and its echo module.

    :raises NotInstalled: if one is missing
    """
    nginx = shutil.which("nginx", path=os.pathsep.join(_PLACES))
    missing = [
        package
        for package, is_there in (("nginx-light", nginx), ("libnginx-mod-http-echo", _ECHO_MODULE.exists()))
        if not is_there
    ]
    if missing or nginx is None:
        raise NotInstalled(f"install Debian's {' and '.join(missing)}: the endpoint of this benchmark is nginx")
    return nginx, _ECHO_MODULE


@contextmanager
def endpoints() -> Iterator[Endpoints]:
    """Run the endpoint on free ports of 127.0.0.1 within the context.

    :raises NotInstalled: if a program is missing
    """
    nginx, module = programs()
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    ports = prompt, slow, tls, logged = _free_ports(4)
    with tempfile.TemporaryDirectory(prefix="impactcall-nginx-") as name:
        folder = Path(name)
        # nginx gives up root's rights.
        folder.chmod(0o755)
        trusted, key = map(Path, certificate(folder))
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                module=module,
                folder=folder,
                prompt=prompt,
                slow=slow,
                tls=tls,
                certificate=trusted,
                key=key,
                logged=logged,
                path=PATH,
                latency=LATENCY,
                answer=ANSWER,
            ),
            encoding="utf-8",
        )
        process = subprocess.Popen([nginx, "-e", "stderr", "-p", name, "-c", str(configuration)])
        try:
            for port in ports:
                _wait_for(process, port)
            origin = "http://127.0.0.1:{}".format
            yield Endpoints(
                prompt=origin(prompt),
                slow=origin(slow),
                tls=f"https://127.0.0.1:{tls}",
                logged=origin(logged),
                certificate=trusted,
                version=said.strip().rpartition("/")[2],
                _log=folder / "requests.log",
            )
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _request(line: dict[str, str]) -> Request:
    parameters = parse_qsl(line["query"], keep_blank_values=True, strict_parsing=bool(line["query"]))
    return Request(line["method"], line["path"], tuple(sorted(parameters)), line["authorization"], int(line["status"]))


def _free_ports(count: int) -> list[int]:
    """Different ports on which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("nginx did not start") from None
            time.sleep(0.02)


def main() -> None:
    """Run the endpoint until Ctrl-C, for tests by hand."""
    try:
        with endpoints() as running:
            print(f"at once: {running.prompt}{PATH}\nafter {LATENCY * 1000:.0f} ms: {running.slow}{PATH}")
            print(f"over TLS: {running.tls}{PATH}, with the certificate {running.certificate}", flush=True)
            while True:
                time.sleep(3600)
    except NotInstalled as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
