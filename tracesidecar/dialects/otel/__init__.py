"""Traces that carry OpenTelemetry attributes: OTLP-JSON, and spans exported as rows.

What other dialects import reads the attributes of one span or log record, whatever convention
they follow. The registry imports the modules of the dialects themselves.
"""

from tracesidecar.dialects.otel.genai import SpanStatus, identify, log_event, span_event

__all__ = ["SpanStatus", "identify", "log_event", "span_event"]
