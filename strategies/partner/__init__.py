"""What a partner runs between Flower's message and its own `NumPyClient`."""
