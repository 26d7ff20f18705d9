"""A client that hides nothing: bytes out, bytes in, and how the connection ended."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from airflow_provider_impactcall.sandbox import Sandbox

PATH = "/calldata/logCallData"
CALL = {
    "CampaignId": "4711",
    "MediaId": "10042",
    "EventDate": "2026-09-10T22:55:32+00:00",
    "ActionTrackerId": "17",
    "CallProvider": "Invoca",
    "CallSessionId": "a-1",
    "CallerId": "8055551234",
    "CalledPhoneNumber": "8665551234",
    "CallDuration": "120",
    "TalkDuration": "90",
}
FORM = "application/x-www-form-urlencoded"


@dataclass
class Reply:
    """The bytes that came back until the connection closed."""

    raw: bytes
    reset: bool

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def wrong(self) -> dict[str, str]:
        """Message by parameter, of a refused call."""
        return {error["Field"]: error["Message"] for error in self.json["Errors"]}


def basic(user: str = "user", password: str = "password", encoding: str = "utf-8") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode(encoding)).decode()


@dataclass
class Ask:
    """One complete request."""

    query: str = ""
    body: bytes = b""
    method: str = "POST"
    path: str = PATH
    headers: Mapping[str, str | None] = field(default_factory=dict)

    def bytes(self) -> bytes:
        headers = {
            "Host": "sandbox",
            "Accept": "application/json",
            "Authorization": basic(),
            "Connection": "close",
            "Content-Length": str(len(self.body)),
        } | dict(self.headers)
        lines = [f"{self.method} {self.path}{'?' * bool(self.query)}{self.query} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + self.body

    async def of(self, sandbox: Sandbox) -> Reply:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        received = bytearray()
        try:
            writer.write(self.bytes())
            while chunk := await reader.read(65_536):
                received += chunk
        except ConnectionResetError:
            return Reply(bytes(received), reset=True)
        finally:
            writer.close()
        return Reply(bytes(received), reset=False)


def a_call(**changes: str | None) -> Ask:
    """A valid call in the query string, except for the changes; None leaves a parameter out."""
    return Ask(query=urlencode({name: value for name, value in (CALL | changes).items() if value is not None}))


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait for something that happens at the other end of a socket, and so cannot be awaited."""
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110 - no event spans two processes
            await asyncio.sleep(0.005)
