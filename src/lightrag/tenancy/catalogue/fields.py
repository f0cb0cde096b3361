"""What providers want to be told: a key, or several fields of which some are secret."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One thing to enter."""

    name: str
    is_secret: bool = False
    is_required: bool = False
    default: str = ""
    pattern: str = ""
    """What all of a value must match; empty for anything printable."""


def _key(name: str = "api_key", *, is_required: bool = True) -> Field:
    return Field(name, is_secret=True, is_required=is_required)


_REGION = r"[a-z]{2,8}(-[a-z]{2,12}){1,3}-?\d{1,2}"

_COMPOUND: Mapping[str, tuple[Field, ...]] = {
    "Azure-OpenAI": (_key(), Field("api_version", default="2024-02-01", pattern=r"[A-Za-z0-9.-]{1,40}")),
    "Bedrock": (
        _key("bedrock_ak"),
        _key("bedrock_sk"),
        Field("bedrock_region", is_required=True, pattern=_REGION),
        Field("auth_mode", pattern="access_key_secret"),
    ),
    "OpenRouter": (_key(), Field("provider_order", pattern=r"[\w .,/-]{1,500}")),
    "VolcEngine": (
        _key("ark_api_key"),
        Field("ep_id", pattern=r"[\w.-]{1,100}"),
        Field("endpoint_id", pattern=r"[\w.-]{1,100}"),
    ),
    "Google Cloud": (
        _key("google_service_account_key"),
        Field("google_project_id", is_required=True, pattern=r"[a-z0-9.:-]{1,100}"),
        Field("google_region", is_required=True, pattern=rf"global|us|eu|{_REGION}"),
    ),
    "Fish Audio": (_key("fish_audio_ak"), Field("fish_audio_refid", pattern=r"[\w-]{1,100}")),
    "XunFei Spark": (_key("spark_api_password"),),
    "Tencent Cloud": (_key("tencent_cloud_sid"), _key("tencent_cloud_sk")),
}
"""Providers whose keys are more than one text, or have a name of their own. The first field is the key itself."""

MODEL_FIELDS = frozenset({"ep_id", "endpoint_id"})
"""Fields that are about a model rather than about the account."""

REFUSED: Mapping[str, Mapping[str, str]] = {
    "Tencent Hunyuan": dict.fromkeys(
        ("hunyuan_sid", "hunyuan_sk"),
        "Tencent Hunyuan is reached through its OpenAI-compatible interface: enter the key made for that as api_key",
    ),
    "BaiduYiyan": dict.fromkeys(
        ("yiyan_ak", "yiyan_sk"),
        "BaiduYiyan is reached through version 2 of Qianfan's interface: enter a key of that (bce-v3/...) as api_key",
    ),
    "Bedrock": {"aws_role_arn": "Roles cannot be assumed: enter an access key as bedrock_ak and bedrock_sk"},
    "XunFei Spark": dict.fromkeys(
        ("spark_app_id", "spark_api_secret", "spark_api_key"),
        "XunFei Spark's speech is spoken over WebSockets, which is not supported; chat wants spark_api_password",
    ),
}
"""Fields of another way of authentication, and what to do in their place."""


def fields_of(provider: str, auth: str) -> tuple[Field, ...]:
    """Return what a provider wants to be told, its key first; `auth` is the form that the catalogue names."""
    if provider in _COMPOUND:
        return _COMPOUND[provider]
    # Servers of one's own stand behind something that wants a key, even where they know none themselves.
    return (_key(is_required=auth not in ("optional_bearer", "none")),)
