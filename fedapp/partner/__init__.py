"""A partner in a run: where it lives, what answers its requests, and what of an error stays there."""
