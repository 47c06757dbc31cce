"""Find the rules of a task under a profile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from oqvl_eval.config import Profile
from oqvl_eval.item import Item, Rule
from oqvl_eval.scoring_rules import figures, lm_eval, lmms, official, paper, strict, vlmevalkit
from oqvl_eval.scoring_rules.task_rules import ProfileRules, TaskRules
from oqvl_shards.errors import ConfigError

PROFILES: Mapping[Profile, ProfileRules] = {
    module.RULES.profile: module.RULES for module in (strict, official, lmms, vlmevalkit, lm_eval, paper)
}
"""The rules of every profile."""


@dataclass(frozen=True)
class FoundRules:
    """The rules of one task under one profile.

    Args:
        profile: The name of the profile.
        by_rule: The rules of the items, by the items' rule. All the same if the profile knows the task.
        together: What aggregates the verdicts of all items, and says what to know about the score.
        is_generic: Whether the profile does not know the task, so that its generic rules are used.
    """

    profile: Profile
    by_rule: Mapping[Rule, TaskRules]
    together: TaskRules
    is_generic: bool

    @property
    def source(self) -> str:
        """The repository and the commit whose rules these are. Empty if they are ours."""
        return self.together.source

    def of(self, item: Item) -> TaskRules:
        """Return the rules of one item."""
        return self.by_rule[item.scoring_rule]


def find_rules(profile: Profile, task: str, rules: Collection[Rule]) -> FoundRules:
    """Find how a profile scores a task.

    Args:
        profile: The name of the profile.
        task: The name of the task, e.g. `mmbench`.
        rules: The rules of the task's items. They matter only if the profile does not know the task.

    Raises:
        ConfigError: If the profile knows neither the task nor one of the rules.
    """
    profile_rules = PROFILES[profile]
    if task in profile_rules.tasks:
        task_rules = profile_rules.tasks[task]
        return FoundRules(profile, dict.fromkeys(rules, task_rules), task_rules, is_generic=False)
    names = sorted(set(rules))
    missing = [rule for rule in names if rule not in profile_rules.generic]
    if missing:
        raise ConfigError(
            f"profile {profile} has no rules for task {task!r} with items of rule {missing[0]}",
            hint=f"it knows the tasks {', '.join(sorted(profile_rules.tasks))}, and items of rule "
            f"{', '.join(sorted(profile_rules.generic))}",
        )
    by_rule = {rule: profile_rules.generic[rule] for rule in names}
    different = list({id(found): found for found in by_rule.values()}.values())
    together = different[0] if len(different) == 1 else _joined(different)
    return FoundRules(profile, by_rule, together, is_generic=profile != "strict")


def _joined(several: list[TaskRules]) -> TaskRules:
    """Return rules that report the mean credit of items of different rules, with the notes and sources of all."""
    return replace(
        several[0],
        aggregate=figures.accuracy,
        notes=tuple(dict.fromkeys(note for rules in several for note in rules.notes)),
        source=", ".join(dict.fromkeys(rules.source for rules in several if rules.source)),
    )
