"""`host:port`, as every part of the program writes it."""

from __future__ import annotations


def format_address(host: str, port: int) -> str:
    """`host:port`, or `[host]:port` for an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
