"""Tests mirror `app/`; helpers are imported from here by name."""
