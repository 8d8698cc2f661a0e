"""What a model call costs, by the list prices of the vendors on one day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources

import msgspec

from tracesidecar.dialects.event import Event

_MILLION = 1_000_000
WEB_SEARCH_USD = 0.01
"""What Anthropic, OpenAI and Google take for a search of the web."""
_CHEAP_TIERS = frozenset(("batch", "flex"))
_USUAL_TIERS = frozenset(("auto", "default", "on_demand", "standard", "standard_only"))
_BEFORE = re.compile(r"(?:[a-z]{2,6}(?:-[a-z]{2,4})?\.)?(?:anthropic|openai|google)\.")
_AFTER = re.compile(
    r"(?:\[1m\]|@(?:\d{8}|default|latest)|-latest|-\d{8}|-\d{4}-\d{2}-\d{2}|-v\d(?::\d{1,2}(?::\d{1,4}k)?)?)\Z"
)


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices in USD for a million tokens.

    An input without a price of its own costs as much as `input`.
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_write_5m: float | None = None
    cache_write_1h: float | None = None

    def price_of(self, kind: float | None) -> float:
        """Return the price of a kind of input."""
        return self.input if kind is None else kind


class LongRates(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of a whole call if its input, cache included, is more than `over` tokens."""

    over: int


class Price(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table: models, the first day of their price, and the price."""

    models: tuple[str, ...]
    since: str = ""
    fast: float | None = None
    priority: float | None = None
    long: LongRates | None = None


class PriceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The price table; its version is the day on which it was checked."""

    version: str
    price: tuple[Price, ...]


@cache
def price_table() -> PriceTable:
    """Return the table of this release."""
    return msgspec.toml.decode(
        resources.files("tracesidecar.dialects").joinpath("prices.toml").read_bytes(),
        type=PriceTable,
    )


def price_call(event: Event) -> tuple[float, str] | None:
    """Return the cost of a call by its token columns, and its `cost_source`.

    Return None if the tokens or the price of the model are not known. A cache write counts as
    one for 5 minutes; a mapper that knows of another lifetime calls `call_cost`.
    """
    if (
        event.model is None
        or event.input_tokens is None
        or event.output_tokens is None
        or event.cost_source is not None
    ):
        return None
    read, written = event.cache_read_input_tokens or 0, event.cache_creation_input_tokens or 0
    plain = max(0, event.input_tokens - read - written)
    found = call_cost(
        event.model,
        plain,
        event.output_tokens,
        cache_read=read,
        cache_write_5m=written,
        at=event.event_time,
        tier=event.service_tier,
        searches=event.web_search_requests or 0,
        is_sum=event.usage_scope == "session_total",
    )
    return None if found is None else (found, cost_source())


def cost_source() -> str:
    """Return the `cost_source` of the costs that this table gives."""
    return f"computed:{price_table().version}"


def call_cost(
    model: str,
    input_tokens: int,
    output_tokens: int,
    *,
    cache_read: int = 0,
    cache_write_5m: int = 0,
    cache_write_1h: int = 0,
    at: str | None = None,
    is_fast: bool = False,
    tier: str | None = None,
    searches: int = 0,
    is_sum: bool = False,
) -> float | None:
    """Return the cost of one call in USD, None if the price is not known.

    `input_tokens` are those that neither came from a cache nor were written to one. `at` is
    when the call was made (RFC 3339), because prices change. `tier` is the one that it was served
    in, and `searches` are those of the web that the provider made for it. `is_sum`: the tokens are
    those of many calls, each of which counts as a short one.
    """
    price = _price(model, (at or "9999")[:10])
    factor = None if price is None else _factor(price, tier, is_fast=is_fast)
    if price is None or factor is None:
        return None
    whole = input_tokens + cache_read + cache_write_5m + cache_write_1h
    is_long = price.long is not None and whole > price.long.over and not is_sum
    rates: Rates = price.long if price.long is not None and is_long else price
    total = (
        input_tokens * rates.input
        + cache_read * rates.price_of(rates.cache_read)
        + cache_write_5m * rates.price_of(rates.cache_write_5m)
        + cache_write_1h
        * rates.price_of(
            rates.cache_write_1h if rates.cache_write_1h is not None else rates.cache_write_5m
        )
        + output_tokens * rates.output
    )
    return round(total * factor / _MILLION + searches * WEB_SEARCH_USD, 9)


def _factor(price: Price, tier: str | None, *, is_fast: bool) -> float | None:
    """Return the factor of mode and tier, None if it is not known.

    What the tier `priority` of Anthropic costs is in its contracts: its tokens count as usual.
    """
    if is_fast:
        return price.fast
    if tier is None or (known := tier.lower()) in _USUAL_TIERS:
        return 1.0
    if known in _CHEAP_TIERS:
        return 0.5
    if known not in ("priority", "fast"):
        return None
    return 1.0 if price.models[0].startswith("claude-") else price.priority


@lru_cache(maxsize=4096)
def _price(model: str, day: str) -> Price | None:
    rows = _by_model().get(price_list_name(model), ())
    return next((row for row in rows if row.since <= day), None)


@cache
def _by_model() -> Mapping[str, tuple[Price, ...]]:
    """Return the rows of each model, the newest first."""
    rows = sorted(price_table().price, key=lambda row: row.since, reverse=True)
    return {
        model: tuple(row for row in rows if model in row.models)
        for row in rows
        for model in row.models
    }


def price_list_name(model: str) -> str:
    """Return the name that a price list has for a model.

    That is without gateway, region, vendor, date and version of the deployment.
    """
    name = model.strip().lower().rsplit("/", 1)[-1]
    name = _BEFORE.sub("", name, count=1)
    while (shorter := _AFTER.sub("", name)) != name:
        name = shorter
    return name.replace(".", "-") if name.startswith("claude-") else name
