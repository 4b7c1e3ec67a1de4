"""The configuration file: from bytes to checked, frozen settings, or to every problem it has.

    bytes --yaml_reader--> tree and positions --settings, cross_checks--> Settings | problems

`load` and `check` are the entry points. Every scalar of the file stays text
until its key says what it is, so nothing is ever mistaken for a number, a date
or a truth value.
"""

from exporter.config.load import Report, check, load
from exporter.config.models import Account, Intake, Webhook
from exporter.config.problem import Problem
from exporter.config.settings import Settings
from exporter.config.units import Window

__all__ = ["Account", "Intake", "Problem", "Report", "Settings", "Webhook", "Window", "check", "load"]
