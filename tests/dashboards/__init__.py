"""Dashboards, rules and alerts, checked from their text to what they do."""
