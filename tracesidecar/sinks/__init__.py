"""One module a destination.

A sink sends a batch; everything around it (retry, bisection, circuit) stands once, in ship.deliver.
"""
