"""Statements and schemas, per engine, for the canonical events."""
