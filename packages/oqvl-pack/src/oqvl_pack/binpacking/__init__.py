"""Bin packing: lengths in, plan out. Needs numpy; runs faster with numba.

Start at `packing.pack` for a list of lengths, or at `streaming.StreamingPacker` for items that arrive one by one.
Nothing here knows about datasets, tokenizers or files.

    packing         pack(): check the arguments, count, bound, search, return a plan
    streaming       StreamingPacker: a small buffer of items, bins leave as they fill up
    plan            Plan: which items share a bin, in any order of bins
    portfolio       run one algorithm, or several until one meets the lower bound
    best_fit        best-fit decreasing
    first_fit       first-fit decreasing, and next-fit
    exact_fill      fill one bin after another to the brim
    vector_fill     the same under two constraints, length and weight
    subset_sum      the sums of length, or of length and weight, that some items can reach
    bounds          lower bounds on the number of bins
    splitting       cut items that are longer than a bin
    balance         order bins to give every rank of a training job the same amount of work
    counting_sort   sort items by length, list the items of bins: the only steps that visit every item
    compiled        decide whether the compiled kernels run
    kernels         the compiled loops, the only module that imports numba
    histogram       distinct lengths and how often each occurs
    placement       the placements that an algorithm returns, and the compact form that a plan keeps
    shuffle         random orders that are the same on every machine
    algorithm       the names of the algorithms
    arguments       check integer arguments
"""
