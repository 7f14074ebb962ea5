"""The `polyphony` command: one file a verb, which parses, calls and prints."""
