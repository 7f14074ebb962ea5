"""What happens to an update between a partner and the others, and who does it."""
