"""Shapley values and what belongs to them: who adds what, averaged over all orders."""
