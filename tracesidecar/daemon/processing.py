"""What of a configuration shapes the bytes that are sent: encodings, interpreters, fingerprints."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Callable, Mapping
from importlib.metadata import version

import msgspec

from tracesidecar import __version__
from tracesidecar.batch import Encoding
from tracesidecar.config import Configuration
from tracesidecar.dialects import SCHEMA_VERSION, Interpreter, cost_source, select_dialect
from tracesidecar.encode import describe_level
from tracesidecar.sinks import SinkOptions, content_of, record_limit_of, sink_type
from tracesidecar.tail import SourceOptions


def encoding_of(options: SinkOptions) -> Encoding:
    """Return how the records of a sink are encoded."""
    return Encoding(
        sink_type(options.type).delivery_unit,
        options.format,
        content_of(options),
        options.compression,
        record_limit_of(options),
        sink_type(options.type).takes_text,
    )


def make_interpreters(
    configuration: Configuration, rules: str, observe: Callable[[str, str], None]
) -> dict[str, Interpreter]:
    """Return one interpreter for each source; `observe` is called with what is unknown to them.

    Its arguments are the dialect and the type of the line. `rules` is the version of the sanitizer.
    """
    return {
        source.name: Interpreter(
            select_dialect(source.dialect),
            source=source.identity,
            labels=source.labels,
            host=host_name(),
            processed_by=describe_processing(source, rules),
            observe=observe,
        )
        for source in configuration.source
    }


def describe_processing(source: SourceOptions, rules: str) -> str:
    """Return the program's version and a digest of what it redacts and interprets a source by.

    It is the same for all sinks, and on all hosts that have the source with these rules: two events
    with the same id and the same description have the same line, or one of them is not what it
    says.
    """
    what = (rules, source.repair, source.documents, source.dialect, SCHEMA_VERSION, cost_source())
    return f"{__version__}+{hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:8]}"


def interpreting_sinks(configuration: Configuration) -> int:
    """Return how many sinks take events, for which lines must be interpreted."""
    return sum(encoding_of(options).interprets for options in configuration.sink)


def host_name() -> str:
    """Return the name of this host in the form in which objects are named after it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "host"


def fingerprint(configuration: Configuration, options: SinkOptions, rules: str) -> str:
    """Return a digest of everything that determines the bytes of a sink's batches.

    A batch that is built again under the same fingerprint has the same bytes.
    """
    sources: Mapping[str, tuple[bool, int]] = {
        source.name: (source.repair, int(source.max_line)) for source in configuration.source
    }
    package = (
        "pyarrow"
        if options.format == "parquet"
        else {"gzip": "isal", "zstd": "zstandard", "none": ""}[options.compression]
    )
    compressor = version(package) if package else ""
    what: tuple[object, ...] = (
        __version__,
        rules,
        options.format,
        options.compression,
        compressor,
        sorted(sources.items()),
    )
    if encoding_of(options).interprets:
        interpretation = [
            (source.name, source.dialect, sorted(source.labels.items()))
            for source in configuration.source
        ]
        what += (
            describe_level(content_of(options)),
            record_limit_of(options),
            SCHEMA_VERSION,
            cost_source(),
            interpretation,
            host_name(),
        )
    if encoding_of(options).is_store:
        what += tuple(source.limits.partitions for source in configuration.source)
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:16]
