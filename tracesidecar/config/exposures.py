"""Who else can read, or pretend to be, what: of a configuration that is valid all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracesidecar.config.problems import KeyPath, Problem
from tracesidecar.config.schema import Configuration
from tracesidecar.masking import Mask
from tracesidecar.sinks import ClearText, Reach, SinkOptions, reach_of, read_address


@dataclass(frozen=True, slots=True)
class Exposure(Problem):
    """Something that is readable or forgeable by others; `is_rejected` if it must not be."""

    is_rejected: bool = False


def exposures(configuration: Configuration) -> Iterator[Exposure]:
    """Yield what is exposed: by each sink, and by the health pages."""
    for index, options in enumerate(configuration.sink):
        mask = Mask.of(options)
        for each in _exposures_of(options, ("sink", index)):
            yield Exposure(each.path, mask.apply(each.message), each.is_rejected)
    host, _, _ = configuration.daemon.listen.rpartition(":")
    address = read_address(host.strip("[]"))
    if address is not None and address.is_unspecified:
        yield Exposure(
            ("daemon", "listen"),
            "the health pages answer on all addresses, and ask for no credentials: whoever reaches "
            'this machine can read them; listen on "127.0.0.1:9464" or a Unix socket, or let a '
            "firewall or network policy say who may ask",
        )


def _exposures_of(options: SinkOptions, path: KeyPath) -> Iterator[Exposure]:
    if options.trusts_any_server:
        yield Exposure(
            (*path, "tls"),
            "verify = false: the server's certificate is not verified, so anyone on the network "
            "path can read and answer; set tls.ca_file to the certificate of its CA",
        )
    for clear in options.list_clear_text():
        if (found := _judge(clear, options, (*path, clear.key))) is not None:
            yield found


def _judge(clear: ClearText, options: SinkOptions, path: KeyPath) -> Exposure | None:
    if not clear.has_credentials:
        return Exposure(
            path,
            f"events go to {clear.host} in clear text: anyone on the network path can read and "
            "change them; use TLS",
        )
    whose = "credentials" if clear.variable is None else f"the credentials in {clear.variable}"
    where = clear.host if clear.named_by is None else f"{clear.host} ({clear.named_by})"
    sent = f"{whose} go to {where} in clear text"
    match reach_of(clear.host):
        case Reach.PUBLIC if not options.insecure:
            return Exposure(
                path,
                f"{sent}, and that is a public address: use TLS, or set insecure = true if "
                "anyone on the network path can read them",
                is_rejected=True,
            )
        case Reach.PUBLIC:
            return Exposure(
                path,
                f"{sent}, over public networks: anyone on the way can read and use them; use TLS",
            )
        case Reach.PRIVATE if not options.insecure:
            return Exposure(
                path,
                f"{sent}: anyone on the network path can read and use them; use TLS, or set "
                "insecure = true if that is meant; the next release rejects this without it",
            )
    return None
