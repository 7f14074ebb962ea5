"""What was measured: each figure's record, as `--json` gave it, and the page that is written from the records."""
