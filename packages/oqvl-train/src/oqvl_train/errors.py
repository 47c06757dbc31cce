"""The one error that this package adds.

OqvlError
└── TrainingInterruptedError  75  stopped on request, resumable (EX_TEMPFAIL of sysexits.h: try again)
"""

from __future__ import annotations

from oqvl_shards.errors import OqvlError


class TrainingInterruptedError(OqvlError):
    """The run was asked to stop (SIGTERM, SIGINT), saved a checkpoint, and did not finish."""

    exit_code = 75
