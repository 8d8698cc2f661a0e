"""The objects of a sink at Azure Blob Storage, to look at and to rewrite."""

from __future__ import annotations

from tracesidecar.sinks.object_store.azure.client import AzureContainer
from tracesidecar.sinks.object_store.azure.options import Options
from tracesidecar.sinks.object_store.objects import RemoteObjects


def objects(options: Options) -> RemoteObjects:
    """Look at what a sink of these options keeps; needs the rights to list and to read, and to
    delete where objects are rewritten.
    """
    return RemoteObjects(AzureContainer(options), options, options.where)
