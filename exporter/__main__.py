"""`python -m exporter` is `smsbat-exporter`."""

import sys

from exporter.cli.main import main

sys.exit(main())
