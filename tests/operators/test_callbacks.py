"""The callbacks of docs/signals.md, as they stand there: what Slack and a mail server get when a task fails."""

from __future__ import annotations

import json
import socketserver
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.documentation import ROOT, blocks
from tests.privacy.test_canary import found_in
from tests.real_airflow import ResidentAirflow


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def slack(told: list[str]) -> ThreadingHTTPServer:
    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Webhook)


def mail(told: list[str]) -> socketserver.ThreadingTCPServer:
    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail.example.com\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper().strip()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    sent = message_from_bytes(b"".join(iter(self.rfile.readline, b".\r\n")))
                    told.append("".join(str(part.get_payload(decode=True)) for part in sent.walk()))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    return socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)


def test_slack_and_e_mail_are_told_the_counts(resident: ResidentAirflow, sandbox: Sandbox, tmp_path: Path) -> None:
    (block,) = [each for each in blocks(ROOT / "docs" / "signals.md", "python") if "SlackWebhookNotifier" in each]
    dag = tmp_path / "calls_with_alarms.py"
    dag.write_text(block)
    rows = [*examples.calls(3), examples.call("bad", CallerId=f"{examples.CALLER}x")]
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse:
        warehouse.execute(f"CREATE TABLE finished_calls ({', '.join(rows[0])})")
        places = ", ".join("?" * len(rows[0]))
        warehouse.executemany(f"INSERT INTO finished_calls VALUES ({places})", [tuple(row.values()) for row in rows])
        warehouse.commit()
    slack_heard: list[str] = []
    mail_heard: list[str] = []
    with serving(slack(slack_heard)) as slack_port, serving(mail(mail_heard)) as mail_port:
        webhook = {"conn_type": "slackwebhook", "host": f"http://127.0.0.1:{slack_port}", "password": "T0/B0/secret"}
        plain = {"disable_ssl": True, "disable_tls": True}
        mailer = {"conn_type": "smtp", "host": "127.0.0.1", "port": mail_port, "extra": plain}
        environment = {
            "AIRFLOW_CONN_IMPACTCALL_DEFAULT": examples.connection(sandbox),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}),
            "AIRFLOW_CONN_SLACK_CALLS": json.dumps(webhook),
            "AIRFLOW_CONN_SMTP_CALLS": json.dumps(mailer),
        }
        with resident.lent(tmp_path, [dag], **environment) as airflow:
            log = airflow.run("dags", "test", "calls_with_alarms", "2026-11-20", **environment).stdout
    assert len(sandbox.calls) == 3
    assert len(slack_heard) == len(mail_heard) == 1, log[-8000:]
    for text in (*slack_heard, *mail_heard):
        assert "1 calls rejected, 0 of unknown fate" in text
        assert "3 delivered" in text
        assert "calls_with_alarms.deliver_calls" in text
        assert found_in(text) == []
