"""Explain by concepts that people define by examples, not by pixels."""
