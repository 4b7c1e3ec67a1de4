"""How ids get in without a poll: files dropped into a directory, and the formats that they are in."""
