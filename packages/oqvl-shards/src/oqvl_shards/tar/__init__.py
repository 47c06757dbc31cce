"""WebDataset tars: an index of their members, the samples that the members form, and how both are read and written.

index             the members of a tar and where they start; damage is named, never guessed around
sample            the members that share a key, the reasons for rejecting one, and the limits on what is read
reader            one open shard: its samples, its rejects, the bytes of any member
writer            deterministic tars; whole members are copied by byte range
descriptor_cache  keeps the sources of a copy open
"""
