"""From a subset to new shards of its samples."""
