"""Explaining by examples: prototypes, criticisms, nearest examples."""
