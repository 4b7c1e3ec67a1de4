"""Talking to the provider: requests, connections, and what its answers mean."""
