"""Strict readers of model answers: pure functions of a text and its options that never guess.

Each answer is read in the same order:

1. `reasoning`: split the reasoning off; nothing in it is ever read.
2. `scope`: keep the `<answer>` block if there is one, and cut what follows the answer.
3. `normalisation`: fold widths, invisible characters, Markdown, LaTeX and HTML, and remember where each character was.
4. `choice`, `yes_no`, `number` or `text`: collect what the answer claims, rule by rule, and decide.

The result is a `Reading`: what was read, by which rule, and where. An answer that says several things is `ambiguous`,
one that says nothing a rule knows is `unread`; no reader falls back to anything else.
"""
