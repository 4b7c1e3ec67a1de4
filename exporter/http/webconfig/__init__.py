"""The web configuration: who may ask the metrics listener, and over which kind of connection.

The format is the one that all Prometheus exporters share. What of it can't be
honoured here is refused with a hint, never left out in silence: `docs/security.md`
lists all of it.
"""

from exporter.http.webconfig.load import Report, WebConfig, check, fingerprint
from exporter.http.webconfig.sections import RateLimit
from exporter.http.webconfig.tls import Tls

__all__ = ["RateLimit", "Report", "Tls", "WebConfig", "check", "fingerprint"]
