"""Documents: turn the samples of source datasets into token sequences, and choose how much of each source to pack.

Start at `drafting.read_documents` for one shard, and at `mixture.choose_by_shard` for shares and budgets.

    source           open the source datasets and list their shards
    template         turn a sample into the segments of its document, special tokens included
    tokenization     turn segments into token ids with the tokenizer
    word_cache       look up words that were tokenised before
    drafting         read one source shard: every sample becomes a document or a counted rejection
    document_table   the documents of one shard as columns
    mixture          choose documents by shares and budgets
    budget           meet a token budget with whole documents
"""
