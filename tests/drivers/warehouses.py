"""Stand-ins for warehouses that cannot run here: their clients' protocols on 127.0.0.1, with DuckDB to answer queries.

The real client thus reads the answers: its types, its rows, its pages. What the real server would answer is not proven.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_ROWS_A_PAGE = 2
"""So few rows a page that a handful of rows takes several pages."""


class Tables:
    """An empty DuckDB, whose answers are Arrow's tables.

    Each of a server's threads may ask it, one after the other.
    """

    def __init__(self) -> None:
        import duckdb

        self._duckdb = duckdb.connect()
        self._one_at_a_time = threading.Lock()

    def execute(self, sql: str, parameters: Any = None) -> Any:
        """The rows of a query; None for a statement without rows.

        :raises duckdb.Error: if it fails
        """
        with self._one_at_a_time:
            found = self._duckdb.sql(sql, params=parameters)
            return None if found is None else found.to_arrow_table()


@contextmanager
def _serving(server: HTTPServer) -> Iterator[str]:
    """Within this context, a server answers in a thread of its own, by its scheme, address and port."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class BigQueryServer:
    """Google BigQuery's REST API, as far as Airflow's hook and Google's client use it for queries.

    ``jobs`` are the configurations of the queries that came, and where each was asked to run.
    """

    def __init__(self) -> None:
        self.tables = Tables()
        self.jobs: list[dict[str, Any]] = []
        self.pages = 0
        self.url = ""
        self._done: dict[str, dict[str, Any]] = {}
        self._results: dict[str, Any] = {}

    @contextmanager
    def in_thread(self) -> Iterator[BigQueryServer]:
        """Within it, the server runs."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = outer._answered(self.command, self.path, json.loads(body) if body else {})
                written = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(written)))
                self.end_headers()
                self.wfile.write(written)

            def log_message(self, *_: Any) -> None:
                """Nothing: pytest shows what a server writes."""

        with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as origin:
            self.url = f"{origin}/"
            yield self

    def _answered(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        split = urlsplit(path)
        found = re.search(r"/projects/([^/]+)/(jobs|queries)(?:/([^/]+))?$", split.path)
        if found is None:
            return 404, {"error": {"code": 404, "message": f"there is no {split.path}", "errors": []}}
        project, kind, job = found.groups()
        if method == "POST":
            return 200, self._run(project, body)
        if kind == "jobs":
            return 200, self._done[job]
        return 200, self._page(job, {name: values[0] for name, values in parse_qs(split.query).items()})

    def _run(self, project: str, body: dict[str, Any]) -> dict[str, Any]:
        import duckdb

        asked = body.get("jobReference", {})
        reference = {"projectId": project, "jobId": asked.get("jobId") or uuid.uuid4().hex, "location": "EU"}
        query = body["configuration"]["query"]
        self.jobs.append({**query, "location": asked.get("location")})
        status: dict[str, Any] = {"state": "DONE"}
        try:
            self._results[reference["jobId"]] = self.tables.execute(query["query"])
        except duckdb.Error as error:
            problem = {"reason": "invalidQuery", "message": str(error)}
            status |= {"errorResult": problem, "errors": [problem]}
        self._done[reference["jobId"]] = {
            "kind": "bigquery#job",
            "id": f"{project}:EU.{reference['jobId']}",
            "jobReference": reference,
            "configuration": {"jobType": "QUERY", **body["configuration"]},
            "status": status,
            "statistics": {"query": {"statementType": "SELECT"}},
        }
        return self._done[reference["jobId"]]

    def _page(self, job: str, asked: dict[str, str]) -> dict[str, Any]:
        table = self._results[job]
        answer: dict[str, Any] = {"kind": "bigquery#getQueryResultsResponse", "jobComplete": True}
        answer["jobReference"] = self._done[job]["jobReference"]
        if table is None:
            return answer | {"totalRows": "0", "schema": {"fields": []}}
        answer |= {"totalRows": str(table.num_rows), "schema": {"fields": [_field(each) for each in table.schema]}}
        if asked.get("maxResults") == "0":
            return answer
        self.pages += 1
        first = int(asked.get("pageToken", 0))
        of_page = table.slice(first, _ROWS_A_PAGE).to_pylist()
        whole = asked.get("formatOptions.useInt64Timestamp", "").lower() == "true"
        rows = [{"f": [{"v": _written(value, whole)} for value in row.values()]} for row in of_page]
        if rows:
            answer["rows"] = rows
        if first + _ROWS_A_PAGE < table.num_rows:
            answer["pageToken"] = str(first + _ROWS_A_PAGE)
        return answer


def _field(column: Any) -> dict[str, str]:
    import pyarrow as pa

    kind, mode = column.type, "NULLABLE"
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    if pa.types.is_timestamp(kind):
        name = "DATETIME" if kind.tz is None else "TIMESTAMP"
    else:
        kinds = {
            "BOOLEAN": pa.types.is_boolean,
            "INTEGER": pa.types.is_integer,
            "FLOAT": pa.types.is_floating,
            "NUMERIC": pa.types.is_decimal,
            "DATE": pa.types.is_date,
        }
        name = next((name for name, fits in kinds.items() if fits(kind)), "STRING")
    return {"name": column.name, "type": name, "mode": mode}


def _written(value: Any, whole: bool) -> Any:
    """A value as the API writes it: as text, moments as seconds since 1970.

    :param whole: moments as microseconds, as Google's newer client asks for
    """
    if value is None:
        return None
    if isinstance(value, list):
        return [{"v": _written(each, whole)} for each in value]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        seconds = value.astimezone(UTC).timestamp()
        return str(round(seconds * 1_000_000)) if whole else f"{seconds / 1e9!r}E9"
    return str(value)


class DatabricksServer:
    """Databricks' protocol (Thrift over HTTP), as far as its connector uses it for queries; rows as Arrow's batches.

    ``sessions`` are the catalogs, schemas and settings that sessions were opened with.
    """

    def __init__(self) -> None:
        self.tables = Tables()
        self.statements: list[str] = []
        self.sessions: list[Any] = []
        self.pages = 0
        self.url = ""
        self._left: dict[bytes, Any] = {}

    @contextmanager
    def in_thread(self) -> Iterator[DatabricksServer]:
        """Within it, the server runs."""
        from databricks.sql.thrift_api.TCLIService import TCLIService
        from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
        from thrift.server.THttpServer import THttpServer

        thrift = THttpServer(TCLIService.Processor(self), ("127.0.0.1", 0), TBinaryProtocolFactory())
        # THttpServer's own shutdown leaves this server running.
        with _serving(thrift.httpd) as origin:
            self.url = f"{origin}/sql"
            yield self

    def OpenSession(self, request: Any) -> Any:
        t = _thrift()
        self.sessions.append(request)
        handle = t.TSessionHandle(t.THandleIdentifier(guid=uuid.uuid4().bytes, secret=b"secret"))
        version = t.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7
        return t.TOpenSessionResp(_well(), version, handle, canUseMultipleCatalogs=True)

    def ExecuteStatement(self, request: Any) -> Any:
        import duckdb

        t = _thrift()
        self.statements.append(request.statement)
        handle = t.TOperationHandle(
            t.THandleIdentifier(guid=uuid.uuid4().bytes, secret=b"secret"), t.TOperationType.EXECUTE_STATEMENT, True
        )
        try:
            table = self.tables.execute(*_in_duckdbs_style(request.statement, request.parameters or []))
        except duckdb.Error as error:
            state = t.TGetOperationStatusResp(
                _well(), operationState=t.TOperationState.ERROR_STATE, displayMessage=str(error), sqlState="42000"
            )
            return t.TExecuteStatementResp(_well(), handle, t.TSparkDirectResults(operationStatus=state))
        self._left[handle.operationId.guid] = table
        state = t.TGetOperationStatusResp(_well(), operationState=t.TOperationState.FINISHED_STATE)
        direct = t.TSparkDirectResults(state, _metadata(table), self._page(handle))
        return t.TExecuteStatementResp(_well(), handle, direct)

    def FetchResults(self, request: Any) -> Any:
        return self._page(request.operationHandle)

    def CloseOperation(self, request: Any) -> Any:
        self._left.pop(request.operationHandle.operationId.guid, None)
        return _thrift().TCloseOperationResp(_well())

    def CloseSession(self, request: Any) -> Any:
        return _thrift().TCloseSessionResp(_well())

    def _page(self, handle: Any) -> Any:
        t = _thrift()
        self.pages += 1
        table = self._left[handle.operationId.guid]
        page, self._left[handle.operationId.guid] = table.slice(0, _ROWS_A_PAGE), table.slice(_ROWS_A_PAGE)
        batches = [
            t.TSparkArrowBatch(batch=batch.serialize().to_pybytes(), rowCount=batch.num_rows)
            for batch in page.to_batches()
        ]
        rows = t.TRowSet(0, [], arrowBatches=batches)
        return t.TFetchResultsResp(_well(), table.num_rows > _ROWS_A_PAGE, rows, _metadata(table))


def _thrift() -> Any:
    from databricks.sql.thrift_api.TCLIService import ttypes

    return ttypes


def _well() -> Any:
    t = _thrift()
    return t.TStatus(t.TStatusCode.SUCCESS_STATUS)


def _metadata(table: Any) -> Any:
    t = _thrift()

    def described(place: int, column: Any) -> Any:
        entry = t.TTypeEntry(primitiveEntry=t.TPrimitiveTypeEntry(t.TTypeId.STRING_TYPE))
        return t.TColumnDesc(column.name, t.TTypeDesc([entry]), place)

    columns = [described(place, column) for place, column in enumerate(table.schema, start=1)]
    return t.TGetResultSetMetadataResp(
        _well(),
        t.TTableSchema(columns),
        resultFormat=t.TSparkRowSetType.ARROW_BASED_SET,
        lz4Compressed=False,
        arrowSchema=table.schema.serialize().to_pybytes(),
    )


def _in_duckdbs_style(statement: str, parameters: list[Any]) -> tuple[str, Any]:
    named = {each.name: each.value.stringValue for each in parameters if each.name}
    in_order = [each.value.stringValue for each in parameters if not each.name]
    return re.sub(r"(?<![:\w]):(\w+)", r"$\1", statement), named or in_order or None
