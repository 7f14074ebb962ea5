"""What the coordinator runs: Flower strategies, exchanges, the journal. Nothing here can name a partner's secret."""
