"""A data filtering network: training one on clean pairs."""
