"""Tests of the ways in: dropped files and their formats."""
