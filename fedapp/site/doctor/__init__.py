"""Whether a site would work, and what to do about what would not."""
