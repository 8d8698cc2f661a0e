"""Names that vulture would take for dead code, with who uses them. Vulture reads this list.

What is here for no reason is dead code: remove it. `test_dead_code.py` holds that each name exists.
"""

from __future__ import annotations


class _Used:
    def __getattr__(self, name: str) -> object:
        raise AttributeError(name)


used = _Used()

# watchdog calls it for each event, and stops what it reads here.
used.dispatch
used._inotify_fd
used._inotify
used.on_thread_start
used.build_and_queue_event

# watchdog calls these where it would list directories by their paths.
used._add_all_callbacks
used._recursive_simulate

# watchdog calls it for each watch that ends.
used._remove_watch_internally

# urllib asks it before it follows a redirect.
used.redirect_request

# Parts of a place, which is compared as a whole.
used.filesystem
used.base

# RE2 and psycopg read these options.
used.dot_nl
used.itersize
used.log_errors
used.max_mem

# requests passes it to an adapter's `send`.
used.cert

# Enum reads the value of a member that was made in `__new__`.
used._value_

# Fields of rows, requests and manifests: written and read by msgspec under their own names.
used.circuit_breaker_events
used.cuts
used.ddsource
used.ddtags
used.final_status
used.parent_tool_call_id
used.source_line
used.tool_call_count
used.total_tokens
used.user_source
used.workspace_id

# A key of `status --json`.
used.rejected_reload
used.figures_from

# The hook of a library, which calls it by this name.
used.on_broken_pipe

# A column of the journal, for anyone who asks how old a sink's last commit is.
used.committed_at

# The tests judge single redactions with it.
used.find_redactions

# Keys of rules.toml: the tests of the rules read them.
used.confidence
used.negatives

# Protocols of a function: called without a name.
used.__call__

# The tables in docs/formats.md are made with these: tests/encode/test_formats_page.py.
used.class_table
used.mapping_table
