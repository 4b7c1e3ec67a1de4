"""Tests of the pure core: what messages go through, when they are looked at, and what is counted."""
