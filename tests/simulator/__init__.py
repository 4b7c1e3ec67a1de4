"""The simulated provider: what an exporter is tested against must itself be right."""
