"""Readers of foreign benchmark files: each yields items, and the pictures that they show by name."""
