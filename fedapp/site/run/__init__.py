"""A site in service: SuperNode at a partner, gate and rounds at the coordinator."""
