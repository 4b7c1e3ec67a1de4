"""Webhooks: which are accepted, what they change, and when they are acknowledged."""
