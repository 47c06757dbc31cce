"""Documents: from the samples of source datasets to token sequences, and how much of each source is packed.

Start at `drafting.read_documents` for one shard, and at `mixture.choose_by_shard` for shares and budgets.

    source           open the source datasets and list their shards
    template         a sample becomes the segments of its document
    tokenization     segments become token ids; the tokenizer is called here
    word_cache       look up words that were tokenised before
    drafting         read one source shard: every sample becomes a document or a counted rejection
    document_table   the documents of one shard as columns
    mixture          choose documents by shares and budgets
    budget           meet a token budget with whole documents
"""
