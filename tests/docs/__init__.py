"""The documentation: what is made by program, and whether what it says is so."""
