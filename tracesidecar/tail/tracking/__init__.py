"""What has become of a file: new, grown, moved, continued elsewhere, deleted or rewritten.

Private to `tail`.
"""
