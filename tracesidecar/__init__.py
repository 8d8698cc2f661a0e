"""Deliver the traces of AI agents from disk to where people read them.

Whole, once, and without their secrets.
"""

__version__ = "0.1.0"
