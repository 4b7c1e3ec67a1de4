"""The content of the status page, before it is HTML or JSON."""
