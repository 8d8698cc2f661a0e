"""Which files there are, and which of them a poll looks at.

Private to `tail`, but for `watcher`: its importer pays for watchdog.
"""
