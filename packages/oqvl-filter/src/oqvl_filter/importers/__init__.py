"""Foreign files: scores, lists of uids, evaluation pictures and prompts that others have made."""
