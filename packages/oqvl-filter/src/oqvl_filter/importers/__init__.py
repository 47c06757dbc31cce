"""Foreign files of scores and uids, brought to the score datasets and subsets that a rule can name."""
