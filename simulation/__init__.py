"""Partners on one machine: dealt out, launched in Flower, compared."""
