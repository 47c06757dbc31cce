"""Which functions read, grade and aggregate the answers to each task under each profile.

`registry` finds the `TaskRules` of a task and a profile. One module per profile names the functions:

| module | profile |
|---|---|
| `strict` | the strict readers of `oqvl_eval.reading` |
| `official`, `lmms`, `vlmevalkit`, `lm_eval`, `paper` | the rules of another harness, from the room of the same name in `oqvl_eval.profiles` |

A task is found by its name. A task that a profile does not know is scored by the generic rules that the profile has for
the item's rule (`multiple_choice`, `short_answer` or `yes_no`), and the score says so. The profiles share `arguments`
(what the functions need of an item), `peer_reading` (what a harness read, as a `Reading`) and `figures` (aggregators).
"""  # noqa: E501
