"""What every process needs: clock, errors, secrets, addresses, logging, startup, systemd."""
