"""A daemon that is killed while it sends a batch in many requests repeats each request under its
key, with the same records.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.killing import kill_while_sending
from tests.faults.oracle import count_by_key, differences
from tests.servers.receiving import ReceivingServer


def run(folder: Path, receiver: ReceivingServer, kills: int) -> list[str]:
    sink = (
        f'name = "web"\ntype = "http"\nurl = "{receiver.url}"\nmax_records = 7\n'
        'max_bytes = "256KiB"\n'
    )
    expected = kill_while_sending(folder, sink, kills=kills)
    taken = [request for request in receiver.requests() if request.kept]
    assert any("." in request.key for request in taken)
    found, contradictions = count_by_key((request.key, request.plain) for request in taken)
    return contradictions + differences("web", expected.delivered, found)


@pytest.mark.long
def test_a_server_that_remembers_keys_has_each_line_once_after_five_kills(
    tmp_path: Path, receiver: ReceivingServer
) -> None:
    assert run(tmp_path, receiver, 5) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_server_that_remembers_keys_has_each_line_once_after_fifty_kills(
    tmp_path: Path, receiver: ReceivingServer
) -> None:
    assert run(tmp_path, receiver, 50) == []
