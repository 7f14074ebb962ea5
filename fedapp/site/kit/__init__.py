"""What each party gets to set up its site, and how it is taken over."""
