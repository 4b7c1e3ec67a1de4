"""Kill it, cut its power, fail its disk: what was acknowledged must still be there, and counted once."""
