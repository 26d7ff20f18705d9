"""Plain pydantic's models of vendors' rows, as an engineer would write them for these rows alone.

They read the same columns as the package's presets, with types, patterns, lengths and the same words for a status.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

Number = Annotated[str, Field(pattern=r"^\+1\d{10}$")]
Id = Annotated[str, Field(min_length=1, max_length=64)]


class CallRail(BaseModel):
    """A call of CallRail's."""

    id: Id
    start_time: AwareDatetime
    customer_phone_number: Number
    tracking_phone_number: Number
    duration: NonNegativeInt
    answered: bool
    voicemail: bool
    call_type: Literal["answered", "missed", "abandoned", "voicemail"]
    direction: Literal["inbound"]
    first_call: bool
    customer_city: str | None = None
    customer_state: str | None = None
    zip_code: str | None = None
    recording: str | None = None
    source: str | None = None
    source_name: str | None = None
    landing_page_url: str | None = None


class Ringba(BaseModel):
    """A call of Ringba's."""

    id: Id = Field(alias="inboundCallId")
    began: AwareDatetime = Field(alias="callDt")
    caller: Number = Field(alias="inboundPhoneNumber")
    called: Number = Field(alias="number")
    duration: NonNegativeInt = Field(alias="callLengthInSeconds")
    talk: NonNegativeInt = Field(alias="connectedCallLengthInSeconds")
    connected: bool = Field(alias="hasConnected")
    voicemail: bool = Field(alias="hasVoiceMail")
    duplicate: bool = Field(alias="isDuplicate")
    before: bool = Field(alias="hasPreviouslyConnected")
    live: Literal[False] = Field(alias="isLive")
    blocked: Literal[False] = Field(alias="wasBlocked")
    click_id: str | None = Field(alias="tag:User:irclickid", default=None)
    city: str | None = Field(alias="tag:InboundNumber:City", default=None)
    region: str | None = Field(alias="tag:InboundNumber:State", default=None)
    zip: str | None = Field(alias="tag:Geo:ZipCode", default=None)
    recording: str | None = Field(alias="recordingUrl", default=None)
    agent: str | None = Field(alias="tag:Technology:UserAgentString", default=None)

    @model_validator(mode="after")
    def talk_is_part_of_the_call(self) -> Ringba:
        """impact.com: the talk never exceeds the call."""
        if self.talk > self.duration:
            raise ValueError("the talk must not exceed the call")
        return self


class Twilio(BaseModel):
    """A Call resource of Twilio's; its times need a function in Python."""

    sid: Id
    start_time: Annotated[datetime, BeforeValidator(parsedate_to_datetime)]
    caller: Number = Field(alias="from")
    to: Number
    duration: NonNegativeInt
    status: Literal["completed", "busy", "no-answer", "canceled", "failed"]
    direction: Literal["inbound", "trunking-originating"]
    answered_by: str | None = None
    parent_call_sid: None = None


class Invoca(BaseModel):
    """A transaction of Invoca's."""

    complete_call_id: Id
    transaction_id: Id
    transaction_type: Literal["Call"]
    start_time_utc: AwareDatetime
    calling_phone_number: Number
    destination_phone_number: Annotated[str, Field(pattern=r"^\d{3}-\d{3}-\d{4}$")]
    duration: NonNegativeInt
    connect_duration: NonNegativeInt
    ivr_duration: NonNegativeInt
    hangup_cause: Literal["Caller: Hang-up", "Destination: Hang-up", "Destination: No Answer", "IVR: Hang-up"]
    affiliate_id_from_network: PositiveInt
    advertiser_campaign_id_from_network: PositiveInt
    opt_in: bool = Field(alias="opt_in_SMS")
    repeat_calling_phone_number: bool
    mobile: Literal["Landline", "Mobile", ""]
    keypresses: str
    keypress_1: str
    keypress_2: str
    keypress_3: str
    keypress_4: str
    city: str | None = None
    region: str | None = None
    verified_zip: str | None = None
    recording: str | None = None
    call_source_description: str | None = None
    promo_line_description: str | None = None
    landing_page: str | None = None

    @model_validator(mode="after")
    def talk_is_part_of_the_call(self) -> Invoca:
        """impact.com: the talk never exceeds the call."""
        if self.connect_duration > self.duration:
            raise ValueError("connect_duration must not exceed duration")
        return self


def _called_at(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %I:%M %p %z")


class CallTrackingMetrics(BaseModel):
    """An activity of CallTrackingMetrics'; its times need a function in Python."""

    id: PositiveInt
    called_at: Annotated[datetime, BeforeValidator(_called_at)]
    caller_number_complete: Number
    tracking_number: Number
    duration: NonNegativeInt
    talk_time: NonNegativeInt
    dial_status: Literal["completed", "answered", "hangup", "no-answer", "canceled", "busy", "failed"]
    direction: Literal["inbound"]
    excluded: Literal[False]
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    audio: str | None = None
    source: str | None = None
    tracking_label: str | None = None
    location: str | None = None

    @model_validator(mode="after")
    def talk_is_part_of_the_call(self) -> CallTrackingMetrics:
        """impact.com: the talk never exceeds the call."""
        if self.talk_time > self.duration:
            raise ValueError("talk_time must not exceed duration")
        return self


MODELS: Mapping[str, type[BaseModel]] = {
    "callrail": CallRail,
    "ringba": Ringba,
    "twilio": Twilio,
    "invoca": Invoca,
    "calltrackingmetrics": CallTrackingMetrics,
}
"""By the vendor's preset."""
