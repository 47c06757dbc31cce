"""From scores to a subset: rules, balancing, quotas, budgets, and the algebra of sets."""
