"""Programs for those who work on the exporter: not installed, and not imported by it."""
