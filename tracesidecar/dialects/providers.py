"""One name for each provider, as OpenTelemetry writes them: agents write many."""

from __future__ import annotations

from functools import lru_cache

_ALIASES: dict[str, str] = {
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "aws-bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "claude": "anthropic",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google-gemini": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "grok": "x_ai",
    "xai": "x_ai",
    "x-ai": "x_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "kimi": "moonshot_ai",
    "watsonx": "ibm.watsonx.ai",
}
"""What agents write, in lower case → the name in the registry of `gen_ai.provider.name`."""

_NAMES = frozenset((*_ALIASES.values(), "openai", "deepseek", "groq", "cohere", "perplexity"))


@lru_cache(maxsize=256)
def name_provider(given: str) -> str:
    """Return the usual name of a provider; one that is not known stays as it is."""
    plain = given.strip().lower()
    known = _ALIASES.get(plain)
    if known is not None:
        return known
    return plain if plain in _NAMES else given
