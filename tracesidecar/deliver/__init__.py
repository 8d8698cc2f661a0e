"""One batch to one sink: retries without end, a circuit, and bisection of what is rejected.

`Delivery` does it, and `SinkEvents` turns what happens into metrics and log events.
"""

from tracesidecar.deliver.bisect import UNANIMOUS
from tracesidecar.deliver.delivery import Delivery, DeliveryEvents
from tracesidecar.deliver.events import SinkEvents

__all__ = ["UNANIMOUS", "Delivery", "DeliveryEvents", "SinkEvents"]
