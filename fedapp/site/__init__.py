"""One party's installation: its folder, data, floor and terms."""
