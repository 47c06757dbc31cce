"""Foreign layouts: what each one looks like, and how to convert its samples. `oqvl_shards.run` has the stages."""
