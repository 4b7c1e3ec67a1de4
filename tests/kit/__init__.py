"""Fakes that stand at the edge: what the program talks to, under the control of a test."""
