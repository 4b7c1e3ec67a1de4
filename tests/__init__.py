"""The tests; a package, so that they can share the fakes that stand at the edge."""
