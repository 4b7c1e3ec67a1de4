"""Every error that this program raises on purpose.

Each class says whose fault it is, whether trying again can help, and the exit
code that ends the process when nobody handles it::

    ExporterError            1   an unexpected condition of ours
    ├── UsageError           2   the command line is wrong; the user mends it
    ├── ConfigError         78   the configuration is wrong; the user mends it
    ├── StoreError           1   durable state can't be used
    │   ├── StoreBusy       75   another process holds it; stop that one first
    │   ├── StoreUnusable   78   corrupt, or written by a newer version; never retried
    │   ├── StoreFull       74   no room to write; heals by itself when there is room
    │   └── StoreBroken     74   the disk fails; a restart re-reads what it really holds
    └── ListenError          1   an address can't be bound; the user frees it

What the provider or a dropped file does wrong is no exception: those outcomes
are expected, so they are values (`model.Outcome`, the reasons of `sources.drop`).
"""

from __future__ import annotations


class ExporterError(Exception):
    """Base of all errors raised on purpose; prints as one sentence and a hint."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep `message`, what is wrong and where, and `hint`, what to do about it."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ExporterError):
    """The command line can't be followed."""

    exit_code = 2


class ConfigError(ExporterError):
    """The configuration can't be used; `message` lists every problem, a line each."""

    exit_code = 78


class StoreError(ExporterError):
    """Durable state can't be used."""


class StoreBusy(StoreError):  # noqa: N818 - reads as the condition it names
    """Another process holds the state."""

    exit_code = 75


class StoreUnusable(StoreError):  # noqa: N818 - reads as the condition it names
    """The state is corrupt, or was written by a newer version."""

    exit_code = 78


class StoreFull(StoreError):  # noqa: N818 - reads as the condition it names
    """There is no room to write; nothing was written, and trying again can help."""

    exit_code = 74


class StoreBroken(StoreError):  # noqa: N818 - reads as the condition it names
    """The disk refused a write or a sync; what it holds is known only after a restart."""

    exit_code = 74


class ListenError(ExporterError):
    """An address can't be bound."""
