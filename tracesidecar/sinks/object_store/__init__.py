"""What the three object stores share.

The sink itself, its contract with a store's client, and reading objects back. Nothing here is for
other packages; each store has its own face.
"""
