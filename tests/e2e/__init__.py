"""The whole program with real processes, sockets, files and signals, and a real Prometheus."""
