"""From scores to a subset: rules, budgets, quotas, balancing, and the algebra of sets."""
