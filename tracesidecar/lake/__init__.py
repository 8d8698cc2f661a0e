"""What is done with a lake after it was shipped: proving it, and making few files of many."""
