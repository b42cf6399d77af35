"""What is wrong with a value on the command line, in the words that the library has for it."""

from __future__ import annotations

from typing import Any

from isoconv.printable import printable

_RULES = {
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "below {lt:g}",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
"""What a value must be, by the kind of the refusal."""


def refused_value(error: Any) -> str | None:
    """The option, the rule and the value of an error in usage; None where it is about no value.

    Args:
        error: what typer raises. Its own text is that of the library that it checks values with,
            and leaves the value out; the refusal that it was raised from has all three.
    """
    # It brings NumPy with it, for which no other start is to wait.
    from isoconv.checks import shown

    refusal: Any = getattr(error, "__cause__", None)
    names = getattr(getattr(error, "param", None), "opts", None)
    if not callable(getattr(refusal, "errors", None)) or not names:
        return None
    first = refusal.errors()[0]
    known = {name: value for name, value in first.get("ctx", {}).items() if name != "error"}
    rule = _RULES.get(str(first.get("type")))
    if rule is not None:
        must = rule.format(**known)
    else:
        told = str(first.get("msg", "")).removeprefix("Value error, ")
        _, joint, choices = told.partition(" is not one of ")
        choices = choices.replace("'", "").rstrip(".")
        must = f"one of {choices}" if joint else f"another value ({told})"
    option = " / ".join(names) if names[0].startswith("-") else str(error.param.human_readable_name)
    given = first.get("input")
    value = printable(given) if isinstance(given, str) else shown(given)
    return f"{option} must be {must}; got {value}"
