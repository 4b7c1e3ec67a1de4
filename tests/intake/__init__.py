"""Ids over HTTP."""
