"""What commands show: status, lag, byte ranges, rejected lines, and scans of files.

Nothing is exported here. Each command imports the one module that it shows, because `scan` loads
the rules and an engine, `connectivity` the clients of the sinks, and `status` neither of them.
"""
