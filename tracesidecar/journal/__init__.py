"""What is known, planned, delivered, rejected and lost: the durable state of one state directory.

`Journal` is the SQLite file with its tables, and `Commit` the one change that moves offsets. Beside
it stand the lock of the state directory and the sealed bytes of rejected lines.
"""

from tracesidecar.journal.database import FILE_NAME as JOURNAL_NAME
from tracesidecar.journal.deliveries import load_deliveries, save_deliveries
from tracesidecar.journal.identities import IdentityTable
from tracesidecar.journal.journal import Commit, Journal
from tracesidecar.journal.lock import hold_lock, is_locked
from tracesidecar.journal.losses import LostBytes
from tracesidecar.journal.notices import Notice
from tracesidecar.journal.plan import (
    ObjectPart,
    Plan,
    PlannedObject,
    PlannedRecords,
    PlannedRejection,
)
from tracesidecar.journal.quarantine import QuarantinedLine, QuarantineEntry, make_quarantined_line
from tracesidecar.journal.range_digest import RangeDigest
from tracesidecar.journal.repeats import RepeatedBytes
from tracesidecar.journal.sealing import (
    Vault,
    discard_sealed,
    parse_recipient,
    sweep_sealed,
    unseal,
    vault_path,
)
from tracesidecar.journal.sinks import SinkRow
from tracesidecar.journal.state_directory import (
    STATE_NAMES,
    find_remains,
    find_state_directory,
    prepare_state_directory,
)
from tracesidecar.journal.trouble import explain_os, passes

__all__ = [
    "JOURNAL_NAME",
    "STATE_NAMES",
    "Commit",
    "IdentityTable",
    "Journal",
    "LostBytes",
    "Notice",
    "ObjectPart",
    "Plan",
    "PlannedObject",
    "PlannedRecords",
    "PlannedRejection",
    "QuarantineEntry",
    "QuarantinedLine",
    "RangeDigest",
    "RepeatedBytes",
    "SinkRow",
    "Vault",
    "discard_sealed",
    "explain_os",
    "find_remains",
    "find_state_directory",
    "hold_lock",
    "is_locked",
    "load_deliveries",
    "make_quarantined_line",
    "parse_recipient",
    "passes",
    "prepare_state_directory",
    "save_deliveries",
    "sweep_sealed",
    "unseal",
    "vault_path",
]
