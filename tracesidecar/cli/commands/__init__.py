"""The commands, one module each; `tracesidecar.cli` imports the one that is called."""
