"""Copies within a pool and across pools."""
