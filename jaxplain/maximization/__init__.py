"""Inputs that a model answers to most: activation maximization."""
