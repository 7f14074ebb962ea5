"""From a trained trunk to integer words and back, and what they would tell."""
