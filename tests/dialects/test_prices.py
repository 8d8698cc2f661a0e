"""Prices: the table is complete, deployments are known, unlisted models have no price."""

from __future__ import annotations

import msgspec
import pytest

from tracesidecar.dialects.event import Event
from tracesidecar.dialects.prices import (
    call_cost,
    cost_source,
    price_call,
    price_list_name,
    price_table,
)

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("model", "listed"),
    [
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("bedrock/us-gov.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
        (
            (
                "arn:aws:bedrock:us-east-1::foundation-model/"
                "anthropic.claude-3-haiku-20240307-v1:0:200k"
            ),
            "claude-3-haiku",
        ),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("anthropic/claude-opus-4.1", "claude-opus-4-1"),
        ("claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
    ],
)
def test_a_model_is_known_no_matter_who_serves_it(model: str, listed: str) -> None:
    assert price_list_name(model) == listed
    assert call_cost(model, MILLION // 10, 0) is not None


@pytest.mark.parametrize(
    "model", ["plum-large-2", "gpt-4", "openai/gpt-4o:free", "claude", "", "my-claude-sonnet-4-5"]
)
def test_a_model_that_is_not_listed_has_no_price(model: str) -> None:
    assert call_cost(model, 1, 1) is None


def test_every_kind_of_token_has_its_price() -> None:
    assert call_cost(
        "claude-haiku-4-5",
        MILLION,
        MILLION,
        cache_read=MILLION,
        cache_write_5m=MILLION,
        cache_write_1h=MILLION,
    ) == pytest.approx(1 + 5 + 0.1 + 1.25 + 2)
    assert call_cost(
        "gpt-4o", MILLION, MILLION, cache_read=MILLION, cache_write_5m=MILLION
    ) == pytest.approx(2.5 + 10 + 1.25 + 2.5)


def test_a_long_prompt_has_the_long_price_for_all_of_the_call() -> None:
    assert call_cost("gemini-2.5-pro", 100_000, 1000, cache_read=100_000) == pytest.approx(
        0.125 + 0.0125 + 0.01
    )
    assert call_cost("gemini-2.5-pro", 100_001, 1000, cache_read=100_000) == pytest.approx(
        0.2500025 + 0.025 + 0.015
    )


def test_a_call_costs_what_it_cost_that_day() -> None:
    assert call_cost(
        "claude-sonnet-5-5", 0, 0, cache_read=MILLION, at="2026-10-06T23:59:59.999999Z"
    ) == pytest.approx(0.2)
    assert call_cost(
        "claude-sonnet-5-5", 0, 0, cache_read=MILLION, at="2026-10-07T00:00:00.000000Z"
    ) == pytest.approx(0.1)
    assert call_cost("claude-sonnet-5-5", 0, 0, cache_read=MILLION) == pytest.approx(0.1)


def test_an_event_is_priced_by_its_columns() -> None:
    event = Event(
        event_kind="model_call",
        model="claude-sonnet-4-5",
        input_tokens=1200,
        cache_read_input_tokens=1000,
        cache_creation_input_tokens=100,
        output_tokens=10,
        usage_scope="call",
    )
    priced = price_call(event)
    assert priced is not None
    cost, source = priced
    assert cost == pytest.approx((100 * 3 + 1000 * 0.3 + 100 * 3.75 + 10 * 15) / MILLION)
    assert source == cost_source()


def test_what_is_not_known_is_not_priced() -> None:
    whole = Event(event_kind="model_call", model="gpt-4o", input_tokens=1, output_tokens=1)
    assert price_call(whole) is not None
    for missing in ("model", "input_tokens", "output_tokens"):
        assert price_call(msgspec.structs.replace(whole, **{missing: None})) is None


def test_the_rows_of_a_model_have_different_days() -> None:
    rows = [(model, row.since) for row in price_table().price for model in row.models]
    assert len(set(rows)) == len(rows)
    assert all(price_list_name(model) == model for model, _ in rows), (
        "names as price_list_name leaves them"
    )
    assert all(row.since <= price_table().version for row in price_table().price)


def test_what_a_cache_gives_is_cheaper_than_new_input() -> None:
    for row in price_table().price:
        assert 0 < row.price_of(row.cache_read) < row.input < row.output
        assert (
            row.input <= row.price_of(row.cache_write_5m) <= row.price_of(row.cache_write_1h)
            or row.cache_write_1h is None
        )
        assert row.long is None or (row.long.input > row.input and row.long.output > row.output)
