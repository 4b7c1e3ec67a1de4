"""What people are shown, before it is HTML or JSON."""
