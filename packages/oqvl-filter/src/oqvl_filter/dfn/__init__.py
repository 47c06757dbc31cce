"""Training a data filtering network on clean pairs."""
