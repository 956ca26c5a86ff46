"""What does a function compute? The jaxpr, grouped into layer-like sites, named, and replayed."""
