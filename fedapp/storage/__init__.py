"""Files written whole or not at all, read back so that damage is named, and never over somebody else's."""
