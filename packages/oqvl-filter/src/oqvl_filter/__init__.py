"""Score, select and reshard image-text data: CLIP, data filtering networks and rules over typed shard manifests."""
