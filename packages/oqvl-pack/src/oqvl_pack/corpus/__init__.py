"""The corpus: all documents of all sources, packed shard by shard and written by several workers.

Start at `packed_corpus.pack_corpus` for everything up to the packs, and at `worker.write_shard` for their files.

    packed_corpus   tokenise every source shard, choose documents, pack: everything except writing
    shard_packing   pack each shard's own documents; pack those of badly filled packs again, across shards
    worker          the work on one source shard and on one output shard, run in worker processes
    assembly        turn documents into the records of packs
    work_files      tokenised shards on disk, from which a killed run resumes
    write_timing    write a few packs to measure how long writing takes
"""
