"""The client against real sockets; every test runs on both event loops."""
