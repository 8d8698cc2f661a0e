"""How lines get from the files to the sinks: intake, batches that fill, and the loop of each sink.

`Service` runs on the event loop. What reads, cleans and interprets lives in the worker thread: it
is the `WorkerContext`, and `WorkerThread` is the only door to it.
"""

from tracesidecar.pipeline.build import build_context
from tracesidecar.pipeline.drain import DrainEnd, DrainResult, UndeliveredRange
from tracesidecar.pipeline.file_identities import FileNames
from tracesidecar.pipeline.intake import IsContinued
from tracesidecar.pipeline.line_metrics import LineMetrics
from tracesidecar.pipeline.losses import report_losses
from tracesidecar.pipeline.path_labels import PathLabels
from tracesidecar.pipeline.service import Service, ignore
from tracesidecar.pipeline.sink_cursors import SinkCursors
from tracesidecar.pipeline.sink_state import SinkPhase, SinkState
from tracesidecar.pipeline.worker_context import WorkerContext
from tracesidecar.pipeline.worker_thread import WorkerThread

__all__ = [
    "DrainEnd",
    "DrainResult",
    "FileNames",
    "IsContinued",
    "LineMetrics",
    "PathLabels",
    "Service",
    "SinkCursors",
    "SinkPhase",
    "SinkState",
    "UndeliveredRange",
    "WorkerContext",
    "WorkerThread",
    "build_context",
    "ignore",
    "report_losses",
]
