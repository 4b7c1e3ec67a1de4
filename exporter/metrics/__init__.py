"""What `/metrics` shows: the catalogue of metrics, instruments of the process, and their text."""
