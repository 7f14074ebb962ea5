"""How good a model is and which round counts, from saved figures: without torch, without RDKit."""
