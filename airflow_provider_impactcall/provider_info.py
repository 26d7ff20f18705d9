"""What Airflow reads of this provider at start-up. Imports nothing: an import would slow or break every worker."""

from __future__ import annotations

from typing import Any

CONNECTION_TYPE = "impactcall"
HOOK_NAME = "impact.com Call Data"

FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "extra"],
    "relabeling": {"host": "Host", "login": "Login", "password": "Password"},
    "placeholders": {
        "host": "empty: https://twilio.ivr.impactradius.com",
        "login": "the special credentials from your CSM at impact.com",
        "password": "not the ordinary API credentials",
    },
}


def _field(label: str, description: str, kind: str, **schema: Any) -> dict[str, Any]:
    # The form requires every field whose type may not be null.
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "parameters_in": _field(
        "Parameters in",
        "query (default): the URL. form: the body, which keeps callers' numbers out of proxies' logs.",
        "string",
        enum=["query", "form"],
    ),
    "campaign_id": _field("Campaign id", "CampaignId of calls that lack one.", "integer", minimum=0),
    "action_tracker_id": _field("Action tracker id", "ActionTrackerId of calls that lack one.", "integer", minimum=0),
    "call_provider": _field("Call provider", "CallProvider of calls that lack one.", "string", maxLength=64),
    "caller_id_format": _field(
        "Caller id format",
        "How a US or Canadian CallerId leaves. national (default): 2125550123. e164: +12125550123. "
        "impact.com matches conversions by it: never change it once calls were sent.",
        "string",
        enum=["national", "e164"],
    ),
    "concurrency": _field("Concurrency", "Requests in flight at once; 8 if empty.", "integer", minimum=1, maximum=1000),
    "requests_per_second": _field("Requests a second", "Over all tasks of the ledger; no limit if empty.", "number"),
    "requests_per_hour": _field("Requests an hour", "Over all tasks of the ledger; no limit if empty.", "number"),
    "timeout": _field("Timeout (seconds)", "For a whole request; 30 if empty.", "number"),
    "verify": _field("Verify", "true (default), false, or the path of a file of certificates to trust.", "string"),
    "proxies": _field("Proxies", 'A URL, or JSON by scheme: {"https": "http://proxy:3128"}.', "string"),
    "cert": _field("Client certificate", 'A path, or JSON: ["client.crt", "client.key"].', "string"),
}


ASSET_URI: dict[str, Any] = {
    "schemes": ["impactcall"],
    "handler": "airflow_provider_impactcall.assets.impactcall.sanitize_uri",
    "to_openlineage_converter": "airflow_provider_impactcall.assets.impactcall.convert_asset_to_openlineage",
}


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, in the form of Airflow's ``provider_info.schema.json``."""
    integration = "impact.com Call Data"
    return {
        "package-name": "airflow-provider-impactcall",
        "name": "impact.com Call Data",
        "description": "Delivers phone-call records to impact.com's Call Data API, exactly accounted for.",
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://integrations.impact.com/brand-api-reference/reference/call-data",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {
                "integration-name": integration,
                "python-modules": [
                    "airflow_provider_impactcall.hooks.impactcall",
                    "airflow_provider_impactcall.hooks.ledger",
                ],
            }
        ],
        "operators": [
            {
                "integration-name": integration,
                "python-modules": [
                    "airflow_provider_impactcall.operators.correcting",
                    "airflow_provider_impactcall.operators.corrections",
                    "airflow_provider_impactcall.operators.exports",
                    "airflow_provider_impactcall.operators.impactcall",
                    "airflow_provider_impactcall.operators.ledger",
                    "airflow_provider_impactcall.operators.migration",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": integration,
                "python-modules": ["airflow_provider_impactcall.triggers.impactcall"],
            }
        ],
        "transfers": [
            {
                # The name that Airflow's common.sql provider gives it.
                "source-integration-name": "Common SQL",
                "target-integration-name": integration,
                "python-module": "airflow_provider_impactcall.transfers.sql_to_impactcall",
            }
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-name": HOOK_NAME,
                "hook-class-name": "airflow_provider_impactcall.hooks.impactcall.ImpactCallHook",
                "ui-field-behaviour": FIELD_BEHAVIOUR,
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
        "task-decorators": [
            {"name": "impactcall", "class-name": "airflow_provider_impactcall.decorators.impactcall.impactcall_task"}
        ],
        # Airflow 3 reads the first, 2.11 the second.
        "asset-uris": [dict(ASSET_URI)],
        "dataset-uris": [dict(ASSET_URI)],
        "cli": ["airflow_provider_impactcall.cli.definition.get_commands"],
        "config": {
            "impactcall": {
                "description": "Delivery of calls to impact.com.",
                "options": {
                    "ledger_conn_id": {
                        "description": "The SQL connection of the delivery ledger, or embedded: a SQLite file in the "
                        "Airflow home. Empty means embedded where all workers share one machine, and is refused "
                        "elsewhere.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "warehouse",
                        "default": "",
                    }
                },
            }
        },
    }
