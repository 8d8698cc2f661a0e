"""The keys of a `[[sink]]` of type `directory`."""

from __future__ import annotations

import re

from tracesidecar.sinks.options import SinkOptions

_MODE = re.compile("0?[0-7]{3}")


class Options(SinkOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A folder. The modes are exact: the umask does not change them."""

    path: str
    directory_mode: str = "0750"
    file_mode: str = "0640"

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path is empty; give the folder that the objects go to")
        for key, mode in (("directory_mode", self.directory_mode), ("file_mode", self.file_mode)):
            if _MODE.fullmatch(mode) is None:
                raise ValueError(f'{key} is not an octal mode such as "0640"')

    def list_written(self) -> tuple[str, ...]:
        """Return the folder."""
        return (self.path,)
