"""Tests of the pure core: what happens to messages, when they are polled, and what is counted."""
