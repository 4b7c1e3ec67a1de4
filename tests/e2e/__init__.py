"""The whole program with real things: processes, sockets, files, signals, a real Prometheus."""
