"""How processes and Flower's commands start and end, one at a time on a folder."""
