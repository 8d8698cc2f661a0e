"""How the bytes of a known file are reached, protected from deletion, and read in chunks.

Private to `tail`.
"""
