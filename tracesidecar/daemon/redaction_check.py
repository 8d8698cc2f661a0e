"""Check that the redaction can be trusted.

Rules that are switched off are logged at each start, and so is a cache of rules that cannot be
used. A Sanitizer is tested with planted secrets when it is made; here the test is repeated every
hour.
"""

from __future__ import annotations

import asyncio

import structlog

from tracesidecar.errors import RedactionError
from tracesidecar.pipeline import Service
from tracesidecar.sanitize import (
    RedactionOptions,
    list_disabled_secret_rules,
    load_catalogue,
)

log = structlog.get_logger()

SELF_TEST_SECONDS = 3600.0


def warn_of_disabled_rules(options: RedactionOptions) -> None:
    """Log a warning for each rule for secrets that the configuration switches off."""
    if not options.disable:
        return
    for rule in list_disabled_secret_rules(load_catalogue(), options):
        log.warning(
            "redaction.rule_disabled",
            rule=rule,
            problem="secrets of this kind are delivered as they are",
        )


def warn_of_cache(trouble: str) -> None:
    """Log why the cache of compiled rules cannot be trusted, if so."""
    if trouble:
        log.warning(
            "redaction.cache_not_used",
            problem=trouble,
            meaning="the rules are compiled again at each start; remove it, or make it this user's",
        )


async def check_redaction_hourly(service: Service) -> None:
    """Repeat the check; the first time that it fails, stop all shipping and return."""
    while True:
        await asyncio.sleep(SELF_TEST_SECONDS)
        try:
            await service.worker.run(lambda context: context.sanitizer.require_redaction())
        except RedactionError as error:
            log.error("redaction.failed", problem=str(error))
            await service.stop_shipping()
            return
