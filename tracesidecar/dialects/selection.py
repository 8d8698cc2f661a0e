"""The dialect that a source's configuration means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import cast

import msgspec

from tracesidecar.dialects.dialect import Dialect
from tracesidecar.dialects.registry import DIALECT_NAMES, load_dialect
from tracesidecar.errors import ConfigurationError

AUTO = "auto"


def select_dialect(
    option: str | Mapping[str, str | Mapping[str, str]],
) -> Dialect[msgspec.Struct] | None:
    """The dialect of a name, or of a table that maps fields; None where the files tell.

    Raises ConfigurationError.
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
                f'the dialect\'s "{unexpected or "event_kinds"}" has another form: columns take a path as text, event_kinds a table'
            )
        return cast("Dialect[msgspec.Struct]", field_map_dialect(fields, kinds))
    if option == AUTO:
        return None
    if option not in DIALECT_NAMES:
        near = difflib.get_close_matches(option, DIALECT_NAMES, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise ConfigurationError(
            f'there is no dialect "{option}": expected auto, {", ".join(DIALECT_NAMES)}, or a table of columns and fields{hint}'
        )
    return load_dialect(option)
