"""A Prometheus exporter for the delivery of messages sent through SMSBAT."""

__version__ = "0.1.0"
