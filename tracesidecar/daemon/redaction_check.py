"""Whether the redaction can be trusted: what is switched off is said at each start, and planted
secrets go through it at start and every hour.
"""

from __future__ import annotations

import asyncio

import structlog

from tracesidecar.errors import RedactionError
from tracesidecar.pipeline.service import Service
from tracesidecar.sanitize import RedactionOptions, Sanitizer, load_catalogue

log = structlog.get_logger()

SELF_TEST_SECONDS = 3600.0


def tell_disabled(options: RedactionOptions) -> None:
    """Warn of each rule for secrets that the configuration switches off."""
    if not options.disable:
        return
    for rule in load_catalogue().rule:
        if rule.category == "secret" and rule.id in options.disable:
            log.warning(
                "redaction.rule_disabled",
                rule=rule.id,
                problem="secrets of this kind are delivered as they are",
            )


def prove(sanitizer: Sanitizer) -> None:
    """Raise RedactionError where a planted secret passes."""
    if passed := sanitizer.self_test():
        raise RedactionError(
            f"the redaction lets planted secrets pass ({', '.join(passed)}): nothing is shipped; install tracesidecar anew, or report this"
        )


async def watch(service: Service, sanitizer: Sanitizer) -> None:
    """Prove it again and again; the first time that it fails, everything stops."""
    while True:
        await asyncio.sleep(SELF_TEST_SECONDS)
        try:
            await service.pipeline.work(prove, sanitizer)
        except RedactionError as error:
            log.error("redaction.failed", problem=str(error))
            await service.halt()
            return
