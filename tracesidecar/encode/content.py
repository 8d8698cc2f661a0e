"""How much of each event a sink is given: an allow-list of columns for each level of `content`.

What is not named here is not sent, so a new column is absent below `full` until it is named. A
column that an agent fills freely is sent in a form that cannot carry a sentence or a path, where
its level promises so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from tracesidecar.dialects import COLUMNS, PARTITIONS, Event, find_patched_files, set_target

Content = Literal["full", "actions", "metadata"]
"""`actions` is what an agent did, without what was said; `metadata` is that it did something."""

Form = Literal["", "as it is", "word", "name", "model", "title", "id", "action", "keyed hash"]
"""How a column is sent; the empty form: not at all. CONTENT_FORMS explains the others."""

CONTENT_FORMS: Mapping[Form, str] = {
    "as it is": "what `full` has",
    "word": (
        "as it is if it is one word of at most 64 letters, digits and `_.:+-`; "
        "`_OTHER` stands for anything else"
    ),
    "name": "as `word`, but of at most 128 letters",
    "model": "as `name`, or up to four such words with `/` between them, 128 characters in all",
    "title": "as `model`, or two such words with a space between them",
    "id": (
        "what programs make is as it is: of each part between `:`, `|` and `#` a UUID, a ULID, "
        "numbers, hexadecimal digits, a long random word, single letters and a few words that ids "
        "begin with (`msg_`, `call_`), with `_.=+-` between them. Of any other part, as of the "
        "user, a keyed hash; of anything with other characters (a path, a mail address, a "
        "sentence), or more than 200 of them, one of the whole"
    ),
    "action": (
        "a JSON object with no other keys than `command`, `file_path`, `file_paths` (of a patch "
        "with several files), `url`, `connector` and `asset_id`"
    ),
    "keyed hash": (
        "BLAKE2b with the key of this installation, 32 hexadecimal digits: equal values have "
        "equal hashes, and without the key nobody can try values"
    ),
}

WITHHELD = "_OTHER"
"""What stands for a value of the wrong form: OpenTelemetry's word for an error of no known type."""


class Forms(NamedTuple):
    """How a column is sent at each level below `full`."""

    actions: Form = ""
    metadata: Form = ""


_ALWAYS = Forms("as it is", "as it is")
_WORD = Forms("word", "word")
_NAME = Forms("as it is", "name")
_MODEL = Forms("as it is", "model")
_ID = Forms("as it is", "id")
_ACTED_ON = Forms(actions="as it is")

SENT: Mapping[str, Forms] = {
    "schema_version": _ALWAYS,
    "event_id": _ALWAYS,
    "native_id": _ID,
    "parent_id": _ID,
    "trace_id": _ID,
    "conversation_id": _ID,
    "parent_conversation_id": _ID,
    "agent_id": _ID,
    "is_subagent": _ALWAYS,
    "event_time": _ALWAYS,
    "event_time_source": _ALWAYS,
    "duration_ms": _ALWAYS,
    "ingest_time": _ALWAYS,
    "event_kind": _ALWAYS,
    "operation_name": Forms("title", "name"),
    "role": _WORD,
    "provider_name": _NAME,
    "model": _MODEL,
    "api_call_id": _ID,
    "finish_reason": _WORD,
    "input_tokens": _ALWAYS,
    "cache_read_input_tokens": _ALWAYS,
    "cache_creation_input_tokens": _ALWAYS,
    "output_tokens": _ALWAYS,
    "reasoning_output_tokens": _ALWAYS,
    "usage_scope": _ALWAYS,
    "cost_usd": _ALWAYS,
    "cost_source": _WORD,
    "tool_name": Forms("title", "name"),
    "tool_type": _WORD,
    "tool_call_id": _ID,
    "tool_arguments": Forms(actions="action"),
    "outcome": _ALWAYS,
    "exit_code": _ALWAYS,
    "error_type": _WORD,
    "agent_name": _NAME,
    "agent_version": _NAME,
    "user_id": Forms("as it is", "keyed hash"),
    "host_name": _NAME,
    "source_file": Forms("as it is", "keyed hash"),
    "source_line": _ALWAYS,
    "source_offset": _ALWAYS,
    "line_bytes": _ALWAYS,
    "line_sha256": _ALWAYS,
    "line_state": _ALWAYS,
    "redaction_count": _ALWAYS,
    "redaction_kinds": _ALWAYS,
    "truncated": _ALWAYS,
    "supersedes": _ALWAYS,
    "labels": _ALWAYS,
    "generation": _ALWAYS,
    "processed_by": _ALWAYS,
    "request_id": _ID,
    "service_tier": _WORD,
    "web_search_requests": _ALWAYS,
    "command": _ACTED_ON,
    "file_path": _ACTED_ON,
    "url": _ACTED_ON,
    "parent_tool_call_id": _ID,
    "user_source": _ALWAYS,
    "connector": _ACTED_ON,
    "asset_id": _ACTED_ON,
    "category": _WORD,
    "iteration": _ALWAYS,
}
"""Column → its forms. A column that is not here is sent at `full` only."""

_CACHED_VALUES = 1024
_CACHED_CHARACTERS = 256
"""What a cache keeps is bounded, because an agent chooses the values."""
_Convert = Callable[[str], str | None]
_IDS = tuple(name for name, forms in SENT.items() if forms is _ID)
_KEY_BYTES = 16
_WORD_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}")
_ONE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:+-]*"
_AT_MOST_128 = r"(?=.{1,128}\Z)"
_NAME_PATTERN = re.compile(_AT_MOST_128 + _ONE_NAME)
_MODEL_PATTERN = re.compile(rf"{_AT_MOST_128}{_ONE_NAME}(?:/{_ONE_NAME}){{0,3}}")
_TITLE_PATTERN = re.compile(rf"{_MODEL_PATTERN.pattern}|{_AT_MOST_128}{_ONE_NAME} {_ONE_NAME}")
_ID_PATTERN = re.compile(r"[A-Za-z0-9_.:|#=+-]{0,200}")
_ID_SEPARATOR = re.compile(r"([:|#])")
_ID_PREFIXES = (
    "agent|asst|call|chatcmpl|conv|ctc|fc|gen|ls|msg|ob|part|req|resp|rs|run|sess|session|span|"
    "srvtoolu|step|task|tc|thread|tool|toolu|tooluse|tr|trace|tu|turn|ws"
)
_ID_WORD = (
    r"(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}"
    r"|[0-9A-HJKMNP-TV-Z]{26}|[0-9]{1,24}|[A-Za-z]"
    r"|(?=(?:[a-f]*[0-9]){3})[0-9a-f]{8,64}"  # three digits: no word, and no name with a year
    r"|(?=(?:[A-Za-z]*[0-9]){3})[A-Za-z0-9]{20,64}"
    rf"|{_ID_PREFIXES})"
)
_MADE_PATTERN = re.compile(rf"{_ID_WORD}(?:[_.=+-]{{1,2}}{_ID_WORD})*")
"""What a program makes. A name of a person, a customer or a file is not of that form."""


def forms_of(column: str) -> Forms:
    """Return how a column is sent below `full`."""
    return SENT.get(column, Forms())


class Narrowing:
    """Makes what a sink is given of an event, at one level below `full`.

    It has no side effects, and the same event and key give the same values.
    """

    def __init__(self, level: Literal["actions", "metadata"], key: bytes) -> None:
        """Take the key of this installation. Raise ValueError if `metadata` has none to hash with.

        Without a key, a hash of a name is undone by trying names.
        """
        if len(key) < _KEY_BYTES and level == "metadata":
            raise ValueError('content = "metadata" needs the key of the installation')
        self._key = key
        forms = _forms_at(level)
        self._dropped = dict.fromkeys(name for name in Event.__struct_fields__ if name not in forms)
        self._hashes_paths = forms["source_file"] == "keyed hash"
        self._hashes_users = forms["user_id"] == "keyed hash"
        conversions: dict[Form, _Convert] = {
            "word": _word,
            "name": _name,
            "model": _model,
            "title": _title,
            "id": self._id,
            "action": _action,
            "keyed hash": self._hash,
        }
        # names, ids and paths come again and again in a batch
        cached = {form: lru_cache(_CACHED_VALUES)(each) for form, each in conversions.items()}
        self._converted = [
            (name, conversions[form], cached[form])
            for name, form in forms.items()
            if form != "as it is"
        ]
        self._values = attrgetter(*(name for name, _, _ in self._converted))

    def narrow(self, event: Event) -> Event:
        """Return a new event that has the columns of the level, and no others."""
        own = replace(event, **self._dropped)
        for value, (name, convert, cached) in zip(
            self._values(event), self._converted, strict=True
        ):
            if value is not None:
                is_short = len(value) <= _CACHED_CHARACTERS
                setattr(own, name, cached(value) if is_short else convert(value))
        if self._hashes_users and (user := event.user_id):
            for name in _IDS:
                given: str | None = getattr(event, name)
                # aider has no session: its conversation is the user, and when and which run
                if given is not None and user in given:
                    setattr(own, name, self._id(given, user))
        return own

    def path(self, label: str) -> str:
        """Return the path of a trace file as the level has it in `source_file`."""
        return self._hash(label) if self._hashes_paths else label

    def _id(self, value: str, user: str | None = None) -> str:
        """Return an id whose parts each say nothing; also the parts of two ids still join."""
        if value == user or not _ID_PATTERN.fullmatch(value):
            return self._hash(value)
        return "".join(
            part
            if part != user and (part in ("", ":", "|", "#") or _MADE_PATTERN.fullmatch(part))
            else self._hash(part)
            for part in _ID_SEPARATOR.split(value)
        )

    def _hash(self, value: str) -> str:
        data = value.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self._key, digest_size=16).hexdigest()


def narrowing_of(content: Content, key: bytes) -> Narrowing | None:
    """Return what narrows the events of a sink, None at `full`."""
    return None if content == "full" else Narrowing(content, key)


def describe_level(content: Content) -> object:
    """Return what a level sends, for the fingerprint of what shapes the bytes of a batch."""
    return content if content == "full" else (content, sorted(_forms_at(content).items()))


def _forms_at(level: Literal["actions", "metadata"]) -> dict[str, Form]:
    """Return the columns that a level sends, each with its form."""
    return {name: form for name, forms in SENT.items() if (form := getattr(forms, level))}


def level_table() -> str:
    """Return a Markdown table that shows for each column at which level it is sent, and how."""
    rows = (
        f"| `{name}` | as it is | {forms.actions or '–'} | {forms.metadata or '–'} |"
        for name, forms in (
            *((column.name, _ALWAYS) for column in PARTITIONS),
            *((column.name, forms_of(column.name)) for column in COLUMNS),
        )
    )
    head = ("| column | `full` | `actions` | `metadata` |", "|---|---|---|---|")
    return "\n".join((*head, *rows)) + "\n"


def _word(value: str) -> str:
    return value if _WORD_PATTERN.fullmatch(value) else WITHHELD


def _name(value: str) -> str:
    return value if _NAME_PATTERN.fullmatch(value) else WITHHELD


def _model(value: str) -> str:
    return value if _MODEL_PATTERN.fullmatch(value) else WITHHELD


def _title(value: str) -> str:
    return value if _TITLE_PATTERN.fullmatch(value) else WITHHELD


class _Asset(msgspec.Struct):
    """What else arguments may name; only these keys are looked for."""

    asset: object = None
    input: object = None
    patch: object = None


_decode_asset = msgspec.json.Decoder(_Asset).decode
_encode = msgspec.json.Encoder().encode


def _action(tool_arguments: str) -> str | None:
    """Return what a tool was asked to touch, None if the arguments do not name it."""
    target = Event(event_kind="tool_call", tool_arguments=tool_arguments)
    set_target(target)
    asset = _asset(tool_arguments)
    patch = next((text for text in (asset.input, asset.patch) if isinstance(text, str)), "")
    if not tool_arguments.startswith("{"):
        patch = tool_arguments
    files = find_patched_files(patch)
    found = {
        "command": target.command,
        "file_path": target.file_path,
        "file_paths": files if len(files) > 1 else None,
        "url": target.url,
        "connector": target.connector,
        "asset_id": target.asset_id or _text(asset.asset),
    }
    sent = {name: value for name, value in found.items() if value is not None}
    return _encode(sent).decode() if sent else None


def _asset(tool_arguments: str) -> _Asset:
    if not tool_arguments.startswith("{"):
        return _Asset()
    try:
        return _decode_asset(tool_arguments)
    except (msgspec.DecodeError, RecursionError):
        return _Asset()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
