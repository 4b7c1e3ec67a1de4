"""The tracker, through which all changes of state go, and the loops that poll and maintain."""
