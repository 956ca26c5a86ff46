"""DeepLIFT: differences of the output explained by differences of the input from a reference."""
