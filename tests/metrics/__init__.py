"""What `/metrics` prints: the catalogue, the bytes of the state, and how the two parts are joined."""
