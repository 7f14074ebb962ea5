"""The network that is trained: trunk, heads and private rows, local epochs, and models on disk."""
