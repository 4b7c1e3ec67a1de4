"""`python -m exporter`, which is `smsbat-exporter`: Ctrl-C is heard before anything is imported."""

import os
import sys


def main() -> int:
    """Run one command; returns its exit code."""
    try:
        import signal

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Raised in the middle of an import, an exception may be swallowed there, or printed.
            signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))
        from exporter.cli.main import main as run_command
    except KeyboardInterrupt:
        return 130
    return run_command()


if __name__ == "__main__":
    sys.exit(main())
