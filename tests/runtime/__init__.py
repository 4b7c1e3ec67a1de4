"""What the process needs whatever it does."""
