"""What syslog and RELP promise beyond what every sink does, against rsyslog."""

from __future__ import annotations

import pytest

from tests.contract.syslog_place import LogPlace
from tests.contract.test_contract import (
    test_a_server_that_goes_and_comes_back_costs_nothing,
    test_a_server_that_is_down_at_start_is_waited_for,
    test_credentials_that_are_rotated_while_running_are_read_again,
    test_hundreds_of_failures_in_a_row_exhaust_nothing,
    test_wrong_credentials_hold_the_sink_until_they_are_mended_on_disk,
)

__all__ = [
    "test_a_server_that_goes_and_comes_back_costs_nothing",
    "test_a_server_that_is_down_at_start_is_waited_for",
    "test_credentials_that_are_rotated_while_running_are_read_again",
    "test_hundreds_of_failures_in_a_row_exhaust_nothing",
    "test_wrong_credentials_hold_the_sink_until_they_are_mended_on_disk",
]


@pytest.fixture
def network_place(syslog_place: LogPlace) -> LogPlace:
    """Of the contract's tests of servers those that need no answer: syslog has none."""
    return syslog_place
