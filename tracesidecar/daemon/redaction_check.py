"""Check that the redaction can be trusted.

Rules that are switched off are logged at each start, and planted secrets are put through it at
start and every hour.
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
from tracesidecar.sanitize.sanitizer import Sanitizer

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


def check_redaction(sanitizer: Sanitizer) -> None:
    """Raise RedactionError if a planted secret is not redacted."""
    if missed := sanitizer.self_test():
        raise RedactionError(
            f"the redaction misses planted secrets ({', '.join(missed)}): nothing is shipped; "
            "reinstall tracesidecar, or report this"
        )


async def check_redaction_hourly(service: Service) -> None:
    """Repeat the check; the first time that it fails, stop all shipping and return."""
    while True:
        await asyncio.sleep(SELF_TEST_SECONDS)
        try:
            await service.worker.run(lambda context: check_redaction(context.sanitizer))
        except RedactionError as error:
            log.error("redaction.failed", problem=str(error))
            await service.stop_shipping()
            return
