"""The corpus: all documents of all sources, packed shard by shard and written by several workers.

Start at `packed_corpus.pack_corpus` for everything up to the packs, and at `worker.write_shard` for their files.

    packed_corpus   tokenise every source shard, choose documents, pack: everything except writing
    shard_packing   each shard packs its own documents; badly filled packs are packed again across shards
    worker          what a worker process does for one source shard and for one output shard
    assembly        from documents to the records of packs
    work_files      tokenised shards on disk, from which a killed run resumes
    write_timing    write a few packs to measure how long writing takes
"""
