"""What goes on at a site, from its files: page, terminal, metrics, report."""
