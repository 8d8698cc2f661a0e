"""The levels of `content` at which an event is narrowed."""

from __future__ import annotations

from typing import Literal

LEVELS_BELOW_FULL: tuple[Literal["actions", "metadata"], ...] = ("actions", "metadata")
