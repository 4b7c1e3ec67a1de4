"""Measurements, each beside a peer in the same run; no threshold fails a run."""
