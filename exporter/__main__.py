"""`python -m exporter` is `smsbat-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
