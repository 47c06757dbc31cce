"""McNemar's test of two systems on the same items.

Only the items that exactly one system answers correctly matter: b of them for A, and c for B. Under the null
hypothesis, b is binomial with n = b + c and p = 1/2. The exact test uses this distribution. The chi-square forms
approximate it, and are reported because papers print them.

Sources: Q. McNemar, Psychometrika 12, 1947. For the mid-p variant and a comparison of all four forms: Fagerland,
Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013.
"""

from __future__ import annotations

import math

from pydantic import Field

from oqvl_shards.config import Frozen


class McNemar(Frozen):
    """The four forms of the test. All p-values are two-sided, and 1 if no item tells the systems apart."""

    statistic: int = Field(description="min(b, c), the statistic of the exact test")
    exact_p: float = Field(description="exact binomial p-value")
    mid_p: float = Field(description="mid-p value: a less conservative form of the exact test")
    chi2: float = Field(description="(b - c)^2 / (b + c)")
    chi2_p: float = Field(description="p-value of chi2 with one degree of freedom")
    corrected_chi2: float = Field(description="chi2 with Edwards' continuity correction, (|b - c| - 1)^2 / (b + c)")
    corrected_p: float = Field(description="p-value of corrected_chi2 with one degree of freedom")


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """Test whether two systems differ.

    Args:
        only_a: b, the number of items that only system A answers correctly.
        only_b: c, the number of items that only system B answers correctly.
    """
    n, smaller = only_a + only_b, min(only_a, only_b)
    if n == 0:
        return McNemar(statistic=0, exact_p=1.0, mid_p=1.0, chi2=0.0, chi2_p=1.0, corrected_chi2=0.0, corrected_p=1.0)
    difference = abs(only_a - only_b)
    chi2, corrected = difference**2 / n, max(difference - 1, 0) ** 2 / n
    # Sum the binomial coefficients as integers and divide once, at the end. Nothing cancels or underflows on the way.
    term = tail = 1
    for k in range(smaller):
        term = term * (n - k) // (k + 1)
        tail += term
    return McNemar(
        statistic=smaller,
        exact_p=min(1.0, 2 * tail / 2**n),
        mid_p=min(1.0, (2 * tail - term) / 2**n),
        chi2=chi2,
        chi2_p=chi_square_p(chi2),
        corrected_chi2=corrected,
        corrected_p=chi_square_p(corrected),
    )


def chi_square_p(statistic: float) -> float:
    """Return the upper tail of the chi-square distribution with one degree of freedom."""
    return math.erfc(math.sqrt(statistic / 2))
