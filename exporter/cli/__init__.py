"""The command line: one module for each part of it."""
