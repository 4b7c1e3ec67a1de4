"""Poller, tracker, maintenance and a real store against a scripted provider, in virtual time."""
