"""The one way in for all changes of state, and the loops that poll and keep order."""
