"""Tests of the client, on its own and against a real registry."""
