"""Inside the network: layers and neurons as what is explained, and as what explains."""
