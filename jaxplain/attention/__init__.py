"""Attention maps, and what can be read from them."""
