"""Typed shard manifests, safe WebDataset shards and packed records: the contract between the OQVL packages."""
