"""Readers of other benchmark formats. Each gives items, and the pictures that they show, by name."""
