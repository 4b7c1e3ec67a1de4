"""Tests of durable state: what holds for every engine, and what SQLite's file goes through."""
