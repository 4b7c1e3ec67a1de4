"""A simulated provider: the status API with seeded traffic, faults and scenarios.

For tests, demonstrations and benchmarks; it imports nothing of the exporter but
its words, its clock and its errors. Start it in a process (`server.Simulator`),
or on its own (`server.serve`).
"""
