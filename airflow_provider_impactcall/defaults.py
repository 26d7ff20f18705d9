"""Defaults of options that operators show. This module imports nothing, as DAG files import it when they are parsed."""

from __future__ import annotations

DEFAULT_CONN_ID = "impactcall_default"
DEFAULT_API_CONN_ID = "impact_api_default"

DEFAULT_KEY = ("CampaignId", "ActionTrackerId", "CallProvider", "CallSessionId")
"""The parameters that tell two calls apart."""

DEFAULT_ORIGIN = "https://twilio.ivr.impactradius.com"
"""Where calls go if a connection names no host."""

RETRY_STATUSES = (429, 500, 503)
"""HTTP statuses that impact.com asks to retry (its pages: 429, and "any 5XX"). They are taken as "not processed".

502 and 504 are left out: they come from a gateway, and the call may have been processed behind the gateway.
"""
