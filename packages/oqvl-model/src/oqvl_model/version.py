"""The package's version, as it goes into the lineage of everything it writes."""

from importlib.metadata import version

VERSION = version("oqvl-model")
