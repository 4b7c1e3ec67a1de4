"""What a message is and what may happen to it: pure values and rules, without clock, randomness or I/O."""
