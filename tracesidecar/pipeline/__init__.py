"""The way of the data, from files to sinks."""
