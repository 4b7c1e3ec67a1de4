"""Webhooks: who is heard, what it changes, and when it is safe to say yes."""
