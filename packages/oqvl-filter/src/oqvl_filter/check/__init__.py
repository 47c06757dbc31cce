"""Checking what the filter wrote: bytes against digests, content against the manifest, rows against the account."""
