"""What keeps files readable when their names are removed: hard links, and who may remove them.

Private to `tail`.
"""
