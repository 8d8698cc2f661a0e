"""A provider has one name, whichever an agent writes."""

from __future__ import annotations

import pytest

from tests.dialects.mapping import events_of
from tracesidecar.dialects.providers import name_provider


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Anthropic", "anthropic"),
        ("OpenAI", "openai"),
        ("google", "gcp.gemini"),
        ("gcp.gemini", "gcp.gemini"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("amazon-bedrock", "aws.bedrock"),
        ("xai", "x_ai"),
        ("Orchard Models", "Orchard Models"),
    ],
)
def test_a_provider_has_its_usual_name(given: str, name: str) -> None:
    assert name_provider(given) == name


def test_the_names_of_all_dialects_are_the_usual_ones() -> None:
    meta = {"id": "s", "model_provider": "Azure"}
    line = {"timestamp": "2026-09-02T10:00:00.000Z", "type": "session_meta", "payload": meta}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    payload = {"type": "token_count", "info": {"last_token_usage": usage}}
    events = events_of("/x/r.jsonl", [line, {**line, "type": "event_msg", "payload": payload}])
    assert [each.provider_name for each in events if each.usage_scope] == ["azure.ai.openai"]
