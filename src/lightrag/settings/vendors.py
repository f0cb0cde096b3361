"""The bindings: where each one's server is, which model it gets by default, and the variables that its vendor uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from lightrag.settings.options import Group, Option, Secret

Binding = Literal["openai", "ollama", "azure_openai", "lollms", "anthropic", "gemini", "bedrock", "embedded"]
EmbeddingBinding = Literal[
    "openai",
    "ollama",
    "azure_openai",
    "lollms",
    "gemini",
    "bedrock",
    "jina",
    "voyageai",
    "cohere",
    "tei",
    "embedded",
]
_OTHER_WORDS = {"none": "embedded", "aws_bedrock": "bedrock", "voyage": "voyageai", "azure": "azure_openai"}


def binding_word(value: Any) -> Any:
    """Return the name of a binding for any of the words that mean it."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    return _OTHER_WORDS.get(word, word)


NamedChatBinding = Annotated[Binding | Literal["openai-ollama"] | None, BeforeValidator(binding_word)]
NamedEmbeddingBinding = Annotated[EmbeddingBinding | None, BeforeValidator(binding_word)]


@dataclasses.dataclass(frozen=True, slots=True)
class Vendor:
    """What is known of a binding without being said."""

    host: str = ""
    """Empty: it has to be named, or follows from the region."""
    chat: str = ""
    """Chat model; empty: it has to be named."""
    embedding: str = ""


OLLAMA_HOST = "http://localhost:11434"
OPENAI_HOST = "https://api.openai.com/v1"
VENDORS: Mapping[str, Vendor] = {
    "openai": Vendor(OPENAI_HOST, "gpt-4o-mini", "text-embedding-3-small"),
    "ollama": Vendor(OLLAMA_HOST, "mistral-nemo:latest", "bge-m3:latest"),
    "azure_openai": Vendor(),
    "lollms": Vendor("http://localhost:9600", "mistral-nemo:latest", "bge-m3:latest"),
    "anthropic": Vendor("https://api.anthropic.com"),
    "gemini": Vendor("https://generativelanguage.googleapis.com", "gemini-flash-latest", "gemini-embedding-001"),
    "bedrock": Vendor("", "", "amazon.titan-embed-text-v2:0"),
    "jina": Vendor("https://api.jina.ai/v1", "", "jina-embeddings-v4"),
    "voyageai": Vendor("https://api.voyageai.com/v1", "", "voyage-3"),
    "cohere": Vendor("https://api.cohere.com/v2", "", "embed-v4.0"),
    "tei": Vendor("http://localhost:8080"),
    "embedded": Vendor(),
}


class VendorSettings(Group):
    """Variables that vendors' own tools use; they serve where LLM_BINDING_* and EMBEDDING_BINDING_* say nothing."""

    openai_key: Annotated[Secret, Option(("OPENAI_API_KEY",))] = Field(None, description="key for the binding openai")
    azure_endpoint: Annotated[str | None, Option(("AZURE_OPENAI_ENDPOINT",))] = Field(
        None, description="address of the Azure OpenAI resource"
    )
    azure_key: Annotated[Secret, Option(("AZURE_OPENAI_API_KEY",))] = Field(
        None, description="key for the binding azure_openai"
    )
    azure_api_version: Annotated[str | None, Option(("AZURE_OPENAI_API_VERSION",))] = Field(
        None, description="version of Azure's interface; unset: 2024-08-01-preview, none for endpoints in /openai/v1"
    )
    azure_deployment: Annotated[str | None, Option(("AZURE_OPENAI_DEPLOYMENT",))] = Field(
        None, description="deployment of the chat model, in the place of LLM_MODEL"
    )
    azure_embedding_endpoint: Annotated[str | None, Option(("AZURE_EMBEDDING_ENDPOINT",))] = Field(
        None, description="address of the resource for embeddings; unset: AZURE_OPENAI_ENDPOINT"
    )
    azure_embedding_key: Annotated[Secret, Option(("AZURE_EMBEDDING_API_KEY",))] = Field(
        None, description="its key; unset: AZURE_OPENAI_API_KEY"
    )
    azure_embedding_api_version: Annotated[str | None, Option(("AZURE_EMBEDDING_API_VERSION",))] = Field(
        None, description="its version; unset: AZURE_OPENAI_API_VERSION"
    )
    azure_embedding_deployment: Annotated[str | None, Option(("AZURE_EMBEDDING_DEPLOYMENT",))] = Field(
        None, description="deployment of the embedding model, in the place of EMBEDDING_MODEL"
    )
    anthropic_key: Annotated[Secret, Option(("ANTHROPIC_API_KEY",))] = Field(
        None, description="key for the binding anthropic"
    )
    gemini_key: Annotated[Secret, Option(("GEMINI_API_KEY", "GOOGLE_API_KEY"))] = Field(
        None, description="key for the binding gemini"
    )
    jina_key: Annotated[Secret, Option(("JINA_API_KEY",))] = Field(None, description="key for the bindings jina")
    voyageai_key: Annotated[Secret, Option(("VOYAGE_API_KEY",))] = Field(
        None, description="key for the bindings voyageai"
    )
    cohere_key: Annotated[Secret, Option(("COHERE_API_KEY", "CO_API_KEY"))] = Field(
        None, description="key for the bindings cohere"
    )
    aliyun_key: Annotated[Secret, Option(("DASHSCOPE_API_KEY",))] = Field(
        None, description="key for the rerank binding aliyun"
    )
    bedrock_key: Annotated[Secret, Option(("AWS_BEARER_TOKEN_BEDROCK",))] = Field(
        None, description="Bedrock API key, in the place of the account's keys"
    )
    aws_region: Annotated[str | None, Option(("AWS_REGION", "AWS_DEFAULT_REGION"))] = Field(
        None, description="region of the binding bedrock; unset: us-east-1"
    )
    aws_access_key_id: Annotated[str | None, Option(("AWS_ACCESS_KEY_ID",))] = Field(
        None, description="key of the AWS account; unset: credentials are looked for where AWS's own tools do"
    )
    aws_secret_access_key: Annotated[Secret, Option(("AWS_SECRET_ACCESS_KEY",))] = Field(
        None, description="secret of that key"
    )
    aws_session_token: Annotated[Secret, Option(("AWS_SESSION_TOKEN",))] = Field(
        None, description="token of a temporary key"
    )
    aws_profile: Annotated[str | None, Option(("AWS_PROFILE",))] = Field(
        None, description="profile in AWS's configuration files"
    )

    def key(self, binding: str) -> SecretStr | None:
        """Return the key that a vendor's own variable holds."""
        names = {"azure_openai": "azure_key"}
        value = getattr(self, names.get(binding, f"{binding}_key"), None)
        return value if isinstance(value, SecretStr) else None

    def embedding_key(self, binding: str) -> SecretStr | None:
        """Return the same for embeddings."""
        return (self.azure_embedding_key if binding == "azure_openai" else None) or self.key(binding)
