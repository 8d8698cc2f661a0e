"""The proxy that the environment names for a URL (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`)."""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit

from tracesidecar.sinks.exposure import ClearText


def find_proxy(scheme: str, host: str) -> str | None:
    """Return the address of the proxy for requests to a host, as the environment has it.

    It may hold a password. None if there is no proxy, or NO_PROXY excepts the host.
    """
    if urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(scheme) or None


def list_clear_proxies(
    key: str, scheme: str, host: str, *, takes_all: bool = False
) -> tuple[ClearText, ...]:
    """Return the proxy for a host if it is given its own credentials without TLS.

    `key` is the option that has the address of the host. With `takes_all`, ALL_PROXY holds where no
    other is set, as for the package `requests`.
    """
    proxy = find_proxy(scheme, host)
    if proxy is None and takes_all:
        scheme, proxy = "all", find_proxy("all", host)
    if proxy is None:
        return ()
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        name = parts.hostname or ""
    except ValueError:
        return ()  # each request says that it is no address
    if parts.scheme != "http" or "@" not in parts.netloc:
        return ()
    variable = f"{scheme.upper()}_PROXY"
    return (ClearText(key, name, has_credentials=True, variable=variable),)
