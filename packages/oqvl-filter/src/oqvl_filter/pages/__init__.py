"""Pages for people: one of scores and selections, and one of samples to judge."""
