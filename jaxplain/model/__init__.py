"""What a model does as a whole, not on one example."""
