"""The web configuration: which clients may use the metrics listener, and over which connections.

The format is the one of all Prometheus exporters. What is not supported here is
refused with a hint, never ignored: `docs/security.md` lists it.
"""

from exporter.http.webconfig.load import Report, WebConfig, check_web_config, compute_fingerprint
from exporter.http.webconfig.sections import RateLimit
from exporter.http.webconfig.tls import Tls

__all__ = ["RateLimit", "Report", "Tls", "WebConfig", "check_web_config", "compute_fingerprint"]
