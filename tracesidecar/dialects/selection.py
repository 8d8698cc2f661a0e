"""Select the dialect that a source's configuration names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.registry import DIALECT_NAMES, load_dialect
from tracesidecar.errors import ConfigurationError

AUTO = "auto"
"""The option that lets each file's first lines decide."""


def select_dialect(
    option: str | Mapping[str, str | Mapping[str, str]],
) -> Dialect[msgspec.Struct] | None:
    """Return the dialect of a name, or one built from a table of fields; None for `auto`.

    Raise ConfigurationError if there is no such dialect, or the table is not a field map.
    """
    if not isinstance(option, str):
        from tracesidecar.dialects.field_map import field_map_dialect

        fields = {column: path for column, path in option.items() if isinstance(path, str)}
        kinds = option.get("event_kinds", {})
        unexpected = next(
            (column for column in option if column not in fields and column != "event_kinds"), None
        )
        if unexpected is not None or isinstance(kinds, str):
            raise ConfigurationError(
                f'"{unexpected or "event_kinds"}" of the dialect has the wrong type: '
                "a column takes a path as text, and event_kinds takes a table"
            )
        return field_map_dialect(fields, kinds)
    if option == AUTO:
        return None
    if option not in DIALECT_NAMES:
        near = difflib.get_close_matches(option, DIALECT_NAMES, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise ConfigurationError(
            f'there is no dialect "{option}": expected auto, {", ".join(DIALECT_NAMES)}, '
            f"or a table of columns and fields{hint}"
        )
    return load_dialect(option)
