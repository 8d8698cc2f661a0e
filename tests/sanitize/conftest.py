"""Sanitizers whose databases are compiled once per session."""

from __future__ import annotations

import pytest

from tracesidecar.sanitize.options import RedactionOptions
from tracesidecar.sanitize.rules.catalogue import RuleCatalogue, load_catalogue
from tracesidecar.sanitize.sanitizer import Sanitizer


@pytest.fixture(scope="session")
def catalogue() -> RuleCatalogue:
    """Return the rules as the program ships them."""
    return load_catalogue()


@pytest.fixture(scope="session")
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return one cache of compiled rules for all tests."""
    return str(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session")
def secrets_only(cache_directory: str) -> Sanitizer:
    """Return a sanitizer that leaves personal data alone."""
    return Sanitizer(RedactionOptions(), cache_directory=cache_directory)


@pytest.fixture(scope="session")
def strict(cache_directory: str) -> Sanitizer:
    """All rules that are on by default, personal data too."""
    return Sanitizer(RedactionOptions(pii=True), cache_directory=cache_directory)


@pytest.fixture(scope="session")
def everything(cache_directory: str, catalogue: RuleCatalogue) -> Sanitizer:
    """Every rule of the catalogue."""
    return Sanitizer(
        RedactionOptions(pii=tuple(rule.id for rule in catalogue.rule if rule.category == "pii")),
        cache_directory=cache_directory,
    )
