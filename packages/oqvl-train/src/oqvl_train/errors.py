"""The error that this package adds to those of `oqvl_shards.errors`.

OqvlError
└── TrainingInterruptedError  75  stopped on request and resumable (EX_TEMPFAIL of sysexits.h: try again)
"""

from __future__ import annotations

from oqvl_shards.errors import OqvlError


class TrainingInterruptedError(OqvlError):
    """The run was asked to stop (SIGTERM or SIGINT) before it finished, and saved a checkpoint."""

    exit_code = 75
