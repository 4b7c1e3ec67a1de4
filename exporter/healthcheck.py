"""Whether an exporter is healthy, asked from outside: `python -m exporter.healthcheck [URL]`.

For containers, which have no curl. Only the standard library, since it runs
every few seconds. Exit code 0 when `/-/healthy` answers 200, else 1 with a
sentence; a password is read from a file, and never written anywhere.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import signal
import ssl
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

URL = "http://127.0.0.1:10978/-/healthy"
PATIENCE_SECONDS = 4.0


def main(argv: Sequence[str]) -> int:
    """Ask once; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m exporter.healthcheck", description="Is it healthy?")
    parser.add_argument("url", nargs="?", default=URL, help="default: %(default)s")
    parser.add_argument("--ca-file", metavar="FILE", help="who vouches for the server, in PEM form")
    parser.add_argument("--cert-file", metavar="FILE", help="our certificate and key, where one is asked for")
    parser.add_argument("--user", default="", metavar="NAME", help="of basic_auth_users")
    parser.add_argument("--password-file", metavar="FILE", help="holds the user's password")
    arguments = parser.parse_args(argv)
    try:
        status, text = _ask(arguments)
    except (OSError, ValueError, http.client.HTTPException) as error:
        status, text = 0, str(error)
    if status == http.client.OK:
        return 0
    sys.stderr.write(f"not healthy: {status or 'no answer'}: {text.strip()}\n")
    return 1


def _ask(arguments: argparse.Namespace) -> tuple[int, str]:
    """Status and text of the answer; raises OSError, ValueError or HTTPException."""
    url = urlsplit(arguments.url)
    host = url.hostname or ""
    connection = http.client.HTTPConnection(host, url.port, timeout=PATIENCE_SECONDS)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=arguments.ca_file)
        if arguments.cert_file:
            context.load_cert_chain(arguments.cert_file)
        connection = http.client.HTTPSConnection(host, url.port, timeout=PATIENCE_SECONDS, context=context)
    headers = {}
    if arguments.password_file:
        with open(arguments.password_file, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs a start
            password = file.read().removesuffix("\n")
        shown = base64.b64encode(f"{arguments.user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {shown}"
    connection.request("GET", url.path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read(1024).decode("utf-8", "replace")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to tidy up
    sys.exit(main(sys.argv[1:]))
