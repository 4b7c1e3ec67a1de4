"""A simulated provider: the status API with seeded traffic, webhooks, faults and scenarios.

For demonstrations, tests and benchmarks; it imports nothing of the exporter but its words, its clock and
its errors. Start it in a process (`server.Simulator`), or on its own (`server.serve`).
"""
