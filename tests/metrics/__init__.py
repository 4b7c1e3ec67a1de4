"""What `/metrics` prints: the catalogue, the state's bytes, and how the two parts are joined."""
