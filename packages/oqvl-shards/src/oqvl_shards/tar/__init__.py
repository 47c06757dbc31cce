"""WebDataset tars: an index of their members, the samples that these form, and how both are read and written.

index             the members of a tar and where they start; damage is named, never guessed around
sample            members that share a key; why one is rejected; the caps on what is read
reader            one shard opened: its samples, its rejects, the bytes of any member
writer            deterministic tars, whole members copied by byte range
descriptor_cache  sources of a copy that stay open
"""
