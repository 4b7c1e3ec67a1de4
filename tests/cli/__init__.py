"""The command line: what it takes, says, completes and documents."""
