"""What is shown of a value that came from the environment or a file: the reference to it."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from tests.config.conftest import Folder
from tracesidecar.daemon.continuity import reject_repetition
from tracesidecar.errors import ConfigurationError, RetryLater
from tracesidecar.journal import Journal, prepare_state_directory
from tracesidecar.logs import configure
from tracesidecar.masking import Mask
from tracesidecar.sinks import destination_key_of, destination_of
from tracesidecar.units import Origin

HOOK = "T0123ABCD/B0456EFGH/zYxWvUtSrQpOnMlK"
CONFIGURED = (
    '[[source]]\nname = "agent"\ninclude = ["traces/*.jsonl"]\n'
    '[[sink]]\nname = "hook"\ntype = "http"\nurl = "https://hooks.example/${env:HOOK}"\n'
)


def test_another_value_is_another_destination_and_an_earlier_version_wrote_the_same(
    folder: Folder, tmp_path: Path
) -> None:
    folder.environ["HOOK"] = HOOK
    (before,) = folder.load(CONFIGURED).configuration.sink
    folder.environ["HOOK"] = HOOK + "2"
    configuration = folder.load(CONFIGURED).configuration
    (now,) = configuration.sink
    assert destination_of(before) == destination_of(now) == "http:https://hooks.example/${env:HOOK}"
    assert destination_key_of(before) != destination_key_of(now)
    state = tmp_path / "state"
    prepare_state_directory(str(state))
    with closing(Journal.open(str(state))) as journal:
        journal.sinks.begin("hook", f"http:https://hooks.example/{HOOK}", {})
        reject_repetition(before, journal, configuration)
        assert journal.sinks.find_destination("hook") == destination_key_of(before)
        with pytest.raises(ConfigurationError) as raised:
            reject_repetition(now, journal, configuration)
    assert "another destination that the same references stood for" in str(raised.value)
    assert "sha256" not in str(raised.value)
    assert HOOK not in str(raised.value)


def test_a_default_is_not_shown_in_its_reference(folder: Folder) -> None:
    text = CONFIGURED.replace("${env:HOOK}", "${env:UNSET:-5e4d3c2b1a}")
    (sink,) = folder.load(text).configuration.sink
    assert destination_of(sink) == "http:https://hooks.example/${env:UNSET}"


WEB = '[[sink]]\nname = "a"\ntype = "http"\nurl = "https://h.example/"\n'
LAKE = '[[sink]]\nname = "a"\ntype = "directory"\npath = "x"\n'


@pytest.mark.parametrize(
    "mistake",
    [
        '[[sink]]\nname = "a"\ntype = "s3"\nbucket = "${env:ODD}"\n',
        '[[sink]]\nname = "a"\ntype = "${env:ODD}"\n',
        '[[sink]]\nname = "a"\ntype = "http"\nurl = "${env:ODD}"\n',
        WEB + 'format = "${env:ODD}"\n',
        WEB + 'headers = { odd = "${env:ODD}\\n", Authorization = 3 }\n',
        WEB + 'auth = { type = "${env:ODD}" }\n',
        WEB + 'tls = { ca_file = "${env:ODD}" }\n',
        WEB + 'expect = { header = "${env:ODD}" }\n',
        LAKE + 'file_mode = "${env:ODD}"\n',
        LAKE + 'sources = ["${env:ODD}"]\n',
        '[redaction]\ndisable = ["${env:ODD}"]\n',
        '[[redaction.rule]]\nid = "x"\nregex = "(${env:ODD}"\n',
        '[quarantine]\nseal_to = "${env:ODD}"\n',
        '[daemon]\nlisten = "${env:ODD}"\n',
        '[daemon]\nmemory_limit = "${env:ODD}"\n',
    ],
)
def test_no_mistake_shows_a_value(folder: Folder, mistake: str) -> None:
    odd = "odd VALUE/5e4d3c2b1a"
    folder.environ["ODD"] = odd
    report = folder.inspect(CONFIGURED.replace("${env:HOOK}", "x") + mistake)
    assert report.problems
    assert not [each for each in report.problems if "5e4d3c2b1a" in str(each)]


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("dev", "bucket dev at /dev/null, dev-x, devise", "bucket X at /X/null, X-x, devise"),
        ("tenant 1", "/tenant%201/a", "/X/a"),
        ("a%2Fbcdefgh", "/a/bcdefgh", "/X"),
        ("Hooks.Example.com", "dns: hooks.example.com:443", "dns: X:443"),
        ("https://h.example:1/p?t=secret-1", "http:https://h.example:1/p", "http:X"),
        ("https://h.example:1/p?t=secret-1", "https://h.example:1 answered 404", "X answered 404"),
        ("/srv/lake/", "directory:/srv/lake", "directory:X"),
        ("x", "x marks", "x marks"),
        ("", "nothing", "nothing"),
        ("a.b|c(d", "a.b|c(d", "X"),
    ],
)
def test_a_value_is_masked_in_the_forms_that_are_shown(value: str, text: str, masked: str) -> None:
    assert Mask([Origin("X", value)]).apply(text) == masked


def test_errors_and_logs_of_a_sink_are_masked_while_its_mask_is_in_force() -> None:
    written = io.StringIO()
    configure(written, {"LOG_FORMAT": "json"})

    def fail() -> None:
        structlog.get_logger().warning("sink.odd", where="5e4d3c2b", more=["5e4d3c2b"])
        raise RetryLater("network", "5e4d3c2b is away")

    with pytest.raises(RetryLater) as raised, Mask([Origin("X", "5e4d3c2b")]).in_force():
        fail()
    assert (raised.value.detail, str(raised.value)) == ("X is away", "network: X is away")
    assert "5e4d3c2b" not in written.getvalue()
    assert '"where": "X"' in written.getvalue()


def test_a_webhook_in_clear_is_shown_redacted(folder: Folder) -> None:
    hook = "https://hooks.slack.com/services/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"
    (sink,) = folder.load(
        CONFIGURED.replace("https://hooks.example/${env:HOOK}", hook)
    ).configuration.sink
    assert destination_of(sink) == "http:https://[REDACTED:chat-webhook-url]"
    assert "zYxWvUtSrQpOnMlK" not in destination_key_of(sink)
