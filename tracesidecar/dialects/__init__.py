"""What the lines mean: dialects of traces, and the canonical event they become."""
