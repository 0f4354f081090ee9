"""Why a site refuses: a closed list of codes, the only words about a failure that leave a site."""

from collections.abc import Mapping
from enum import StrEnum

from fedcausal.errors import (
    BudgetExceededError,
    DataError,
    DisclosureError,
    FedCausalError,
    ProtocolError,
    StudyError,
)

__all__ = ["MAX_WHERE", "RefusalCode", "explain", "refusal_error", "said_where"]

MAX_WHERE = 128
"""Most characters of the variable or kind that a refusal names."""


class RefusalCode(StrEnum):
    """What a site says instead of an answer; `explain` has the words for people."""

    STUDY_NOT_APPROVED = "study-not-approved"
    STUDY_DENIED = "study-denied"
    STUDY_UNREADABLE = "study-unreadable"
    DATA_UNREADABLE = "data-unreadable"
    DATA_DOES_NOT_FIT = "data-does-not-fit"
    TOO_FEW_ROWS = "too-few-rows"
    TOO_MANY_ROWS = "too-many-rows"
    KIND_NOT_ALLOWED = "kind-not-allowed"
    MECHANISM_NOT_APPROVED = "mechanism-not-approved"
    KIND_UNKNOWN = "kind-unknown"
    NOT_IN_STUDY = "not-in-study"
    SATURATED = "saturated"
    MIN_CELL_TOO_LOW = "min-cell-too-low"
    NO_EPSILON = "no-epsilon"
    NO_PRIVATE_FORM = "no-private-form"
    BUDGET_EXCEEDED = "budget-exceeded"
    DELTA_TOO_LARGE = "delta-too-large"
    TOO_MANY_REQUESTS = "too-many-requests"
    TOO_MANY_NUMBERS = "too-many-numbers"
    TABLES_LEFT_OUT = "tables-left-out"
    DOMINATED = "dominated"
    NOT_ALONE = "not-alone"
    SMALL_CELLS = "small-cells"
    ROWS_CHANGED_LITTLE = "rows-changed-little"
    PROTOCOL = "protocol"
    SITE_ERROR = "site-error"


_WORDS: Mapping[RefusalCode, tuple[type[FedCausalError], str]] = {
    RefusalCode.STUDY_NOT_APPROVED: (
        DisclosureError,
        "the site has not approved this study; its operator looks at it with `fedcausal site "
        "requests show` and approves it, or adds its hash to policy.approved in site.toml",
    ),
    RefusalCode.STUDY_DENIED: (
        DisclosureError,
        "the site's operator denied this study; the reason is in the site's audit log, ask them",
    ),
    RefusalCode.STUDY_UNREADABLE: (
        StudyError,
        "the site cannot read the study; check it with `fedcausal study validate` in the "
        "site's version",
    ),
    RefusalCode.DATA_UNREADABLE: (
        DataError,
        "the site cannot read its data source; its operator checks [data] in site.toml",
    ),
    RefusalCode.DATA_DOES_NOT_FIT: (
        DataError,
        "the site's data do not fit the study's variable; the reason is in the site's audit log",
    ),
    RefusalCode.TOO_FEW_ROWS: (
        DisclosureError,
        "the site has fewer rows than its own policy.min_rows",
    ),
    RefusalCode.TOO_MANY_ROWS: (
        DataError,
        "the site has more rows than the study's privacy.max_rows; raise it in study.toml",
    ),
    RefusalCode.KIND_NOT_ALLOWED: (
        DisclosureError,
        "the site's policy.allow does not list this statistic",
    ),
    RefusalCode.MECHANISM_NOT_APPROVED: (
        DisclosureError,
        "the study's model.mechanisms name code to run on the site's rows, and its "
        "policy.mechanisms does not list it; its operator installs the package, looks at what it "
        "reads, and writes the name there",
    ),
    RefusalCode.KIND_UNKNOWN: (
        ProtocolError,
        "the site does not know this statistic; all parties need the same version",
    ),
    RefusalCode.NOT_IN_STUDY: (
        DisclosureError,
        "the study that the site approved does not need this statistic",
    ),
    RefusalCode.SATURATED: (
        DisclosureError,
        "too many parameters for the site's rows (policy.max_parameters_per_row); use fewer "
        "variables, a lower degree or a private release",
    ),
    RefusalCode.MIN_CELL_TOO_LOW: (
        DisclosureError,
        "the study's privacy.min_cell is below the site's policy.min_cell; raise it in study.toml",
    ),
    RefusalCode.NO_EPSILON: (
        DisclosureError,
        "the site has a privacy budget (policy.max_epsilon) and this part of the study has no "
        "epsilon; set privacy.<part>.epsilon in study.toml",
    ),
    RefusalCode.NO_PRIVATE_FORM: (
        DisclosureError,
        "this statistic has no differentially private form; remove the epsilon of its part or "
        "choose another statistic",
    ),
    RefusalCode.BUDGET_EXCEEDED: (
        BudgetExceededError,
        "the release would exceed a privacy budget of the site",
    ),
    RefusalCode.DELTA_TOO_LARGE: (
        DisclosureError,
        "the study's privacy.delta is above the site's policy.max_delta; lower it in study.toml",
    ),
    RefusalCode.TOO_MANY_REQUESTS: (
        DisclosureError,
        "the study asked for this statistic in more different ways than the site's "
        "policy.max_requests; its operator raises that, or approves a new study",
    ),
    RefusalCode.TOO_MANY_NUMBERS: (
        DisclosureError,
        "with this statistic more numbers would be released of the site's rows than its "
        "policy.max_numbers_per_value allows over all studies; use fewer variables, a lower "
        "degree or a private release",
    ),
    RefusalCode.TABLES_LEFT_OUT: (
        DisclosureError,
        "the request does not name the tables that the site released before in this study, with "
        "which its own would have to be examined; continue with the coordinator's stored run, or "
        "have a new study approved",
    ),
    RefusalCode.DOMINATED: (
        DisclosureError,
        "one record dominates a sum at the site (policy.max_dominance); its audit log names the "
        "variable, whose unit or outlier its operator checks",
    ),
    RefusalCode.NOT_ALONE: (
        DisclosureError,
        "the study has [federation] robust, which releases each site's sums by themselves, and "
        "the site's policy.release_alone does not allow that",
    ),
    RefusalCode.SMALL_CELLS: (
        DisclosureError,
        "a count of this site's own records is below privacy.min_cell, and in a robust study no "
        "total hides it; leave out the variable with rare levels, or the site",
    ),
    RefusalCode.ROWS_CHANGED_LITTLE: (
        DisclosureError,
        "a few of the site's rows changed since an earlier release, and the difference of the "
        "two would show them; wait for more rows (policy.min_rows), use the rows of then, or "
        "a private release",
    ),
    RefusalCode.PROTOCOL: (
        ProtocolError,
        "the site refused the message; nothing was revealed; the reason is in its audit log",
    ),
    RefusalCode.SITE_ERROR: (
        FedCausalError,
        "the site failed; the reason is in its error log",
    ),
}


def explain(code: RefusalCode) -> str:
    """What a code means and what to do about it."""
    return _WORDS[code][1]


def refusal_error(site: str, code: str, where: str = "") -> FedCausalError:
    """The error that a site's refusal is for the caller of a study.

    An unknown code counts as `site-error`, and a name that cannot be one is left out: a site's
    words are never repeated.

    >>> print(refusal_error("north", "too-few-rows"))
    north: too-few-rows: the site has fewer rows than its own policy.min_rows
    """
    known = RefusalCode(code) if code in set(RefusalCode) else RefusalCode.SITE_ERROR
    error, words = _WORDS[known]
    named = ":".join(filter(None, (said_where(site) or "unnamed", said_where(where))))
    return error(f"{named}: {known}: {words}")


def said_where(where: str) -> str:
    """A name as a refusal may hold it; nothing where it is too long or has control characters."""
    return where if len(where) <= MAX_WHERE and where.isprintable() else ""
