"""The contract's page shows what the test report says."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from tests.contract.table import Case, cases, page

REPORT = """<testsuites><testsuite>
<testcase classname="tests.contract.test_contract" name="test_lines_arrive[s3_place]"/>
<testcase classname="tests.contract.test_contract" \
name="test_lines_arrive[relp_place]"><failure/></testcase>
<testcase classname="tests.contract.test_contract" \
name="test_a_cut_heals[s3_place-in-between]"><skipped/></testcase>
<testcase classname="tests.contract.test_tls" name="test_strangers_are_rejected[expired-s3]"/>
<testcase classname="tests.contract.test_syslog" name="test_lines_arrive"/>
<testcase classname="tests.contract.test_s3" name="test_a_bucket_may_be_far[near]"/>
<testcase classname="tests.contract.test_s3" \
name="test_a_bucket_may_be_far[far]"><error/></testcase>
</testsuite></testsuites>"""


def test_each_case_of_a_report_is_a_claim_of_a_place() -> None:
    assert list(cases(ET.fromstring(REPORT))) == [
        Case("contract", "lines arrive", "s3", "passed"),
        Case("contract", "lines arrive", "relp", "failed"),
        Case("contract", "a cut heals (in-between)", "s3", "skipped"),
        Case("tls", "strangers are rejected (expired)", "s3", "passed"),
        Case("syslog", "lines arrive", "", "passed"),
        Case("s3", "a bucket may be far (near)", "", "passed"),
        Case("s3", "a bucket may be far (far)", "", "failed"),
    ]


def test_the_page_has_a_row_for_each_claim_and_a_column_for_each_place() -> None:
    text = page(cases(ET.fromstring(REPORT)))
    assert (
        "| | relp | s3 | syslog |\n|---|:-:|:-:|:-:|\n| a cut heals (in-between) |  | – |  |\n"
        "| lines arrive | **✗** | ✓ | ✓ |\n" in text
    )
    assert "| s3 | |\n|---|:-:|\n| a bucket may be far | **✗** |\n" in text
