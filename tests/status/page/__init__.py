"""The page for people, its JSON version, and the lookup of one message."""
