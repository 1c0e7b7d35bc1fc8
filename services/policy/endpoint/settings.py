"""Settings of the policy in front of an endpoint: RSTAR_ENDPOINT_*."""

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.policy.limits import Limits

_LONGEST_KEY: Final = 8192


class BadKey(ValueError):  # noqa: N818 - names the fault in what was given
    """The API key cannot be used; the message does not hold it."""


class EndpointSettings(Limits):
    """Which model is asked where, and how much of it at once."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_ENDPOINT_")

    port: int = Field(50051, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port on which Prometheus' metrics are served over HTTP; 0 for none.",
    )
    url: str = Field(
        max_length=2000,
        description="Base URL of the API, its version included: http://host:8000/v1.",
    )
    model: str = Field(
        min_length=1, max_length=200, description="The model's name, as that server knows it."
    )
    api_key: SecretStr = Field(
        SecretStr(""), description="Shown as `authorization: Bearer ...`; empty shows none."
    )
    api_key_file: Path | None = Field(None, description="Or a file that holds the key.")
    api: Literal["chat", "completions"] = Field(
        "chat",
        description="chat: POST /chat/completions. completions: POST /completions with raw text, "
        "for models without a chat template.",
    )
    request_seconds: float = Field(
        300.0, gt=0, le=3600, description="How long one try of a request may take."
    )
    max_requests: int = Field(16, ge=1, le=4096, description="Most requests at once.")
    retries: int = Field(
        5,
        ge=0,
        le=20,
        description="Further tries after a status of 429 or 5xx, or a broken connection.",
    )
    choices: int = Field(
        8,
        ge=1,
        le=128,
        description="Most candidates of one request (`n`). With 1 each is a request of its own, "
        "with a seed of its own.",
    )
    logprobs: bool = Field(True, description="Ask for log-probabilities.")
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls the bound on new tokens."
    )
    context_tokens: int = Field(
        0,
        ge=0,
        le=1_048_576,
        description="Longest prompt and continuation, in tokens; 0 takes what the server says in "
        "its list of models, else 32,768.",
    )
    start_seconds: float = Field(
        600.0, gt=0, le=86_400, description="How long the server may take to answer at first."
    )
    probe_seconds: float = Field(
        10.0, gt=0, le=3600, description="How often the server is asked whether it is there."
    )

    @field_validator("url")
    @classmethod
    def _plain(cls, given: str) -> str:
        parts = urlsplit(given)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be http://HOST... or https://HOST...")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must have no user, query or fragment; a key has its own setting")
        return given.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, given: SecretStr) -> SecretStr:
        _checked(given.get_secret_value())
        return given

    @model_validator(mode="after")
    def _one_key(self) -> "EndpointSettings":
        if self.api_key.get_secret_value() and self.api_key_file is not None:
            raise ValueError("give either API_KEY or API_KEY_FILE")
        return self

    def key(self) -> str:
        """The API key, read from its file where that is named; empty for none.

        Raises:
            BadKey: the file cannot be read, or holds no key.
        """
        if self.api_key_file is None:
            return self.api_key.get_secret_value()
        try:
            key = self.api_key_file.read_text("ascii").strip()
        except OSError as error:
            raise BadKey(f"cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise BadKey("holds no key of printable ASCII") from None
        if not key:
            raise BadKey("is empty")
        return _checked(key)


def _checked(key: str) -> str:
    if len(key) > _LONGEST_KEY or not all("!" <= character <= "~" for character in key):
        raise BadKey(f"must be up to {_LONGEST_KEY} printable ASCII characters without spaces")
    return key
