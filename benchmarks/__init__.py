"""How fast jaxplain is and how much memory it takes: `python -m benchmarks`."""
