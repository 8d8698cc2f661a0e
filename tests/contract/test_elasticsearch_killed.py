"""A daemon that is killed while it sends has each line in OpenSearch once: a repeat has the same
id.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.contract.killing import by_event, kill_while_sending
from tests.faults.oracle import differences
from tests.servers.search import SearchServer


def run(folder: Path, search: SearchServer, kills: int) -> list[str]:
    sink = f'name = "search"\ntype = "elasticsearch"\nurl = "{search.url}"\nformat = "raw"\n'
    expected = kill_while_sending(folder, sink, kills=kills)
    found = Counter(
        document["_source"]["event"]["original"].encode() for document in search.documents()
    )
    return differences("search", by_event(expected.delivered, found), found)


@pytest.mark.long
def test_a_daemon_killed_five_times_while_it_sends_has_each_line_there_once(
    tmp_path: Path, search_server: SearchServer
) -> None:
    assert run(tmp_path, search_server, 5) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_daemon_killed_fifty_times_while_it_sends_has_each_line_there_once(
    tmp_path: Path, search_server: SearchServer
) -> None:
    assert run(tmp_path, search_server, 50) == []
