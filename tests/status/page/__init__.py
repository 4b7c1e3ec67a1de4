"""The page for people, its JSON twin, and the lookup of one message."""
