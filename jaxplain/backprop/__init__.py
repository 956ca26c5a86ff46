"""Backward passes with rules of their own: relevance propagation and modified gradients."""
