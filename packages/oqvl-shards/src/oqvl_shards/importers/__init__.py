"""Foreign layouts: what each one looks like, and how its samples become ours. `oqvl_shards.run` has the stages."""
