"""The attacks of an audit: one file each, by a stated adversary."""
