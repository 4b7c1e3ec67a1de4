"""What the process needs whatever it does: clock, errors, secrets, logging, the start, systemd."""
