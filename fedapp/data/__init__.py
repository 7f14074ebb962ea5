"""Assay tables to matrices on disk: read, checked, matched, made into tasks."""
